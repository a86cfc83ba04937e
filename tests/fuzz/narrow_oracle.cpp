// SPDX-License-Identifier: Apache-2.0
// The codes of narrow_oracle.h.
#include "narrow_oracle.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "support/numbers.h"

namespace swd::fuzz {
namespace {

constexpr int64_t kBlock = 128, kChunk = 4096;

struct Bits {
  uint32_t a, b;
};

Bits bits_of_element(uint64_t seed, int64_t step, uint64_t index) {
  const uint64_t key = test::mix(seed ^ test::mix(static_cast<uint64_t>(step)));
  const uint32_t low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32);
  uint32_t x = (static_cast<uint32_t>(index) + low) * 0x9E3779B1u + static_cast<uint32_t>(index >> 32) * 0x85157AF5u;
  x ^= x >> 15;
  x = (x ^ high) * 0x2C1B3C6Du;
  x ^= x >> 13;
  uint32_t a = x * 0x297A2D39u;
  a ^= a >> 16;
  uint32_t b = (a ^ low) * 0x846CA68Bu;
  return {a, b ^ b >> 15};
}

uint32_t pattern(float x) { return std::isnan(x) ? 0x7FC00000u : test::bits_of(x); }

uint16_t half_at(const std::vector<uint8_t>& from, int64_t i) {
  const size_t at = 2 * static_cast<size_t>(i);
  return static_cast<uint16_t>(from[at] | from[at + 1] << 8);
}

void put_half(std::vector<uint8_t>& to, int64_t i, uint32_t value) {
  to[2 * static_cast<size_t>(i)] = static_cast<uint8_t>(value);
  to[2 * static_cast<size_t>(i) + 1] = static_cast<uint8_t>(value >> 8);
}

// Exponent and fraction as one number: where x is 2^e * (1 + f), e + f.
double stretched(float x) {
  int exponent = 0;
  double fraction = std::frexp(std::fabs(static_cast<double>(x)), &exponent);  // in [0.5, 1)
  return exponent - 1 + (2.0 * fraction - 1.0);
}
double shrunk(double z) { return std::ldexp(1.0 + (z - std::floor(z)), static_cast<int>(std::floor(z))); }

// Of k bits of magnitude: a number of block `byte` is 2^origin times a fourth power that is drawn straight between
// powers of two.
struct Block {
  int k, byte;
  double origin() const { return byte + 1 - 4 * k - 127; }

  float value(uint32_t code) const {
    if (byte == 255) return NAN;
    if (code == 0) return 0.0f;
    return static_cast<float>(shrunk(4.0 * stretched(static_cast<float>(code)) + origin()));
  }
  // r in units of 2^-(23 - k).
  uint32_t code(float x, uint32_t r) const {
    if (byte == 255 || x == 0.0f) return 0;
    const double z = std::floor(std::ldexp(stretched(x) - origin(), 23) / 4.0);  // whole steps of 2^-23
    const float root = static_cast<float>(shrunk(std::ldexp(z, -23)));
    const float top = static_cast<float>(1 << k), sum = root + top;
    const double steps = std::ldexp(static_cast<double>(sum) - static_cast<double>(top), 23 - k);
    return static_cast<uint32_t>(std::floor(std::ldexp(steps + r, k - 23)));
  }
};

Block block_of(int k, const float* x, int64_t count) {
  float largest = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(x[i])) return {k, 255};
    largest = std::max(largest, std::fabs(x[i]));
  }
  if (largest == 0.0f) return {k, 4 * k};
  const int byte = static_cast<int>(std::floor(stretched(largest) + 127 + std::ldexp(1.0, 3 - k) - 0x1p-20));
  return {k, byte > 254 ? 255 : std::max(byte, 4 * k)};
}

// The first scale of a segment whose chunks before it fill whole rows of 32.
size_t first_scale(const Training& t, size_t k) {
  int64_t chunks = 0;
  for (size_t i = 0; i < k; ++i) chunks += (t.segments[i].count + kChunk - 1) / kChunk;
  return static_cast<size_t>(chunks * (kChunk / kBlock));
}

void decode_param(Training& t, int64_t i) {
  const uint32_t high = static_cast<uint32_t>(half_at(t.codes[SWD_BUFFER_PARAM], i)) << 16;
  const std::vector<uint8_t>& rest = t.codes[SWD_BUFFER_REMAINDER];
  int32_t low = 0;
  if (t.remainder_dtype == SWD_DTYPE_I16) low = static_cast<int16_t>(half_at(rest, i));
  if (t.remainder_dtype == SWD_DTYPE_I8) low = 256 * static_cast<int8_t>(rest[static_cast<size_t>(i)]);
  float sum = test::float_of(high + static_cast<uint32_t>(low));
  t.param[static_cast<size_t>(i)] = std::isnan(sum) ? test::float_of(high) : sum;
}

