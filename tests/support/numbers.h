// SPDX-License-Identifier: Apache-2.0
// Reproducible random numbers, 16-bit codes and distances in units in the last place. Independent of src/kernels.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd::test {

// splitmix64 as the golden files define it (tests/golden/README.md).
uint64_t mix(uint64_t x);

// n values in [-1, 1), exact in fp32.
std::vector<float> uniform(uint64_t seed, uint64_t stream, int64_t n);

// A stream of random decisions, for tests that draw their cases.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(mix(seed)) {}
  uint64_t bits() { return mix(state_++); }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  double unit() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  bool chance(double p) { return unit() < p; }

 private:
  uint64_t state_;
};

uint64_t element_bytes(swd_dtype dtype);

// The nearest code of a 16-bit dtype, ties to even; and the value of a code. Computed with library functions on
// doubles, so that they share nothing with the integer code under test.
uint16_t nearest_code(swd_dtype dtype, float x);
float code_value(swd_dtype dtype, uint16_t code);

// x as that dtype holds it.
float rounded_to(swd_dtype dtype, float x);

// The distance between two consecutive fp32 numbers at the magnitude of x, that of FLT_MIN below it.
double ulp_of(double x);

uint32_t bits_of(float x);
float float_of(uint32_t bits);

}  // namespace swd::test
