// SPDX-License-Identifier: Apache-2.0
// A moment in 8 bits an element and one byte for each block of 128: a floating-point code whose precision falls with
// the distance from the block's largest magnitude, a mantissa bit every 4 octaves. So most bits are where most of the
// sum is, and 32 octaves (28 of a signed moment) are still told apart. Called by pass 2, and where states are loaded,
// stored and summed.
//
// Dividing the bit pattern of a float by 4 is a piecewise linear fourth root; that root, from 1 to 2^K, rounded to an
// integer is the code. K = 7 bits and a sign for exp_avg, K = 8 for exp_avg_sq. The block's byte is the exponent of its
// largest magnitude, rounded up as the codes round. A second moment above 0 is never stored as 0, which would make the
// next step as large as 1 / eps: it is raised to the smallest code, and the step gets smaller.
#pragma once
#include "rounding.h"

namespace swd {

struct Block8 {};  // says how a moment is stored

constexpr int kScaleBlock = 128;           // elements of a block, from the segment's start; the last may be short
constexpr uint32_t kNotFiniteBlock = 255;  // its byte where an element is not finite: all of it reads as NaN

// The byte of a block, from the largest bit pattern of a magnitude in it. That pattern may pass the largest code by 7:
// it is rounded away with the root, and a maximum that lies on that code and moves by what fp32 rounds, step after step
// without a gradient, does not change the byte, which would round the whole block again.
template <int kBits>
SWD_FN uint32_t block_byte(uint32_t largest) {
  uint32_t exponent = (largest + (1u << (26 - kBits)) - 8u) >> 23;
  uint32_t least = 4 * kBits;  // so that the smallest code is a normal number
  return exponent > 254u ? kNotFiniteBlock : exponent < least ? least : exponent;
}

// The bit pattern that the code 1 stands for.
template <int kBits>
SWD_FN uint32_t block_base(uint32_t byte) {
  return (byte + 1u - 4u * kBits) << 23;
}

// The code of a magnitude. `r`: 23 - kBits random bits, or half of that range for nearest.
template <int kBits>
SWD_FN uint32_t encode_magnitude(uint32_t magnitude_bits, uint32_t base, uint32_t r) {
  constexpr float kTop = static_cast<float>(1 << kBits);
  constexpr uint32_t kTopBits = static_cast<uint32_t>(127 + kBits) << 23;
  uint32_t quarter = static_cast<uint32_t>(static_cast<int32_t>(magnitude_bits - base) >> 2);
  float fourth_root = bits_float(quarter + 0x3F800000u);
  return (float_bits(fourth_root + kTop) - kTopBits + r) >> (23 - kBits);
}

// The bit pattern of what a code above 0 stands for.
SWD_FN uint32_t decode_magnitude(uint32_t code, uint32_t base) {
  return ((float_bits(static_cast<float>(static_cast<int32_t>(code))) - 0x3F800000u) << 2) + base;
}

// All bits if a code is not 0. A mask, because gcc would not vectorise the choice.
SWD_FN uint32_t mask_of(uint32_t code) { return 0u - static_cast<uint32_t>(code != 0u); }

// What a block's byte says to its elements, once a block.
struct BlockScale {
  uint32_t base;
  uint32_t nan;   // joins what is decoded: 0, or what makes it NaN
  uint32_t keep;  // masks what is encoded: all bits, or none
};

template <int kBits>
SWD_FN BlockScale block_scale(uint32_t byte) {
  bool finite = byte != kNotFiniteBlock;
  return BlockScale{block_base<kBits>(byte), finite ? 0u : 0x7FC00000u, finite ? ~0u : 0u};
}

constexpr int kFirstBits = 7;   // of exp_avg, beside its sign
constexpr int kSecondBits = 8;  // of exp_avg_sq

SWD_FN float decode_first(uint8_t code, const BlockScale& scale) {
  uint32_t magnitude = code & 0x7Fu, sign = static_cast<uint32_t>(code >> 7) << 31;
  return bits_float(((decode_magnitude(magnitude, scale.base) | sign) & mask_of(magnitude)) | scale.nan);
}

SWD_FN float decode_second(uint8_t code, const BlockScale& scale) {
  return bits_float((decode_magnitude(code, scale.base) & mask_of(code)) | scale.nan);
}

// `r`: 16 random bits, or kNearestHalf. A zero stays one: in blocks below 2^-31 its root is not negligible. What rounds
// to zero loses its sign, so that zero has one code.
SWD_FN uint8_t encode_first(float m, const BlockScale& scale, uint32_t r) {
  uint32_t bits = float_bits(m), magnitude = bits & 0x7FFFFFFFu;
  uint32_t code = encode_magnitude<kFirstBits>(magnitude, scale.base, r) & mask_of(magnitude) & scale.keep;
  return static_cast<uint8_t>(code | ((bits >> 31) << 7 & mask_of(code)));
}

// `r`: 15 random bits, or kNearestHalf / 2. `w` is 0 or a positive normal number.
SWD_FN uint8_t encode_second(float w, const BlockScale& scale, uint32_t r) {
  uint32_t bits = float_bits(w) & 0x7FFFFFFFu, least = bits != 0u ? 1u : 0u;
  uint32_t code = encode_magnitude<kSecondBits>(bits, scale.base, r) & (0u - least);
  return static_cast<uint8_t>((code < least ? least : code) & scale.keep);
}

}  // namespace swd