void encode_param(Training& t, int64_t i, const Bits& bits) {
  const uint32_t u = pattern(t.param[static_cast<size_t>(i)]);
  std::vector<uint8_t>&high = t.codes[SWD_BUFFER_PARAM], &rest = t.codes[SWD_BUFFER_REMAINDER];
  if (t.remainder_dtype == SWD_DTYPE_I16) {
    put_half(high, i, (u + 0x8000u) >> 16);
    put_half(rest, i, u & 0xFFFFu);
  } else if (t.remainder_dtype == SWD_DTYPE_I8) {
    const uint32_t kept = (u + (bits.b & 0xFFu)) >> 8;  // 24 bits
    put_half(high, i, (kept + 0x80u) >> 8);
    rest[static_cast<size_t>(i)] = static_cast<uint8_t>(kept);
  } else {
    put_half(high, i, (u + ((bits.a & 0xFFu) << 8 | (bits.b & 0xFFu))) >> 16);
  }
}

double unit_of(const Training& t, size_t k) {
  return t.states[k].exp_avg_sq_unit == 0.0 ? 1.0 : t.states[k].exp_avg_sq_unit;
}

}  // namespace

void decode_segment(Training& t, size_t k, int64_t at) {
  const float unit = static_cast<float>(unit_of(t, k));
  for (int64_t n = 0; n < t.segments[k].count; ++n) {
    const size_t i = static_cast<size_t>(at + n);
    if (t.param_dtype != SWD_DTYPE_F32) decode_param(t, at + n);
    if ((t.plan_flags & SWD_PLAN_TAKE_COPY) && test::nearest_code(t.copy_dtype, t.param[i]) != t.param_copy[i]) {
      t.param[i] = test::code_value(t.copy_dtype, t.param_copy[i]);
    }
    if (t.moment_dtype == SWD_DTYPE_BF16) {
      t.exp_avg[i] = test::float_of(static_cast<uint32_t>(half_at(t.codes[SWD_BUFFER_EXP_AVG], at + n)) << 16);
      t.exp_avg_sq[i] =
          unit * test::float_of(static_cast<uint32_t>(half_at(t.codes[SWD_BUFFER_EXP_AVG_SQ], at + n)) << 16);
    } else if (t.moment_dtype == SWD_DTYPE_BLOCK8) {
      const size_t scale = first_scale(t, k) + static_cast<size_t>(n / kBlock);
      const uint32_t m = t.codes[SWD_BUFFER_EXP_AVG][i];
      const float magnitude = Block{7, t.codes[SWD_BUFFER_EXP_AVG_SCALE][scale]}.value(m & 0x7Fu);
      t.exp_avg[i] = (m & 0x80u) != 0 && magnitude != 0.0f ? -magnitude : magnitude;
      t.exp_avg_sq[i] =
          unit * Block{8, t.codes[SWD_BUFFER_EXP_AVG_SQ_SCALE][scale]}.value(t.codes[SWD_BUFFER_EXP_AVG_SQ][i]);
    }
  }
}

void encode_segment(Training& t, size_t k, int64_t at) {
  const int64_t count = t.segments[k].count, step = t.states[k].step;
  const bool narrow = t.moment_dtype != SWD_DTYPE_F32;
  const double beta2 = t.groups[t.segments[k].group].beta2;
  double unit = unit_of(t, k) * (beta2 >= 0.5 ? beta2 : 1.0);
  if (unit < 0.5) unit *= 2.0;
  if (narrow) t.states[k].exp_avg_sq_unit = unit;
  const float inverse = static_cast<float>(1.0 / unit);
  std::vector<float> w;
  for (int64_t n = 0; n < count; ++n) w.push_back(t.exp_avg_sq[static_cast<size_t>(at + n)] * inverse);
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    const Block first = block_of(7, t.exp_avg.data() + at + begin, size), second = block_of(8, w.data() + begin, size);
    if (t.moment_dtype == SWD_DTYPE_BLOCK8) {
      const size_t scale = first_scale(t, k) + static_cast<size_t>(begin / kBlock);
      t.codes[SWD_BUFFER_EXP_AVG_SCALE][scale] = static_cast<uint8_t>(first.byte);
      t.codes[SWD_BUFFER_EXP_AVG_SQ_SCALE][scale] = static_cast<uint8_t>(second.byte);
    }
    for (int64_t n = begin; n < begin + size; ++n) {
      const size_t i = static_cast<size_t>(at + n);
      const Bits bits = bits_of_element(t.counts.rounding_seed, step, static_cast<uint64_t>(at + n));
      if (t.param_dtype != SWD_DTYPE_F32) encode_param(t, at + n, bits);
      const float m = t.exp_avg[i], v = w[static_cast<size_t>(n)];
      if (t.moment_dtype == SWD_DTYPE_BF16) {
        put_half(t.codes[SWD_BUFFER_EXP_AVG], at + n, (pattern(m) + (bits.b >> 16)) >> 16);
        put_half(t.codes[SWD_BUFFER_EXP_AVG_SQ], at + n, (pattern(v) + (bits.a >> 16)) >> 16);
      } else if (t.moment_dtype == SWD_DTYPE_BLOCK8) {
        const uint32_t code = first.code(m, bits.b >> 16);
        t.codes[SWD_BUFFER_EXP_AVG][i] = static_cast<uint8_t>(code | (code != 0 && std::signbit(m) ? 0x80u : 0u));
        const uint32_t least = v != 0.0f && second.byte != 255 ? 1 : 0;  // never below the smallest code
        t.codes[SWD_BUFFER_EXP_AVG_SQ][i] = static_cast<uint8_t>(std::max(second.code(v, bits.a >> 17), least));
      }
    }
  }
}

}  // namespace swd::fuzz
