// SPDX-License-Identifier: Apache-2.0
// Picks the build of the loops once per process.
#include "isa.h"

#include <cstdlib>

namespace swd::cpu {
namespace {

using LoopsFunction = const Loops* (*)(const Dtypes&);

bool cpu_has_v3() {
#if defined(__x86_64__)
  bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
             __builtin_cpu_supports("bmi2");
#if !defined(__clang__)  // whose older versions do not know these; every CPU with AVX2 and BMI2 has them
  has = has && __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("movbe");
#endif
  return has;
#else
  return false;
#endif
}

bool cpu_has_v4() {
#if defined(__x86_64__)
  return cpu_has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool built(LoopsFunction loops) { return loops(kDtypeRows[0]) != nullptr; }

LoopsFunction pick() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  const char* wish = std::getenv("SWD_CPU_ISA");
  bool at_most_v3 = wish && strcmp(wish, "v3") == 0, base = wish && strcmp(wish, "base") == 0;
  if (!base && !at_most_v3 && cpu_has_v4() && built(loops_v4)) return loops_v4;
  if (!base && cpu_has_v3() && built(loops_v3)) return loops_v3;
  return loops_base;
}

LoopsFunction picked() {
  static const LoopsFunction function = pick();
  return function;
}

}  // namespace

const Loops& loops_for(const Dtypes& dtypes) { return *picked()(dtypes); }

const char* isa_name() { return picked() == loops_v4 ? "v4" : picked() == loops_v3 ? "v3" : "base"; }

}  // namespace swd::cpu
