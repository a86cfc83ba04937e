// SPDX-License-Identifier: Apache-2.0
// What pass 1 leaves of a segment, and the small functions of the oracle's formula. Used by oracle.cpp.
#pragma once
#include <cmath>
#include <cstdint>

namespace swd::fuzz {

struct Pass1 {
  bool takes_part;
  double q = 0.0, kept = 0.0, gained = 0.0, bias1 = 0.0, bias2 = 0.0;
};

inline double power(double base, int64_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent /= 2, base *= base) {
    if (exponent % 2 == 1) result *= base;
  }
  return result;
}

// x goes toward y by 1 - beta; from the other end for beta < 0.5.
inline float toward(float x, float y, double beta) {
  if (beta < 0.5) return y + -static_cast<float>(beta) * (y - x);
  return x + static_cast<float>(1.0 - beta) * (y - x);
}

inline double not_a_number() { return std::nan(""); }

inline float larger(float a, float b) { return std::isnan(a) ? a : std::isnan(b) ? b : b <= a ? a : b; }

inline double mean(double sum, double count) { return count > 0.0 ? sum / count : 0.0; }

}  // namespace swd::fuzz
