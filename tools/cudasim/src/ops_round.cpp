// SPDX-License-Identifier: Apache-2.0
// Directed rounding (.rz .rm .rp). Compiled with -frounding-math.
#include <cfenv>

#include "fpbits.h"
#include "lanes.h"

namespace cs {

namespace {

int feMode(int rm) { return rm == RZ ? FE_TOWARDZERO : rm == RM ? FE_DOWNWARD : rm == RP ? FE_UPWARD : FE_TONEAREST; }

// kinds: 0 add 1 sub 2 mul 3 fma 4 div 5 rcp 6 sqrt
template <class T>
__attribute__((noinline)) T roundedOp(int kind, volatile T a, volatile T b, volatile T c) {
  volatile T r = 0;
  switch (kind) {
    case 0:
      r = a + b;
      break;
    case 1:
      r = a - b;
      break;
    case 2:
      r = a * b;
      break;
    case 3:
      r = std::fma((T)a, (T)b, (T)c);
      break;
    case 4:
      r = a / b;
      break;
    case 5:
      r = (T)1 / a;
      break;
    case 6:
      r = std::sqrt((T)a);
      break;
  }
  return r;
}

// imm: kind | rounding << 4 | ftz << 8 | sat << 9 | f64 << 10
void hRounded(Ctx& c, const Op& op, uint32_t m) {
  int kind = (int)op.imm & 15, rm = (int)(op.imm >> 4) & 15;
  bool z = op.imm & 256, s = op.imm & 512, dbl = op.imm & 1024;
  int old = fegetround();
  fesetround(feMode(rm));
  for (; m; m &= m - 1) {
    int i = firstLane(m);
    if (dbl) {
      double a = R<double>(c, op.a)[i];
      double b = op.b != kNoRef ? R<double>(c, op.b)[i] : 0;
      double e = op.c != kNoRef ? R<double>(c, op.c)[i] : 0;
      R<double>(c, op.d)[i] = canon(roundedOp<double>(kind, a, b, e));
    } else {
      float a = R<float>(c, op.a)[i];
      float b = op.b != kNoRef ? R<float>(c, op.b)[i] : 0;
      float e = op.c != kNoRef ? R<float>(c, op.c)[i] : 0;
      if (z) {
        a = ftz(a);
        b = ftz(b);
        e = ftz(e);
      }
      float r = roundedOp<float>(kind, a, b, e);
      if (z) r = ftz(r);
      if (s) r = sat01(r);
      R<float>(c, op.d)[i] = canon(r);
    }
  }
  fesetround(old);
}

}  // namespace

Handler roundedHandler() { return hRounded; }

// Integer and double to float conversions with directed rounding.
float roundToFloat(double v, int rm) {
  int old = fegetround();
  fesetround(feMode(rm));
  volatile double x = v;
  volatile float r = (float)x;
  fesetround(old);
  return r;
}
float roundS64ToFloat(int64_t v, int rm) {
  int old = fegetround();
  fesetround(feMode(rm));
  volatile int64_t x = v;
  volatile float r = (float)x;
  fesetround(old);
  return r;
}
float roundU64ToFloat(uint64_t v, int rm) {
  // split so that each step is exact or correctly rounded
  int old = fegetround();
  fesetround(feMode(rm));
  volatile long double x = (long double)v;  // exact (64-bit mantissa)
  volatile float r = (float)x;
  fesetround(old);
  return r;
}
double roundS64ToDouble(int64_t v, int rm) {
  int old = fegetround();
  fesetround(feMode(rm));
  volatile int64_t x = v;
  volatile double r = (double)x;
  fesetround(old);
  return r;
}
double roundU64ToDouble(uint64_t v, int rm) {
  int old = fegetround();
  fesetround(feMode(rm));
  volatile long double x = (long double)v;
  volatile double r = (double)x;
  fesetround(old);
  return r;
}

}  // namespace cs
