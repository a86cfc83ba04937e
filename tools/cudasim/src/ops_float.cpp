// SPDX-License-Identifier: Apache-2.0
// f32 and f64 arithmetic, comparisons and approximate functions.
#include "fpbits.h"
#include "lanes.h"

namespace cs {

Handler roundedHandler();

namespace {

template <class T, bool Z>
inline T in(T x) {
  return x;
}
template <>
inline float in<float, true>(float x) {
  return ftz(x);
}
template <class T, bool Z, bool S>
inline T out(T r) {
  if (Z) r = in<T, Z>(r);
  if (S) return sat01(r);
  return canon(r);
}

#define FOP1(NAME, EXPR)             \
  template <class T, bool Z, bool S> \
  struct NAME {                      \
    using D = T;                     \
    using A = T;                     \
    static inline T f(T a) {         \
      a = in<T, Z>(a);               \
      return out<T, Z, S>(EXPR);     \
    }                                \
  };
#define FOP2(NAME, EXPR)             \
  template <class T, bool Z, bool S> \
  struct NAME {                      \
    using D = T;                     \
    using A = T;                     \
    using B = T;                     \
    static inline T f(T a, T b) {    \
      a = in<T, Z>(a);               \
      b = in<T, Z>(b);               \
      return out<T, Z, S>(EXPR);     \
    }                                \
  };
FOP2(FAdd, a + b)
FOP2(FSub, a - b)
FOP2(FMul, a* b)
FOP2(FDiv, a / b)
template <class T, bool Z, bool S>
struct FFma {
  using D = T;
  using A = T;
  using B = T;
  using C = T;
  static inline T f(T a, T b, T c) {
    a = in<T, Z>(a);
    b = in<T, Z>(b);
    c = in<T, Z>(c);
    return out<T, Z, S>(std::fma(a, b, c));
  }
};
FOP1(FSqrt, std::sqrt(a))
FOP1(FRcp, T(1) / a)
template <bool Z, bool S>
struct FDivApprox {
  using D = float;
  using A = float;
  using B = float;
  static inline float f(float a, float b) {
    a = in<float, Z>(a);
    b = in<float, Z>(b);
    float r = a / b;
    float ab = std::fabs(b);
    bool big = ab > 0x1p126f && ab < std::numeric_limits<float>::infinity();
    // documented range limit of div.approx
    float alt = std::fabs(a) == std::numeric_limits<float>::infinity() ? bitsf(0x7fffffffu) : std::copysign(0.f, r);
    return out<float, Z, S>(big ? alt : r);
  }
};
template <bool Z>
struct FRsqrt {
  using D = float;
  using A = float;
  static inline float f(float a) {
    a = in<float, Z>(a);
    return out<float, Z, false>((float)(1.0 / std::sqrt((double)a)));
  }
};
struct DRsqrt {
  using D = double;
  using A = double;
  static inline double f(double a) { return canon(1.0 / std::sqrt(a)); }
};

// Approximate functions evaluated per active lane with the host's libm.
template <float (*FN)(float), bool Z>
void hLibm(Ctx& c, const Op& op, uint32_t m) {
  float* d = R<float>(c, op.d);
  const float* a = R<float>(c, op.a);
  for (; m; m &= m - 1) {
    int i = firstLane(m);
    float x = Z ? ftz(a[i]) : a[i];
    float r = FN(x);
    if (Z) r = ftz(r);
    d[i] = canon(r);
  }
}
float fEx2(float x) { return exp2f(x); }
float fLg2(float x) { return log2f(x); }
float fSin(float x) { return (float)sin((double)x); }
float fCos(float x) { return (float)cos((double)x); }
float fTanh(float x) { return tanhf(x); }

template <class T>
inline uint64_t signOf(T x);
template <>
inline uint64_t signOf(float x) {
  return fbits(x) >> 31;
}
template <>
inline uint64_t signOf(double x) {
  return dbits(x) >> 63;
}
template <class T>
inline T minNum(T a, T b) {
  T r = a < b ? a : b;
  r = (a == b) ? (signOf(a) ? a : b) : r;  // -0 < +0
  r = a != a ? b : r;
  r = b != b ? a : r;
  return r;
}
template <class T>
inline T maxNum(T a, T b) {
  T r = a > b ? a : b;
  r = (a == b) ? (signOf(a) ? b : a) : r;
  r = a != a ? b : r;
  r = b != b ? a : r;
  return r;
}
template <class T, bool Z, bool MAX, bool NAN_, bool XS>
struct FMinMax {
  using D = T;
  using A = T;
  using B = T;
  using C = T;
  static inline T one(T a, T b) {
    a = in<T, Z>(a);
    b = in<T, Z>(b);
    T x = a, y = b;
    if (XS) {
      x = std::fabs(a);
      y = std::fabs(b);
    }
    T r = MAX ? maxNum(x, y) : minNum(x, y);
    if (XS) r = (signOf(a) ^ signOf(b)) ? -std::fabs(r) : std::fabs(r);
    if (NAN_) r = (a != a || b != b) ? std::numeric_limits<T>::quiet_NaN() : r;
    return canon(r);
  }
  static inline T f(T a, T b) { return one(a, b); }
};
template <bool Z, bool MAX, bool NAN_>
struct FMinMax3 {
  using D = float;
  using A = float;
  using B = float;
  using C = float;
  static inline float f(float a, float b, float c) {
    using M = FMinMax<float, Z, MAX, NAN_, false>;
    return M::one(M::one(a, b), c);
  }
};

struct FAbs32 {
  using D = uint32_t;
  using A = uint32_t;
  static inline D f(A a) { return a & 0x7fffffffu; }
};
struct FNeg32 {
  using D = uint32_t;
  using A = uint32_t;
  static inline D f(A a) { return a ^ 0x80000000u; }
};
struct FAbs64 {
  using D = uint64_t;
  using A = uint64_t;
  static inline D f(A a) { return a & 0x7fffffffffffffffull; }
};
struct FNeg64 {
  using D = uint64_t;
  using A = uint64_t;
  static inline D f(A a) { return a ^ 0x8000000000000000ull; }
};
struct FAbsZ {
  using D = float;
  using A = float;
  static inline D f(A a) { return std::fabs(ftz(a)); }
};
struct FNegZ {
  using D = float;
  using A = float;
  static inline D f(A a) { return -ftz(a); }
};
// copysign d = |b| with the sign of a
struct FCs32 {
  using D = uint32_t;
  using A = uint32_t;
  using B = uint32_t;
  static inline D f(A a, B b) { return (a & 0x80000000u) | (b & 0x7fffffffu); }
};
struct FCs64 {
  using D = uint64_t;
  using A = uint64_t;
  using B = uint64_t;
  static inline D f(A a, B b) { return (a & 0x8000000000000000ull) | (b & 0x7fffffffffffffffull); }
};

#define FCMP(NAME, EXPR)             \
  template <class T, bool Z>         \
  struct NAME {                      \
    using A = T;                     \
    static inline bool f(T a, T b) { \
      a = in<T, Z>(a);               \
      b = in<T, Z>(b);               \
      return EXPR;                   \
    }                                \
  };
FCMP(Feq, a == b)
FCMP(Fne, a<b || a> b)
FCMP(Flt, a < b)
FCMP(Fle, a <= b)
FCMP(Fgt, a > b)
FCMP(Fge, a >= b)
FCMP(Fequ, !(a < b || a > b))
FCMP(Fneu, a != b)
FCMP(Fltu, !(a >= b))
FCMP(Fleu, !(a > b))
FCMP(Fgtu, !(a <= b))
FCMP(Fgeu, !(a < b))
FCMP(Fnum, a == a && b == b)
FCMP(Fnan, a != a || b != b)

// testp as a one-operand comparison (b is ignored)
#define TESTP(NAME, EXPR)                                   \
  template <class T>                                        \
  struct NAME {                                             \
    using A = T;                                            \
    static inline bool f(T a, T) {                          \
      constexpr T mn = std::numeric_limits<T>::min();       \
      constexpr T inf = std::numeric_limits<T>::infinity(); \
      T x = std::fabs(a);                                   \
      (void)mn;                                             \
      (void)inf;                                            \
      (void)x;                                              \
      return EXPR;                                          \
    }                                                       \
  };
TESTP(TFinite, x < inf)
TESTP(TInfinite, x == inf)
TESTP(TNumber, a == a)
TESTP(TNan, a != a)
TESTP(TNormal, x >= mn && x < inf)
TESTP(TSubnormal, x > 0 && x < mn)

template <class T, bool Z>
void cmpFamily(OpTable& t, const std::string& suf) {
  Cls c = sizeof(T) == 8 ? C_F64 : C_F32;
  t["setp.eq" + suf] = defcmp<Feq<T, Z>>(c);
  t["setp.ne" + suf] = defcmp<Fne<T, Z>>(c);
  t["setp.lt" + suf] = defcmp<Flt<T, Z>>(c);
  t["setp.le" + suf] = defcmp<Fle<T, Z>>(c);
  t["setp.gt" + suf] = defcmp<Fgt<T, Z>>(c);
  t["setp.ge" + suf] = defcmp<Fge<T, Z>>(c);
  t["setp.equ" + suf] = defcmp<Fequ<T, Z>>(c);
  t["setp.neu" + suf] = defcmp<Fneu<T, Z>>(c);
  t["setp.ltu" + suf] = defcmp<Fltu<T, Z>>(c);
  t["setp.leu" + suf] = defcmp<Fleu<T, Z>>(c);
  t["setp.gtu" + suf] = defcmp<Fgtu<T, Z>>(c);
  t["setp.geu" + suf] = defcmp<Fgeu<T, Z>>(c);
  t["setp.num" + suf] = defcmp<Fnum<T, Z>>(c);
  t["setp.nan" + suf] = defcmp<Fnan<T, Z>>(c);
}
template <class T>
void testFamily(OpTable& t, const std::string& suf) {
  Cls c = sizeof(T) == 8 ? C_F64 : C_F32;
  t["testp.finite" + suf] = defcmp<TFinite<T>>(c);
  t["testp.infinite" + suf] = defcmp<TInfinite<T>>(c);
  t["testp.number" + suf] = defcmp<TNumber<T>>(c);
  t["testp.notanumber" + suf] = defcmp<TNan<T>>(c);
  t["testp.normal" + suf] = defcmp<TNormal<T>>(c);
  t["testp.subnormal" + suf] = defcmp<TSubnormal<T>>(c);
}

OpDef raw1(Handler h, Cls cls) {
  OpDef o;
  o.fn = h;
  o.cls = cls;
  o.nargs = 1;
  return o;
}

template <bool Z>
void f32Family(OpTable& t) {
  std::string z = Z ? ".ftz" : "";
  std::string f = z + ".f32", s = z + ".sat.f32";
  t["add" + f] = def2<FAdd<float, Z, false>>(C_F32);
  t["sub" + f] = def2<FSub<float, Z, false>>(C_F32);
  t["mul" + f] = def2<FMul<float, Z, false>>(C_F32);
  t["fma" + f] = t["mad" + f] = def3<FFma<float, Z, false>>(C_F32);
  t["add" + s] = def2<FAdd<float, Z, true>>(C_F32);
  t["sub" + s] = def2<FSub<float, Z, true>>(C_F32);
  t["mul" + s] = def2<FMul<float, Z, true>>(C_F32);
  t["fma" + s] = t["mad" + s] = def3<FFma<float, Z, true>>(C_F32);
  t["div" + f] = t["div.full" + f] = def2<FDiv<float, Z, false>>(C_SFU);
  t["div.approx" + f] = def2<FDivApprox<Z, false>>(C_SFU);
  t["rcp" + f] = t["rcp.approx" + f] = def1<FRcp<float, Z, false>>(C_SFU);
  t["sqrt" + f] = t["sqrt.approx" + f] = def1<FSqrt<float, Z, false>>(C_SFU);
  t["rsqrt.approx" + f] = def1<FRsqrt<Z>>(C_SFU);
  t["ex2.approx" + f] = raw1(hLibm<fEx2, Z>, C_SFU);
  t["lg2.approx" + f] = raw1(hLibm<fLg2, Z>, C_SFU);
  t["sin.approx" + f] = raw1(hLibm<fSin, Z>, C_SFU);
  t["cos.approx" + f] = raw1(hLibm<fCos, Z>, C_SFU);
  t["min" + f] = def2<FMinMax<float, Z, false, false, false>>(C_F32);
  t["max" + f] = def2<FMinMax<float, Z, true, false, false>>(C_F32);
  t["min" + z + ".nan.f32"] = def2<FMinMax<float, Z, false, true, false>>(C_F32);
  t["max" + z + ".nan.f32"] = def2<FMinMax<float, Z, true, true, false>>(C_F32);
  t["min" + z + ".xorsign.f32"] = def2<FMinMax<float, Z, false, false, true>>(C_F32);
  t["max" + z + ".xorsign.f32"] = def2<FMinMax<float, Z, true, false, true>>(C_F32);
  t["min" + z + ".nan.xorsign.f32"] = def2<FMinMax<float, Z, false, true, true>>(C_F32);
  t["max" + z + ".nan.xorsign.f32"] = def2<FMinMax<float, Z, true, true, true>>(C_F32);
  t["min3" + f] = def3<FMinMax3<Z, false, false>>(C_F32);
  t["max3" + f] = def3<FMinMax3<Z, true, false>>(C_F32);
  t["min3" + z + ".nan.f32"] = def3<FMinMax3<Z, false, true>>(C_F32);
  t["max3" + z + ".nan.f32"] = def3<FMinMax3<Z, true, true>>(C_F32);
  cmpFamily<float, Z>(t, f);
}

// f32x2: two floats in a 64-bit register
struct F2v {
  float x, y;
};
template <template <class, bool, bool> class F, bool Z>
struct V2 {
  using D = F2v;
  using A = F2v;
  using B = F2v;
  static inline D f(A a, B b) { return {F<float, Z, false>::f(a.x, b.x), F<float, Z, false>::f(a.y, b.y)}; }
};
template <bool Z>
struct V2Fma {
  using D = F2v;
  using A = F2v;
  using B = F2v;
  using C = F2v;
  static inline D f(A a, B b, C c) {
    return {FFma<float, Z, false>::f(a.x, b.x, c.x), FFma<float, Z, false>::f(a.y, b.y, c.y)};
  }
};
template <bool Z>
void f32x2Family(OpTable& t) {
  std::string f = std::string(Z ? ".ftz" : "") + ".f32x2";
  t["add" + f] = def2<V2<FAdd, Z>>(C_F32);
  t["sub" + f] = def2<V2<FSub, Z>>(C_F32);
  t["mul" + f] = def2<V2<FMul, Z>>(C_F32);
  t["fma" + f] = def3<V2Fma<Z>>(C_F32);
}

}  // namespace

void registerFloat(OpTable& t) {
  f32Family<false>(t);
  f32Family<true>(t);
  f32x2Family<false>(t);
  f32x2Family<true>(t);
  t["tanh.approx.f32"] = raw1(hLibm<fTanh, false>, C_SFU);
  t["abs.f32"] = def1<FAbs32>(C_F32);
  t["neg.f32"] = def1<FNeg32>(C_F32);
  t["abs.ftz.f32"] = def1<FAbsZ>(C_F32);
  t["neg.ftz.f32"] = def1<FNegZ>(C_F32);
  t["copysign.f32"] = def2<FCs32>(C_F32);
  testFamily<float>(t, ".f32");
  t["add.f64"] = def2<FAdd<double, false, false>>(C_F64);
  t["sub.f64"] = def2<FSub<double, false, false>>(C_F64);
  t["mul.f64"] = def2<FMul<double, false, false>>(C_F64);
  t["fma.f64"] = t["mad.f64"] = def3<FFma<double, false, false>>(C_F64);
  t["div.f64"] = def2<FDiv<double, false, false>>(C_SFU);
  t["rcp.f64"] = t["rcp.approx.ftz.f64"] = def1<FRcp<double, false, false>>(C_SFU);
  t["sqrt.f64"] = def1<FSqrt<double, false, false>>(C_SFU);
  t["rsqrt.approx.f64"] = t["rsqrt.approx.ftz.f64"] = def1<DRsqrt>(C_SFU);
  t["min.f64"] = def2<FMinMax<double, false, false, false, false>>(C_F64);
  t["max.f64"] = def2<FMinMax<double, false, true, false, false>>(C_F64);
  t["abs.f64"] = def1<FAbs64>(C_F64);
  t["neg.f64"] = def1<FNeg64>(C_F64);
  t["copysign.f64"] = def2<FCs64>(C_F64);
  cmpFamily<double, false>(t, ".f64");
  testFamily<double>(t, ".f64");
  OpDef r;
  r.fn = roundedHandler();
  r.cls = C_F32;
  r.nargs = 3;
  t["rounded.f32"] = r;
  r.wd = r.wa = r.wb = r.wc = 8;
  r.cls = C_F64;
  t["rounded.f64"] = r;
}

}  // namespace cs
