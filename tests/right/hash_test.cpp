// SPDX-License-Identifier: Apache-2.0
// Results are pinned across versions: tests/golden/hashes.txt holds a hash of what each run below leaves behind, and
// every instruction set, thread count and backend must reproduce it. To record a deliberate change of results, run
// with SWD_WRITE_HASHES=FILE, say so in the changelog, and commit the file.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "support/pinned_runs.h"

namespace swd::test {
namespace {

using Hashes = std::map<std::string, std::string>;

Hashes stored() {
  std::ifstream file(std::string(SWD_TEST_DATA_DIR) + "/hashes.txt");
  Hashes out;
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    std::string name, hash;
    if (line.empty() || line[0] == '#' || !(in >> name >> hash)) continue;
    out[name] = hash;
  }
  return out;
}

std::string lines(int32_t threads) {
  std::ostringstream out;
  for (const PinnedRun& run : pinned_runs()) {
    char text[32];
    snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash_of(run, threads)));
    out << run.name << " " << text << "\n";
  }
  return out.str();
}

Hashes parsed(const std::string& text) {
  Hashes out;
  std::istringstream in(text);
  for (std::string name, hash; in >> name >> hash;) out[name] = hash;
  return out;
}

// The library picks its instruction set once in a process, so each is tried in a child.
Hashes computed_under(const char* isa, int32_t threads) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  pid_t child = fork();
  if (child == 0) {
    setenv("SWD_CPU_ISA", isa, 1);
    std::string text = lines(threads);
    bool whole = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(whole && !::testing::Test::HasFailure() ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
  close(ends[0]);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << isa;
  return parsed(text);
}

TEST(Hashes, EveryVersionLeavesTheSameBits) {
  if (const char* path = getenv("SWD_WRITE_HASHES")) {
    std::ofstream(path)
        << "# FNV-1a of parameters, moments, copies, state and statistics after each run of tests/support/"
           "pinned_runs.cpp.\n"
        << lines(1);
    return;
  }
  if (backend_under_test() == SWD_BACKEND_CUDA) {
    EXPECT_EQ(parsed(lines(0)), stored());
    return;
  }
  for (const char* isa : {"base", "v3", "v4"}) {
    for (int32_t threads : {1, 3}) {
      SCOPED_TRACE(std::string(isa) + ", threads " + std::to_string(threads));
      EXPECT_EQ(computed_under(isa, threads), stored());
    }
  }
}

TEST(Hashes, TheFileNamesEveryRunAndNoTwoHashesAreAlike) {
  Hashes hashes = stored();
  std::map<std::string, std::string> seen;
  for (const PinnedRun& run : pinned_runs()) EXPECT_EQ(hashes.count(run.name), 1u) << run.name;
  for (const auto& [name, hash] : hashes) EXPECT_TRUE(seen.emplace(hash, name).second) << name << " and " << seen[hash];
  EXPECT_EQ(hashes.size(), pinned_runs().size());
}

}  // namespace
}  // namespace swd::test
