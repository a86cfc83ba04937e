// SPDX-License-Identifier: Apache-2.0
// Affinity, cgroup quotas of both versions, OMP_NUM_THREADS.
#include "cores.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace swd::cpu {
namespace {

constexpr int kNoLimit = INT_MAX;

int smaller(int a, int b) { return a < b ? a : b; }

// A whole small file as text; false where it is not there. A longer one is cut.
struct Text {
  char bytes[4096];
};

bool read_text(const char* path, Text& out) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  ssize_t count = read(file, out.bytes, sizeof out.bytes - 1);
  close(file);
  out.bytes[count > 0 ? count : 0] = '\0';
  return count > 0;
}

// Time per period as cores. Anything but two positive numbers is no limit: "max" of version 2, -1 of version 1.
int cores_of_quota(const char* quota, const char* period) {
  long long time = strtoll(quota, nullptr, 10), of = strtoll(period, nullptr, 10);
  if (time <= 0 || of <= 0) return kNoLimit;
  long long cores = time / of + (time % of != 0);
  return cores < kNoLimit ? static_cast<int>(cores) : kNoLimit;
}

// base + group + file, or false if that is too long.
bool join(char (&path)[1024], const char* base, const char* group, size_t group_length, const char* file) {
  size_t base_length = strlen(base), file_length = strlen(file);
  if (base_length + group_length + file_length + 1 > sizeof path) return false;
  memcpy(path, base, base_length);
  memcpy(path + base_length, group, group_length);
  memcpy(path + base_length + group_length, file, file_length + 1);
  return true;
}

int limit_of_group(bool unified, const char* base, const char* group, size_t length) {
  char path[1024];
  Text quota, period;
  if (!join(path, base, group, length, unified ? "/cpu.max" : "/cpu.cfs_quota_us") || !read_text(path, quota)) {
    return kNoLimit;
  }
  if (unified) {
    const char* gap = strchr(quota.bytes, ' ');
    return gap ? cores_of_quota(quota.bytes, gap) : kNoLimit;
  }
  bool there = join(path, base, group, length, "/cpu.cfs_period_us") && read_text(path, period);
  return there ? cores_of_quota(quota.bytes, period.bytes) : kNoLimit;
}

// Groups limit what is inside them, so every one up to the root counts. In a container the root is its own group,
// while the path may be one that only the host knows: what is not there is passed over.
int limit_of_path(bool unified, const char* base, const char* group, size_t length) {
  int limit = kNoLimit;
  for (;;) {
    while (length > 0 && group[length - 1] == '/') --length;
    limit = smaller(limit, limit_of_group(unified, base, group, length));
    if (length == 0) return limit;
    while (length > 0 && group[length - 1] != '/') --length;
  }
}

// True if `name` is one of the names of [begin, end), which stand between commas.
bool names_hold(const char* begin, const char* end, const char* name) {
  size_t length = strlen(name);
  for (const char* at = begin; at < end;) {
    const char* comma = static_cast<const char*>(memchr(at, ',', static_cast<size_t>(end - at)));
    const char* stop = comma ? comma : end;
    if (static_cast<size_t>(stop - at) == length && memcmp(at, name, length) == 0) return true;
    at = stop + 1;
  }
  return false;
}

// Lines of /proc/self/cgroup are number:controllers:path. Version 2 has number 0 and no controllers.
int quota_cores() {
  Text groups;
  if (!read_text("/proc/self/cgroup", groups)) return kNoLimit;
  int limit = kNoLimit;
  for (char* line = groups.bytes; line && *line;) {
    char* end = strchr(line, '\n');
    if (end) *end = '\0';
    char* names = strchr(line, ':');
    char* path = names ? strchr(names + 1, ':') : nullptr;
    if (path) {
      size_t length = strlen(path + 1);
      bool unified = path == names + 1;
      if (unified) limit = smaller(limit, limit_of_path(true, "/sys/fs/cgroup", path + 1, length));
      if (!unified && names_hold(names + 1, path, "cpu")) {
        limit = smaller(limit, limit_of_path(false, "/sys/fs/cgroup/cpu", path + 1, length));
      }
    }
    line = end ? end + 1 : nullptr;
  }
  return limit;
}

// The first number of its list; what is no positive number is ignored, as OpenMP's runtimes do.
int openmp_threads() {
  const char* wish = std::getenv("OMP_NUM_THREADS");
  long threads = wish ? strtol(wish, nullptr, 10) : 0;
  return threads > 0 && threads < kNoLimit ? static_cast<int>(threads) : kNoLimit;
}

}  // namespace

Cores cores_of_this_thread() {
  Cores out;
#ifdef __linux__
  if (sched_getaffinity(0, sizeof out.set, &out.set) == 0) {
    out.known = true;
    out.count = CPU_COUNT(&out.set);
    return out;
  }
#endif
  unsigned int cores = std::thread::hardware_concurrency();
  out.count = cores == 0 ? 1 : static_cast<int>(cores);
  return out;
}

int default_threads() { return smaller(quota_cores(), openmp_threads()); }

void run_on(const Cores& cores, Cores& mine) {
#ifdef __linux__
  if (!cores.known || (mine.known && CPU_EQUAL(&cores.set, &mine.set))) return;
  sched_setaffinity(0, sizeof cores.set, &cores.set);  // where that fails, it stays where it was
  mine = cores;
#else
  mine = cores;
#endif
}

}  // namespace swd::cpu
