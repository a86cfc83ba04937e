// SPDX-License-Identifier: Apache-2.0
// Random numbers, 16-bit codes and units in the last place, written for clearness.
#include "numbers.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

namespace swd::test {
namespace {

struct Format {
  int digits;        // of the significand, the hidden one included
  int min_exponent;  // of the smallest normal number
  int max_exponent;  // 2^max_exponent is the first power beyond the finite ones
  int stored;        // stored bits of the significand
  uint16_t infinity, nan;
};

Format format_of(swd_dtype dtype) {
  return dtype == SWD_DTYPE_BF16 ? Format{8, -126, 128, 7, 0x7F80, 0x7FC0} : Format{11, -14, 16, 10, 0x7C00, 0x7E00};
}

}  // namespace

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::vector<float> uniform(uint64_t seed, uint64_t stream, int64_t n) {
  uint64_t base = mix(mix(seed) ^ stream);
  std::vector<float> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(static_cast<double>(mix(base + i) >> 40) * 0x1p-23 - 1.0);
  }
  return out;
}

uint64_t element_bytes(swd_dtype dtype) {
  static constexpr uint64_t kBytes[] = {0, 4, 2, 2, 2, 1, 1};  // by SWD_DTYPE_*
  return kBytes[dtype];
}

uint16_t nearest_code(swd_dtype dtype, float x) {
  Format f = format_of(dtype);
  if (std::isnan(x)) return f.nan;
  uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  double a = std::fabs(static_cast<double>(x));
  if (std::isinf(a)) return sign | f.infinity;
  int exponent = a == 0.0 ? f.min_exponent : std::max(std::ilogb(a), f.min_exponent);
  int quantum = exponent - (f.digits - 1);
  double units = std::nearbyint(std::ldexp(a, -quantum));  // ties to even in the default rounding mode
  if (std::ldexp(units, quantum) >= std::ldexp(1.0, f.max_exponent)) return sign | f.infinity;
  // Counted in units of the smallest exponent's quantum, codes are consecutive within a binade and across binades.
  uint64_t hidden = uint64_t{1} << f.stored;
  uint64_t code = static_cast<uint64_t>(exponent - f.min_exponent) * hidden + static_cast<uint64_t>(units);
  return static_cast<uint16_t>(sign | code);
}

float code_value(swd_dtype dtype, uint16_t code) {
  Format f = format_of(dtype);
  uint16_t magnitude = code & 0x7FFF;
  double sign = code & 0x8000 ? -1.0 : 1.0;
  if (magnitude > f.infinity) return std::numeric_limits<float>::quiet_NaN();
  if (magnitude == f.infinity) return static_cast<float>(sign * HUGE_VAL);
  int biased = magnitude >> f.stored;
  int fraction = magnitude & ((1 << f.stored) - 1);
  int exponent = (biased == 0 ? 1 : biased) - 1 + f.min_exponent;
  double significand = (biased == 0 ? 0 : 1 << f.stored) + fraction;
  return static_cast<float>(sign * std::ldexp(significand, exponent - f.stored));
}

float rounded_to(swd_dtype dtype, float x) {
  return dtype == SWD_DTYPE_F32 ? x : code_value(dtype, nearest_code(dtype, x));
}

double ulp_of(double x) {
  double a = std::fabs(x);
  int exponent = a < FLT_MIN ? -126 : std::ilogb(a);
  return std::ldexp(1.0, exponent - 23);
}

uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace swd::test
