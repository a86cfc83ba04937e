// SPDX-License-Identifier: Apache-2.0
// How many threads a plan uses that asks for none in particular: the fewest of the caller's cores, the cgroup's quota
// and OMP_NUM_THREADS. The files and the cores are made up here; the threads that a step starts are counted.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <string>

#include "support/cpu_model.h"

namespace {
std::atomic<int> starts{0};
std::atomic<int> cores{0};                   // that every thread may run on; 0: as it is
std::map<std::string, std::string> made_up;  // what is in the files of /proc/self/cgroup and /sys/fs/cgroup

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

bool is_of_cgroups(const std::string& path) {
  return path == "/proc/self/cgroup" || path.rfind("/sys/fs/cgroup", 0) == 0;
}

int open_made_up(const std::string& path) {
  auto found = made_up.find(path);
  int ends[2];
  if (found == made_up.end() || pipe(ends) != 0) {
    errno = ENOENT;
    return -1;
  }
  EXPECT_EQ(write(ends[1], found->second.data(), found->second.size()), static_cast<ssize_t>(found->second.size()));
  close(ends[1]);
  return ends[0];
}
}  // namespace

// These stand in for the C library's in this program and in the library under test.
extern "C" {
using CreateThread = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __interceptor_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) __attribute__((weak));

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*),
                   void* argument) noexcept {
  static CreateThread next =
      __interceptor_pthread_create ? __interceptor_pthread_create : real<CreateThread>("pthread_create");
  starts.fetch_add(1);
  return next(thread, attributes, entry, argument);
}

int sched_getaffinity(pid_t process, size_t bytes, cpu_set_t* set) noexcept {
  static auto next = real<int (*)(pid_t, size_t, cpu_set_t*)>("sched_getaffinity");
  if (cores == 0) return next(process, bytes, set);
  CPU_ZERO(set);
  for (size_t i = 0; i < static_cast<size_t>(cores); ++i) CPU_SET(i, set);
  return 0;
}

int open(const char* path, int flags, ...) {
  static auto next = real<int (*)(const char*, int, ...)>("open");
  if (is_of_cgroups(path)) return open_made_up(path);
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  return next(path, flags, mode);
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
}

namespace swd::test {
namespace {

// Threads of a step, the caller's included.
int threads_of_a_step(int32_t threads = 0) {
  int before = starts;
  ModelCase c;
  c.counts = {16 * 16 * 4096};
  c.threads = threads;
  Model model(c);
  EXPECT_TRUE(model.step(1.0));
  int used = starts - before + 1;
  if (threads == 0) EXPECT_EQ(swd_cpu_threads(), used);
  return used;
}

class CpuCores : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("OMP_NUM_THREADS");
    made_up.clear();
    cores = 8;
  }
  void TearDown() override {
    unsetenv("OMP_NUM_THREADS");
    cores = 0;
  }
};

TEST_F(CpuCores, ThoseOfTheCallerWhenItSteps) {
  EXPECT_EQ(threads_of_a_step(), 8);
  ModelCase c;
  c.counts = {16 * 16 * 4096};
  c.threads = 0;
  Model model(c);
  for (int now : {1, 3, 2, 6}) {  // the pool grows with them
    static int most = 1;
    cores = now;
    int before = starts;
    EXPECT_TRUE(model.step(1.0));
    EXPECT_EQ(starts - before, now > most ? now - most : 0) << now;
    most = now > most ? now : most;
  }
}

TEST_F(CpuCores, OpenMp) {
  for (auto [wish, threads] : std::map<std::string, int>{{"3", 3},
                                                         {"1", 1},
                                                         {"5,2", 5},
                                                         {"99", 8},
                                                         {"", 8},
                                                         {"0", 8},
                                                         {"-2", 8},
                                                         {"many", 8},
                                                         {"9999999999999", 8}}) {
    setenv("OMP_NUM_THREADS", wish.c_str(), 1);
    EXPECT_EQ(threads_of_a_step(), threads) << wish;
  }
}

TEST_F(CpuCores, QuotaOfVersion2) {
  made_up["/proc/self/cgroup"] = "0::/a/b\n";
  for (auto [text, threads] : std::map<std::string, int>{
           {"400000 100000\n", 4}, {"250000 100000\n", 3}, {"1000 100000\n", 1}, {"max 100000\n", 8}, {"rubbish", 8}}) {
    made_up["/sys/fs/cgroup/a/b/cpu.max"] = text;
    EXPECT_EQ(threads_of_a_step(), threads) << text;
  }
}

TEST_F(CpuCores, GroupsAroundItLimitToo) {
  made_up["/proc/self/cgroup"] = "0::/a/b\n";
  made_up["/sys/fs/cgroup/a/b/cpu.max"] = "500000 100000\n";
  made_up["/sys/fs/cgroup/a/cpu.max"] = "200000 100000\n";
  EXPECT_EQ(threads_of_a_step(), 2);
  made_up.erase("/sys/fs/cgroup/a/cpu.max");
  EXPECT_EQ(threads_of_a_step(), 5);
  made_up["/sys/fs/cgroup/cpu.max"] = "300000 100000\n";  // a container's own, under a path that only the host knows
  EXPECT_EQ(threads_of_a_step(), 3);
}

TEST_F(CpuCores, AGroupWhosePathIsTooLongIsPassedOver) {
  made_up["/proc/self/cgroup"] = "0::/" + std::string(3000, 'x') + "\n";
  made_up["/sys/fs/cgroup/cpu.max"] = "200000 100000\n";
  EXPECT_EQ(threads_of_a_step(), 2);
}

TEST_F(CpuCores, QuotaOfVersion1) {
  made_up["/proc/self/cgroup"] = "12:cpuset:/\n4:cpuacct,cpu:/docker/x\n1:name=systemd:/docker/x\n0::/docker/x\n";
  made_up["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "350000\n";
  made_up["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(threads_of_a_step(), 4);
  made_up["/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us"] = "100000\n";
  made_up["/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us"] = "50000\n";
  EXPECT_EQ(threads_of_a_step(), 2);
  made_up["/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us"] = "-1\n";
  EXPECT_EQ(threads_of_a_step(), 4);
  made_up["/proc/self/cgroup"] = "12:cpuset:/\n5:cpuacct:/\n";
  EXPECT_EQ(threads_of_a_step(), 8) << "not the controller of the quota";
}

TEST_F(CpuCores, TheFewestOfAll) {
  made_up["/proc/self/cgroup"] = "0::/\n";
  made_up["/sys/fs/cgroup/cpu.max"] = "600000 100000\n";
  EXPECT_EQ(threads_of_a_step(), 6);
  setenv("OMP_NUM_THREADS", "4", 1);
  EXPECT_EQ(threads_of_a_step(), 4);
  cores = 2;
  EXPECT_EQ(threads_of_a_step(), 2);
}

TEST_F(CpuCores, WhatThePlanAsksForIsHonoured) {
  made_up["/proc/self/cgroup"] = "0::/\n";
  made_up["/sys/fs/cgroup/cpu.max"] = "100000 100000\n";
  setenv("OMP_NUM_THREADS", "1", 1);
  cores = 1;
  EXPECT_EQ(threads_of_a_step(), 1);
  EXPECT_EQ(threads_of_a_step(7), 7);
}

}  // namespace
}  // namespace swd::test
