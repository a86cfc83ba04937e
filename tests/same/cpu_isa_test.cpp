// SPDX-License-Identifier: Apache-2.0
// The bits do not depend on the instruction set. The library picks one at its first step in a process, so each runs in
// a child; this process itself never makes a step.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "support/cpu_model.h"

namespace swd::test {
namespace {

const swd_dtype kGrads[] = {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16};
const swd_dtype kCopies[] = {SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16};
const int kFlags[] = {0, SWD_PLAN_AMSGRAD, SWD_PLAN_UPDATE_NORMS,
                      SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS | SWD_PLAN_MAXIMIZE};

std::vector<ModelCase> all_cases() {
  std::vector<ModelCase> out;
  for (swd_dtype grad : kGrads) {
    for (swd_dtype copy : kCopies) {
      for (int flags : kFlags) {
        ModelCase c;
        c.grad = grad;
        c.copy = copy;
        c.plan_flags = static_cast<uint32_t>(flags);
        c.counts = {0, 1, 17, 255, 256, 257, 1023, 1025, 4095, 4096, 4097, 0, 9001};
        c.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE};
        out.push_back(c);
        c.beta1 = 0.25;  // the other end of the increment form
        c.beta2 = 0.0;
        out.push_back(c);
      }
    }
  }
  return out;
}

// The hashes of all cases, computed in a child under SWD_CPU_ISA=isa. 0 stands for a case that failed.
std::vector<uint64_t> hashes_under(const char* isa, const std::vector<ModelCase>& cases) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  pid_t child = fork();
  if (child == 0) {
    setenv("SWD_CPU_ISA", isa, 1);
    if (isa[0] != 'n' && std::string(swd_cpu_isa()) > isa) _exit(2);  // a wider one than was asked for
    for (const ModelCase& c : cases) {
      Model model(c);
      uint64_t hash = model.train() ? model.hash() : 0;
      if (write(ends[1], &hash, sizeof hash) != sizeof hash) _exit(1);
    }
    _exit(0);
  }
  close(ends[1]);
  std::vector<uint64_t> out;
  uint64_t hash;
  while (read(ends[0], &hash, sizeof hash) == sizeof hash) out.push_back(hash);
  close(ends[0]);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << isa;
  return out;
}

// By what the operating system says of this machine.
std::string widest() {
#if defined(__x86_64__)
  std::ifstream file("/proc/cpuinfo");
  std::string word;
  std::set<std::string> flags;
  while (file >> word) flags.insert(word);
  auto all = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) { return flags.count(name) != 0; });
  };
  if (!all({"avx2", "bmi1", "bmi2", "fma", "f16c", "movbe", "abm"})) return "base";
  return all({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}) ? "v4" : "v3";
#else
  return "base";
#endif
}

// In a process that asks for none.
TEST(CpuIsa, IsTheWidestOfThisMachine) {
  std::string wanted = widest();
  int status = -1;
  pid_t child = fork();
  if (child == 0) {
    unsetenv("SWD_CPU_ISA");
    _exit(swd_cpu_isa() == wanted ? 0 : 1);
  }
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "expected " << wanted;
}

TEST(CpuIsa, SameBits) {
  std::vector<ModelCase> cases = all_cases();
  std::vector<uint64_t> base = hashes_under("base", cases);
  ASSERT_EQ(base.size(), cases.size());
  for (const char* isa : {"v3", "v4", "no such thing"}) {
    std::vector<uint64_t> other = hashes_under(isa, cases);
    ASSERT_EQ(other.size(), cases.size()) << isa;
    for (size_t i = 0; i < cases.size(); ++i) {
      EXPECT_NE(base[i], 0u);
      EXPECT_EQ(base[i], other[i]) << isa << ": grad " << cases[i].grad << " copy " << cases[i].copy << " flags "
                                   << cases[i].plan_flags << " beta2 " << cases[i].beta2;
    }
  }
}

// The hash sees what it should: otherwise the comparison above would prove nothing.
TEST(CpuIsa, HashesOfDifferentCasesDiffer) {
  std::vector<ModelCase> cases = all_cases();
  cases.push_back(cases[0]);
  cases.back().seed = 2;
  std::vector<uint64_t> hashes = hashes_under("base", cases);
  ASSERT_EQ(hashes.size(), cases.size());
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::unique(hashes.begin(), hashes.end()), hashes.end());
}

}  // namespace
}  // namespace swd::test
