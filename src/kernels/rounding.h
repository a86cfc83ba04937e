// SPDX-License-Identifier: Apache-2.0
// The bits that narrow codes are rounded by: a pure function of the state's seed, the segment's step and the element's
// index in the unsharded model. So they are the same on every backend, for any launch, thread count or cut of the
// model, in a replay and after a resume. Called by pass 2 of both backends; docs/numerics.md.
//
// Stochastic, because to nearest a moment in bf16 stands still: a step without gradient takes 0.1 % of v away, and half
// a unit in its last place is 0.2 % or more.
#pragma once
#include "portable.h"

namespace swd {

// Of one segment in one step.
struct RoundingKey {
  uint32_t low, high;
};

// Of one element. exp_avg gets the upper half of b, exp_avg_sq that of a (or 15 bits of it), the parameter the lowest
// bytes: none is used twice.
struct RoundingBits {
  uint32_t a, b;
};

SWD_FN uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// `step`: the segment's counter after the step.
SWD_FN RoundingKey rounding_key(uint64_t seed, int64_t step) {
  uint64_t key = splitmix64(seed ^ splitmix64(static_cast<uint64_t>(step)));
  return RoundingKey{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
}

// Where an element's bits begin. Linear in the index: elements side by side are kIndexStep apart, unless the lower half
// of the index wraps between them.
constexpr uint32_t kIndexStep = 0x9E3779B1u;
SWD_FN uint32_t rounding_start(RoundingKey key, uint32_t index_low, uint32_t index_high) {
  return (index_low + key.low) * kIndexStep + index_high * 0x85157AF5u;
}

SWD_FN RoundingBits rounding_bits_from(RoundingKey key, uint32_t x) {
  x ^= x >> 15;
  x = (x ^ key.high) * 0x2C1B3C6Du;
  x ^= x >> 13;
  uint32_t a = x * 0x297A2D39u;
  a ^= a >> 16;
  uint32_t b = (a ^ key.low) * 0x846CA68Bu;
  b ^= b >> 15;
  return RoundingBits{a, b};
}

// The index comes in halves: within a block of elements the upper one is nearly always a constant.
SWD_FN RoundingBits rounding_bits(RoundingKey key, uint32_t index_low, uint32_t index_high) {
  return rounding_bits_from(key, rounding_start(key, index_low, index_high));
}

// One NaN: rounding its bits up could make it a number.
SWD_FN uint32_t one_nan(uint32_t bits) { return (bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC00000u : bits; }

// The upper half of an fp32 number, rounded by `r`, uniform in 0 .. 65535, or to nearest by 0x8000.
SWD_FN uint16_t upper_half(float x, uint32_t r) { return static_cast<uint16_t>((one_nan(float_bits(x)) + r) >> 16); }

constexpr uint32_t kNearestHalf = 0x8000u;

}  // namespace swd
