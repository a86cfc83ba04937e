// SPDX-License-Identifier: Apache-2.0
// A parameter as a bf16 number that everybody reads and 16, 8 or 0 more bits that only the optimizer does: together
// exactly fp32, 24 bits of it, or the bf16 number alone. Called by pass 2, and where states are loaded and stored.
//
// The visible half is nearest with ties away from zero, not to even: 65,537 fp32 numbers round to an even bf16 number,
// and 16 bits tell 65,536 of them apart. For numbers it is the layout of Apex and Transformer Engine. The remainder is
// signed, so that the visible half is the nearest number and not the one below.
#pragma once
#include "dtype.h"
#include "rounding.h"

namespace swd {

template <int kRemainderBits>
struct Split {};  // says how a parameter is stored

struct SplitWords {
  uint16_t high;
  uint16_t low;  // of 8 bits of remainder the lower byte; of none 0
};

// What split() writes is NaN only if its visible half is. Where somebody else wrote 0 or infinity there, and left the
// remainder of another number, the sum is NaN, too, and the parameter what was written.
SWD_FN uint32_t or_visible(uint32_t sum, uint32_t visible) {
  uint32_t foreign = 0u - static_cast<uint32_t>(static_cast<int32_t>(sum & 0x7FFFFFFFu) > 0x7F800000);
  return sum ^ ((sum ^ visible) & foreign);
}

SWD_FN float join(Split<16>, uint16_t high, uint16_t low) {
  uint32_t visible = static_cast<uint32_t>(high) << 16, sign = 0u - static_cast<uint32_t>(low >> 15);
  return bits_float(or_visible(visible + (sign << 16) + low, visible));
}

SWD_FN float join(Split<8>, uint16_t high, uint16_t low) {
  uint32_t visible = static_cast<uint32_t>(high) << 16, sign = 0u - static_cast<uint32_t>(low >> 7);
  return bits_float(or_visible(visible + (sign << 16) + (static_cast<uint32_t>(low) << 8), visible));
}

SWD_FN float join(Split<0>, uint16_t high, uint16_t) { return bits_float(static_cast<uint32_t>(high) << 16); }

// `r`: below one step of what is kept, uniform, or kNearest.
SWD_FN SplitWords split(Split<16>, float x, uint32_t) {
  uint32_t u = one_nan(float_bits(x));
  return SplitWords{static_cast<uint16_t>((u + 0x8000u) >> 16), static_cast<uint16_t>(u)};
}

SWD_FN SplitWords split(Split<8>, float x, uint32_t r) {
  uint32_t u = one_nan(float_bits(x)) + r;
  return SplitWords{static_cast<uint16_t>((u + 0x8000u) >> 16), static_cast<uint16_t>((u >> 8) & 0xFFu)};
}

SWD_FN SplitWords split(Split<0>, float x, uint32_t r) { return SplitWords{upper_half(x, r), 0}; }

SWD_FN uint32_t param_bits(Split<16>, RoundingBits) { return 0; }
SWD_FN uint32_t param_bits(Split<8>, RoundingBits bits) { return bits.b & 0xFFu; }
SWD_FN uint32_t param_bits(Split<0>, RoundingBits bits) { return (bits.a & 0xFFu) << 8 | (bits.b & 0xFFu); }

SWD_FN uint32_t nearest_param(Split<16>) { return 0; }
SWD_FN uint32_t nearest_param(Split<8>) { return 0x80u; }
SWD_FN uint32_t nearest_param(Split<0>) { return kNearestHalf; }

}  // namespace swd
