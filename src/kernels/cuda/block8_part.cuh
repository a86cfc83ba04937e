// SPDX-License-Identifier: Apache-2.0
// The usual case of a part with block8 moments, in about two thirds of the instructions of the general one: rows of
// block8 are bound by issue. Called by narrow_item.cuh, which takes the general case where this one says no.
//
// It holds where the constants are plain, no code is zero, and all operands of root and division lie in a range where
// both are the short sequences below, without the tests and calls that the compiler puts around them. The ranges are
// looked at with the block's maxima, which have to be found anyway.
#pragma once
#include "narrow_codes.cuh"

namespace swd::cuda {

// Correctly rounded for x in 2^-101 .. FLT_MAX: what nvcc makes of a root behind its test of the operand.
__device__ __forceinline__ float root_in_range(float x) {
  float r;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  float y = __fmul_rn(x, r);
  return __fmaf_rn(__fmaf_rn(-y, y, x), __fmul_rn(r, 0.5f), y);
}

// Correctly rounded where x, y, and x / y are normal numbers, 1 / y too, and the exponent of x is at least -101: then
// all remainders are exact. What nvcc makes of a division behind its test, and one correction more, which leaves a
// quotient that is correctly rounded as it is.
__device__ __forceinline__ float quotient_in_range(float x, float y) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(y));
  r = __fmaf_rn(r, __fmaf_rn(-y, r, 1.0f), r);
  float q = __fmul_rn(x, r);
  q = __fmaf_rn(r, __fmaf_rn(-y, q, x), q);
  return __fmaf_rn(r, __fmaf_rn(-y, q, x), q);
}

// The constants' part. Every number below is followed through the formula: with them and with what usual_bytes asks
// for, second moments are 2^-92 to 2^24, the divisor is 2^-46 to 2^12 * 2^12 + 2^20, and quotients are 2^-122 to 2^126.
__device__ __forceinline__ bool are_usual(const Coefficients& c) {
  return is_plain(c) && c.b <= 0x1p12f && c.eps <= 0x1p20f;
}

// The blocks' part, before the step: a code above 0 of exp_avg_sq is at least 2^(69 - 4 * kSecondBits - 127), half of
// that with its unit, and again half after the step, as beta2 is at least 0.5. Where its byte says that it is not
// finite, usual_bytes finds numbers too large; of exp_avg it could find none.
__device__ __forceinline__ bool are_usual(const BlockBytes& bytes) {
  return bytes.first != kNotFiniteBlock && bytes.second >= 68u;
}

constexpr float kLeastFirst = 0x1p-97f, kMostFirst = 0x1p80f, kMostSecond = 0x1p24f;

// block_byte within these ranges, where neither of its bounds is met.
template <int kBits>
__device__ __forceinline__ uint32_t usual_byte(uint32_t largest) {
  return (largest + (1u << (26 - kBits)) - 8u) >> 23;
}

// And after it: the bytes of a block whose part this warp has, unless a magnitude is out of range or not a number, or
// some thread has found another reason why not. `w`: exp_avg_sq over its unit, not negative.
__device__ __forceinline__ bool usual_bytes(const float (&m)[4], const float (&w)[4], bool rare, BlockBytes& bytes) {
  float most_first = 0.0f, least_first = FLT_MAX;
  uint32_t most_second = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    most_first = fmaxf(most_first, fabsf(m[j]));
    least_first = fminf(least_first, fabsf(m[j]));
    most_second = max(most_second, float_bits(w[j]));
  }
  rare = rare || least_first < kLeastFirst;
  uint32_t first = warp_max(rare ? ~0u : float_bits(most_first)), second = warp_max(most_second);
  bytes = {usual_byte<kFirstBits>(first), usual_byte<kSecondBits>(second)};
  return first < float_bits(kMostFirst) && second < float_bits(kMostSecond);
}

// Whether a byte of either word is zero. `m`: without signs.
__device__ __forceinline__ bool has_zero(uint32_t m, uint32_t v) {
  return (((m - 0x01010101u) | ((v - 0x01010101u) & ~v)) & 0x80808080u) != 0;
}

// Byte j of a word as a float.
__device__ __forceinline__ float byte_value(uint32_t word, int j) {
  return static_cast<float>(static_cast<int>(select_bytes(word, 0, 0x4440u + static_cast<uint32_t>(j))));
}

// Codes above 0. The least, whose pattern the base is, has the value 1: four times that of 1.0 wraps to 0xFE000000.
__device__ __forceinline__ void decode_usual(uint32_t m_word, uint32_t v_word, const BlockBytes& bytes, float unit,
                                             float (&m)[4], float (&v)[4]) {
  uint32_t first = block_base<kFirstBits>(bytes.first) - 0xFE000000u;
  uint32_t second = block_base<kSecondBits>(bytes.second) - 0xFE000000u;
  uint32_t magnitudes = m_word & 0x7F7F7F7Fu;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    uint32_t sign = (m_word << (24 - 8 * j)) & 0x80000000u;
    m[j] = bits_float((4u * float_bits(byte_value(magnitudes, j)) + first) | sign);
    v[j] = unit * bits_float(4u * float_bits(byte_value(v_word, j)) + second);
  }
}

// encode_magnitude with its root scaled by 2^-70, so that no sum leaves 31 bits: the code of a magnitude is then in
// bits 23 - kBits .. 22. The scale changes no rounding.
constexpr uint32_t kOrigin = 0x72000000u;  // of the number that becomes code 1; a quarter of it is 2^-70

// Byte 2 of each is the code.
__device__ __forceinline__ uint32_t usual_first(float m, uint32_t twice_offset, uint32_t r) {
  float root = bits_float((2u * float_bits(m) + twice_offset) >> 3);
  return float_bits(root + 0x1p-63f) + r;
}
__device__ __forceinline__ uint32_t usual_second(float w, uint32_t offset, uint32_t r) {
  float root = bits_float(max(float_bits(w) + offset, kOrigin) >> 2);  // no code is 0
  return 2u * float_bits(root + 0x1p-62f) + r;
}

// m and w without a zero, all of them finite. `r` of exp_avg_sq has a bit more than it takes, which changes nothing.
__device__ __forceinline__ void encode_usual(const float (&m)[4], const float (&w)[4], const RoundingBits (&bits)[4],
                                             const BlockBytes& bytes, uint32_t& m_word, uint32_t& v_word) {
  uint32_t first = 2u * (kOrigin - block_base<kFirstBits>(bytes.first));
  uint32_t second = kOrigin - block_base<kSecondBits>(bytes.second);
  uint32_t m_codes[4], v_codes[4], m_bits[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    m_bits[j] = float_bits(m[j]);
    m_codes[j] = usual_first(m[j], first, bits[j].b >> 16);
    v_codes[j] = usual_second(w[j], second, bits[j].a >> 16);
  }
  uint32_t codes = pack_bytes<2>(m_codes);
  uint32_t signs = pack_bytes<3>(m_bits) & (codes + 0x7F7F7F7Fu) & 0x80808080u;  // not of a code that became 0
  m_word = codes | signs;
  v_word = pack_bytes<2>(v_codes);
}

}  // namespace swd::cuda
