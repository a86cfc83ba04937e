// SPDX-License-Identifier: Apache-2.0
// Floating-point helpers shared by the float, half and conversion operations.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace cs {

inline uint32_t fbits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}
inline float bitsf(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline uint64_t dbits(double f) {
  uint64_t u;
  memcpy(&u, &f, 8);
  return u;
}
inline double bitsd(uint64_t u) {
  double f;
  memcpy(&f, &u, 8);
  return f;
}

// The GPU returns one canonical NaN.
inline float canon(float r) { return r != r ? bitsf(0x7fffffffu) : r; }
inline double canon(double r) { return r != r ? bitsd(0x7ff8000000000000ull) : r; }
// Flush subnormals to sign-preserving zero.
inline float ftz(float x) {
  uint32_t u = fbits(x);
  return bitsf((u & 0x7f800000u) ? u : (u & 0x80000000u));
}
inline float sat01(float x) {
  float r = x > 0.f ? x : 0.f;
  return r < 1.f ? r : 1.f;
}  // NaN -> 0
inline double sat01(double x) {
  double r = x > 0. ? x : 0.;
  return r < 1. ? r : 1.;
}

// IEEE half <-> float, branch-light so that loops vectorize.
inline float halfToFloat(uint16_t h) {
  uint32_t s = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 0x3ff;
  uint32_t normal = s | ((e + 112) << 23) | (m << 13);
  uint32_t infnan = s | 0x7f800000u | (m << 13);
  float sub = (float)(int)m * 0x1p-24f;
  uint32_t subn = fbits(sub) | s;
  return bitsf(e == 0 ? subn : e == 31 ? infnan : normal);
}
inline uint16_t floatToHalfRn(float f) {
  uint32_t u = fbits(f), s = (u >> 16) & 0x8000, a = u & 0x7fffffff;
  // subnormal result: let the FPU round at the right position
  uint32_t sub = fbits(bitsf(a) + 0.5f) - 0x3f000000u;
  uint32_t nrm = (a + 0xfff + ((a >> 13) & 1)) - (112u << 23);
  uint32_t r = a < 0x38800000u ? sub : (nrm >> 13);
  r = a >= 0x47800000u ? 0x7c00u : r;  // >= 65536 (65520 rounds up through the carry)
  r = r > 0x7c00u ? 0x7c00u : r;
  return (uint16_t)(a > 0x7f800000u ? 0x7fffu : (s | r));
}
inline float bf16ToFloat(uint16_t h) { return bitsf((uint32_t)h << 16); }
inline uint16_t floatToBf16Rn(float f) {
  uint32_t u = fbits(f);
  uint32_t r = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return (uint16_t)((u & 0x7fffffff) > 0x7f800000u ? 0x7fffu : r);
}

enum RoundMode : uint8_t { RN, RZ, RM, RP, RNA, RS };

// Description of a small binary format.
struct SmallFmt {
  int ebits, mbits, bias;
  bool hasInf;  // exponent all ones is inf/NaN; otherwise e4m3 style or finite only
  bool hasNan;
};
constexpr SmallFmt kF16{5, 10, 15, true, true}, kBF16{8, 7, 127, true, true}, kE4M3{4, 3, 7, false, true},
    kE5M2{5, 2, 15, true, true}, kE2M3{2, 3, 1, false, false}, kE3M2{3, 2, 3, false, false},
    kE2M1{2, 1, 1, false, false};

// Correctly rounded conversion of a double to a small format. `satfinite`
// clamps overflow (and, for formats without NaN, NaN) to the largest finite.
uint32_t packSmall(double v, const SmallFmt& f, RoundMode rm, bool satfinite);
double unpackSmall(uint32_t bits, const SmallFmt& f);

// a*b + c for values of at most 24 significant bits product-exact in double,
// rounded to odd in double so that a second rounding to a smaller format is exact.
inline double fmaOdd(double a, double b, double c) {
  double p = a * b;  // exact: both factors have <= 24 bits
  double s = p + c;
  double bb = s - p;
  double err = (p - (s - bb)) + (c - bb);
  if (!std::isfinite(s) || err == 0.0) return s;
  uint64_t u = dbits(s);
  if (!(u & 1)) {  // inexact and even: move towards the error, giving odd
    if ((err > 0) == (s > 0))
      u += 1;
    else
      u -= 1;
    return bitsd(u);
  }
  return s;
}

}  // namespace cs
