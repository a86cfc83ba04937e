// SPDX-License-Identifier: Apache-2.0
// Picks the build of the loops once per process.
#include "isa.h"

#include <cstdlib>
#include <initializer_list>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace swd::cpu {
namespace {

using LoopsFunction = const Loops* (*)(const Dtypes&);

#if defined(__x86_64__)
// By CPUID itself: __builtin_cpu_supports reads a table that libgcc's start-up code fills, and which other linkers
// leave empty. Then the plainest loops run, at half the speed, without a word.
struct Leaf {
  uint32_t a, b, c, d;
};

Leaf leaf(uint32_t number) {
  Leaf out{};  // zeros where the CPU has no such leaf
  __get_cpuid_count(number, 0, &out.a, &out.b, &out.c, &out.d);
  return out;
}

constexpr uint32_t bits(std::initializer_list<int> numbers) {
  uint32_t out = 0;
  for (int number : numbers) out |= 1u << number;
  return out;
}

bool has(uint32_t word, uint32_t wanted) { return (word & wanted) == wanted; }

// Whether the operating system keeps these registers: bits of XCR0.
bool keeps(uint32_t wanted) {
  if (!has(leaf(1).c, bits({27}))) return false;  // OSXSAVE
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return has(low, wanted);
}

bool cpu_has_v3() {
  return keeps(bits({1, 2})) && has(leaf(1).c, bits({12, 22, 28, 29})) &&         // xmm, ymm; FMA, MOVBE, AVX, F16C
         has(leaf(7).b, bits({3, 5, 8})) && has(leaf(0x80000001u).c, bits({5}));  // BMI, AVX2, BMI2; LZCNT
}

bool cpu_has_v4() {
  return cpu_has_v3() && keeps(bits({1, 2, 5, 6, 7})) &&  // and masks, the wider and the further registers
         has(leaf(7).b, bits({16, 17, 28, 30, 31}));      // AVX512F, DQ, CD, BW, VL
}
#else
bool cpu_has_v3() { return false; }
bool cpu_has_v4() { return false; }
#endif

bool built(LoopsFunction loops) { return loops(kDtypeRows[0]) != nullptr; }

LoopsFunction pick() {
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
