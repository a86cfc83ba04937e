// SPDX-License-Identifier: Apache-2.0
// Element types of gradients and copies: conversion with defined rounding. Called by the loops of both backends.
#pragma once
#include "portable.h"
#include "swd/swd.h"

namespace swd {

// 16-bit floats as stored. Conversions are exact or round to nearest even, with one NaN: integer code here, and on the
// device the instruction that is defined to give the same (tests/same/cuda_conversion_test.cpp).
struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};
struct None {};  // no such buffer

SWD_FN float to_float(float x) { return x; }

SWD_FN float to_float(Bf16 x) { return bits_float(static_cast<uint32_t>(x.bits) << 16); }

SWD_FN float to_float(F16 x) {
#ifdef __CUDA_ARCH__
  float y;  // exact; the integer code would be a third of pass 1
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#else
  uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  uint32_t rest = static_cast<uint32_t>(x.bits & 0x7FFFu) << 13;
  // Exponents differ by 112; the product is exact, also for denormals. Infinity and NaN take the largest exponent.
  // The choice is a mask, as in run_square.
  uint32_t scaled = float_bits(bits_float(rest) * 0x1p112f);
  uint32_t not_finite = 0u - static_cast<uint32_t>((x.bits & 0x7C00u) == 0x7C00u);
  return bits_float(sign | (scaled & ~not_finite) | ((rest | 0x7F800000u) & not_finite));
#endif
}

SWD_FN Bf16 round_to(float x, Bf16) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return Bf16{static_cast<uint16_t>(x != x ? 0x7FC0u : bits)};
#else
  uint32_t u = float_bits(x);
  uint32_t nearest_even = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  return Bf16{static_cast<uint16_t>(x != x ? 0x7FC0u : nearest_even)};
#endif
}

SWD_FN F16 round_to(float x, F16) {
#ifdef __CUDA_ARCH__
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return F16{static_cast<uint16_t>(x != x ? 0x7E00u : bits)};
#else
  uint32_t u = float_bits(x);
  uint32_t sign = (u >> 16) & 0x8000u;
  uint32_t a = u & 0x7FFFFFFFu;
  // Below 2^-14 adding 0.5 leaves the rounded denormal in the low mantissa bits; above, add half and drop 13 bits.
  uint32_t denormal = float_bits(bits_float(a) + 0.5f) - 0x3F000000u;
  uint32_t normal = (a + 0xC8000FFFu + ((a >> 13) & 1u)) >> 13;
  uint32_t h = a < 0x38800000u ? denormal : normal;
  h = a >= 0x477FF000u ? 0x7C00u : h;
  return F16{static_cast<uint16_t>(x != x ? 0x7E00u : (sign | h))};
#endif
}

SWD_FN None round_to(float, None) { return None{}; }

// A parameter from itself and from its copy, which others may have written: the copy counts where it is not the
// parameter's rounding. By bits, so that a zero of the other sign is taken too.
template <class Copy>
SWD_FN float take_copy(float p, Copy copy) {
  return round_to(p, Copy{}).bits == copy.bits ? p : to_float(copy);
}

}  // namespace swd
