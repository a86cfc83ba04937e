// SPDX-License-Identifier: Apache-2.0
// f16 / bf16 arithmetic. Scalars are 16-bit registers, x2 forms 32-bit ones.
// Sums and products of halves are exact enough in f32 that one more rounding
// is innocuous; fma goes through double with round-to-odd.
#include "fpbits.h"
#include "lanes.h"

namespace cs {

uint32_t packSmall(double v, const SmallFmt& f, RoundMode rm, bool satfinite) {
  uint64_t u = dbits(v);
  uint32_t sign = (uint32_t)(u >> 63);
  uint32_t signBit = sign << (f.ebits + f.mbits);
  uint32_t expMax = (1u << f.ebits) - 1;
  uint32_t maxFinite, infBits = 0, nanBits = 0;
  if (f.hasInf) {
    maxFinite = ((expMax - 1) << f.mbits) | ((1u << f.mbits) - 1);
    infBits = expMax << f.mbits;
    nanBits = (expMax << f.mbits) | ((1u << f.mbits) - 1);
  } else if (f.hasNan) {  // e4m3: only S.1111.111 is NaN
    maxFinite = (1u << (f.ebits + f.mbits)) - 2;
    infBits = nanBits = (1u << (f.ebits + f.mbits)) - 1;
  } else {
    maxFinite = (1u << (f.ebits + f.mbits)) - 1;
    infBits = nanBits = maxFinite;
  }
  if (v != v) return f.hasNan ? nanBits : maxFinite;  // canonical NaN is positive
  if (std::isinf(v)) return signBit | (satfinite || !f.hasNan ? maxFinite : infBits);
  double a = std::fabs(v);
  if (a == 0) return signBit;
  int e;
  std::frexp(a, &e);
  e -= 1;  // a = 1.x * 2^e
  int minE = 1 - f.bias;
  int qe = (e < minE ? minE : e) - f.mbits;  // exponent of one ulp
  double scaled = std::ldexp(a, -qe);        // exact
  double fl = std::floor(scaled), rest = scaled - fl;
  uint64_t q = (uint64_t)fl;
  bool up = false;
  switch (rm) {
    case RN:
      up = rest > 0.5 || (rest == 0.5 && (q & 1));
      break;
    case RNA:
      up = rest >= 0.5;
      break;
    case RZ:
      break;
    case RM:
      up = sign && rest > 0;
      break;
    case RP:
      up = !sign && rest > 0;
      break;
    default:
      break;
  }
  if (up) q++;
  uint32_t r;
  if (e < minE) {
    r = (uint32_t)q;  // subnormal (carry gives the smallest normal)
  } else {
    if (q >> (f.mbits + 1)) {
      q >>= 1;
      e++;
    }
    int be = e + f.bias;
    uint64_t full = ((uint64_t)be << f.mbits) + (q - (1ull << f.mbits));
    r = full > maxFinite ? maxFinite + 1 : (uint32_t)full;
  }
  if (r > maxFinite) {
    if (satfinite || !f.hasNan) return signBit | maxFinite;
    // overflow: rounding towards zero stays finite
    bool toInf = rm == RN || rm == RNA || (rm == RP && !sign) || (rm == RM && sign);
    return signBit | (toInf ? infBits : maxFinite);
  }
  return signBit | r;
}

double unpackSmall(uint32_t b, const SmallFmt& f) {
  uint32_t sign = (b >> (f.ebits + f.mbits)) & 1;
  uint32_t e = (b >> f.mbits) & ((1u << f.ebits) - 1), m = b & ((1u << f.mbits) - 1);
  uint32_t expMax = (1u << f.ebits) - 1;
  double r;
  if (f.hasInf && e == expMax)
    r = m ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  else if (!f.hasInf && f.hasNan && e == expMax && m == (1u << f.mbits) - 1)
    r = std::numeric_limits<double>::quiet_NaN();
  else if (e == 0)
    r = std::ldexp((double)m, 1 - f.bias - f.mbits);
  else
    r = std::ldexp((double)(m | (1u << f.mbits)), (int)e - f.bias - f.mbits);
  return sign ? -r : r;
}

namespace {

struct H16 {  // IEEE half
  static inline float up(uint16_t h) { return halfToFloat(h); }
  static inline uint16_t down(float f) { return floatToHalfRn(f); }
  static inline uint16_t downD(double d) { return (uint16_t)packSmall(d, kF16, RN, false); }
  static constexpr uint16_t nan = 0x7fff, inf = 0x7c00, one = 0x3c00, expMask = 0x7c00;
};
struct B16 {  // bfloat16
  static inline float up(uint16_t h) { return bf16ToFloat(h); }
  static inline uint16_t down(float f) { return floatToBf16Rn(f); }
  static inline uint16_t downD(double d) { return (uint16_t)packSmall(d, kBF16, RN, false); }
  static constexpr uint16_t nan = 0x7fff, inf = 0x7f80, one = 0x3f80, expMask = 0x7f80;
};

// modifiers
enum { M_FTZ = 1, M_SAT = 2, M_RELU = 4, M_NAN = 8, M_XS = 16 };
template <class H, int M>
inline uint16_t hin(uint16_t h) {
  return (M & M_FTZ) && !(h & H::expMask) ? (uint16_t)(h & 0x8000) : h;
}
template <class H, int M>
inline uint16_t hout(uint16_t h) {
  if (M & M_FTZ) h = (h & H::expMask) ? h : (uint16_t)(h & 0x8000);
  bool nan = (h & 0x7fff) > H::inf;
  if (M & M_SAT) {
    h = nan || (h & 0x8000) ? 0 : h;
    h = h > H::one ? H::one : h;
  }
  if (M & M_RELU) h = nan ? H::nan : (h & 0x8000) ? (uint16_t)0 : h;
  return h;
}

template <class H, int M>
struct HAdd {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return hout<H, M>(H::down(H::up(hin<H, M>(a)) + H::up(hin<H, M>(b))));
  }
};
template <class H, int M>
struct HSub {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return hout<H, M>(H::down(H::up(hin<H, M>(a)) - H::up(hin<H, M>(b))));
  }
};
template <class H, int M>
struct HMul {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return hout<H, M>(H::down(H::up(hin<H, M>(a)) * H::up(hin<H, M>(b))));
  }
};
template <class H, int M>
struct HFma {
  static inline uint16_t f(uint16_t a, uint16_t b, uint16_t c) {
    double r = fmaOdd(H::up(hin<H, M>(a)), H::up(hin<H, M>(b)), H::up(hin<H, M>(c)));
    return hout<H, M>(H::downD(r));
  }
};
template <class H, int M, bool MAX>
struct HMinMax {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    a = hin<H, M>(a);
    b = hin<H, M>(b);
    uint16_t x = a, y = b;
    if (M & M_XS) {
      x &= 0x7fff;
      y &= 0x7fff;
    }
    bool na = (a & 0x7fff) > H::inf, nb = (b & 0x7fff) > H::inf;
    float fx = H::up(x), fy = H::up(y);
    uint16_t r = MAX ? (fx > fy ? x : y) : (fx < fy ? x : y);
    if (fx == fy) r = MAX ? ((x & 0x8000) ? y : x) : ((x & 0x8000) ? x : y);
    if (na) r = y;
    if (nb) r = x;
    if (M & M_XS) r = (uint16_t)((r & 0x7fff) | ((a ^ b) & 0x8000));
    if (na && nb) r = H::nan;
    if ((M & M_NAN) && (na || nb)) r = H::nan;
    return hout<H, M & ~M_SAT>(r);
  }
};
template <class H, int M>
struct HMin : HMinMax<H, M, false> {};
template <class H, int M>
struct HMax : HMinMax<H, M, true> {};

// wrappers for scalar and packed registers
template <class F>
struct S2 {
  using D = uint16_t;
  using A = uint16_t;
  using B = uint16_t;
  using C = uint16_t;
  static inline D f(A a, B b) { return F::f(a, b); }
};
template <class F>
struct S3 {
  using D = uint16_t;
  using A = uint16_t;
  using B = uint16_t;
  using C = uint16_t;
  static inline D f(A a, B b, C c) { return F::f(a, b, c); }
};
template <class F>
struct P2 {
  using D = uint32_t;
  using A = uint32_t;
  using B = uint32_t;
  static inline D f(A a, B b) {
    return (uint32_t)F::f((uint16_t)a, (uint16_t)b) | (uint32_t)F::f((uint16_t)(a >> 16), (uint16_t)(b >> 16)) << 16;
  }
};
template <class F>
struct P3 {
  using D = uint32_t;
  using A = uint32_t;
  using B = uint32_t;
  using C = uint32_t;
  static inline D f(A a, B b, C c) {
    return (uint32_t)F::f((uint16_t)a, (uint16_t)b, (uint16_t)c) |
           (uint32_t)F::f((uint16_t)(a >> 16), (uint16_t)(b >> 16), (uint16_t)(c >> 16)) << 16;
  }
};

template <class F>
void put2(OpTable& t, const std::string& op, const std::string& mod, const std::string& ty) {
  t[op + mod + "." + ty] = def2<S2<F>>(C_HALF);
  t[op + mod + "." + ty + "x2"] = def2<P2<F>>(C_HALF);
}
template <class F>
void put3(OpTable& t, const std::string& op, const std::string& mod, const std::string& ty) {
  t[op + mod + "." + ty] = def3<S3<F>>(C_HALF);
  t[op + mod + "." + ty + "x2"] = def3<P3<F>>(C_HALF);
}

template <class H>
struct HCmpUp {
  static inline float up(uint16_t h) { return H::up(h); }
};
#define HCMP(NAME, EXPR)                \
  template <class H>                    \
  struct NAME {                         \
    using A = uint16_t;                 \
    static inline bool f(A x, A y) {    \
      float a = H::up(x), b = H::up(y); \
      return EXPR;                      \
    }                                   \
  };
HCMP(Heq, a == b)
HCMP(Hne, a<b || a> b)
HCMP(Hlt, a < b)
HCMP(Hle, a <= b)
HCMP(Hgt, a > b)
HCMP(Hge, a >= b)
HCMP(Hequ, !(a < b || a > b))
HCMP(Hneu, a != b)
HCMP(Hltu, !(a >= b))
HCMP(Hleu, !(a > b))
HCMP(Hgtu, !(a <= b))
HCMP(Hgeu, !(a < b))
HCMP(Hnum, a == a && b == b)
HCMP(Hnan, a != a || b != b)

template <class H, float (*FN)(float)>
struct HUn {
  using D = uint16_t;
  using A = uint16_t;
  static inline D f(A a) { return H::down(FN(H::up(a))); }
};
template <class H, float (*FN)(float)>
struct HUn2 {
  using D = uint32_t;
  using A = uint32_t;
  static inline D f(A a) {
    return (uint32_t)H::down(FN(H::up((uint16_t)a))) | (uint32_t)H::down(FN(H::up((uint16_t)(a >> 16)))) << 16;
  }
};
float uTanh(float x) { return tanhf(x); }
float uEx2(float x) { return exp2f(x); }

struct Abs16 {
  using D = uint16_t;
  using A = uint16_t;
  static inline D f(A a) { return a & 0x7fff; }
};
struct Neg16 {
  using D = uint16_t;
  using A = uint16_t;
  static inline D f(A a) { return a ^ 0x8000; }
};
struct Abs16x2 {
  using D = uint32_t;
  using A = uint32_t;
  static inline D f(A a) { return a & 0x7fff7fffu; }
};
struct Neg16x2 {
  using D = uint32_t;
  using A = uint32_t;
  static inline D f(A a) { return a ^ 0x80008000u; }
};

// Packed compare: two predicates p (low) and q (high); each combined with c.
// setp.f16x2 p|q, a, b {, c}
template <template <class> class F, class H>
void hSetpX2(Ctx& c, const Op& op, uint32_t m) {
  const uint32_t* a = R<uint32_t>(c, op.a);
  const uint32_t* b = R<uint32_t>(c, op.b);
  uint32_t p = 0, q = 0;
  for (int i = 0; i < 32; i++) {
    p |= (uint32_t)(F<H>::f((uint16_t)a[i], (uint16_t)b[i]) ? 1u : 0u) << i;
    q |= (uint32_t)(F<H>::f((uint16_t)(a[i] >> 16), (uint16_t)(b[i] >> 16)) ? 1u : 0u) << i;
  }
  if (op.imm) {
    uint32_t k = *R<uint32_t>(c, op.c);
    if (op.flags & F_NEG) k = ~k;
    if (op.imm == 1) {
      p &= k;
      q &= k;
    } else if (op.imm == 2) {
      p |= k;
      q |= k;
    } else {
      p ^= k;
      q ^= k;
    }
  }
  if (op.d != kNoRef) {
    uint32_t* d = R<uint32_t>(c, op.d);
    *d = (*d & ~m) | (p & m);
  }
  if (op.d2 != kNoRef) {
    uint32_t* d = R<uint32_t>(c, op.d2);
    *d = (*d & ~m) | (q & m);
  }
}
OpDef raw2p(Handler h) {
  OpDef o;
  o.fn = h;
  o.cls = C_HALF;
  o.nargs = 2;
  o.wd = 1;
  return o;
}

template <class H>
void cmpAll(OpTable& t, const std::string& ty) {
#define ONE(N, F)                               \
  t["setp." N "." + ty] = defcmp<F<H>>(C_HALF); \
  t["setp." N "." + ty + "x2"] = raw2p(hSetpX2<F, H>);
  ONE("eq", Heq)
  ONE("ne", Hne)
  ONE("lt", Hlt)
  ONE("le", Hle)
  ONE("gt", Hgt)
  ONE("ge", Hge)
  ONE("equ", Hequ)
  ONE("neu", Hneu) ONE("ltu", Hltu) ONE("leu", Hleu) ONE("gtu", Hgtu) ONE("geu", Hgeu) ONE("num", Hnum) ONE("nan", Hnan)
}

template <class H, int M>
void arith(OpTable& t, const std::string& mod, const std::string& ty) {
  put2<HAdd<H, M>>(t, "add", mod, ty);
  put2<HSub<H, M>>(t, "sub", mod, ty);
  put2<HMul<H, M>>(t, "mul", mod, ty);
  put3<HFma<H, M>>(t, "fma", mod, ty);
}

// mixed precision: f32 op with one half operand (add/sub), fma with two
template <class H, bool SUB>
struct MixAdd {
  using D = float;
  using A = uint16_t;
  using B = float;
  static inline D f(A a, B b) { return canon(SUB ? H::up(a) - b : H::up(a) + b); }
};
template <class H>
struct MixFma {
  using D = float;
  using A = uint16_t;
  using B = uint16_t;
  using C = float;
  static inline D f(A a, B b, C c) { return canon(std::fma(H::up(a), H::up(b), c)); }
};

template <class H>
void family(OpTable& t, const std::string& ty) {
  arith<H, 0>(t, "", ty);
  arith<H, M_FTZ>(t, ".ftz", ty);
  arith<H, M_SAT>(t, ".sat", ty);
  arith<H, M_FTZ | M_SAT>(t, ".ftz.sat", ty);
  put3<HFma<H, M_RELU>>(t, "fma", ".relu", ty);
  put3<HFma<H, M_RELU | M_FTZ>>(t, "fma", ".ftz.relu", ty);
  put2<HMin<H, 0>>(t, "min", "", ty);
  put2<HMax<H, 0>>(t, "max", "", ty);
  put2<HMin<H, M_FTZ>>(t, "min", ".ftz", ty);
  put2<HMax<H, M_FTZ>>(t, "max", ".ftz", ty);
  put2<HMin<H, M_NAN>>(t, "min", ".nan", ty);
  put2<HMax<H, M_NAN>>(t, "max", ".nan", ty);
  put2<HMin<H, M_XS>>(t, "min", ".xorsign", ty);
  put2<HMax<H, M_XS>>(t, "max", ".xorsign", ty);
  put2<HMin<H, M_NAN | M_XS>>(t, "min", ".nan.xorsign", ty);
  put2<HMax<H, M_NAN | M_XS>>(t, "max", ".nan.xorsign", ty);
  cmpAll<H>(t, ty);
  t["abs." + ty] = def1<Abs16>(C_HALF);
  t["neg." + ty] = def1<Neg16>(C_HALF);
  t["abs." + ty + "x2"] = def1<Abs16x2>(C_HALF);
  t["neg." + ty + "x2"] = def1<Neg16x2>(C_HALF);
  t["tanh.approx." + ty] = def1<HUn<H, uTanh>>(C_SFU);
  t["tanh.approx." + ty + "x2"] = def1<HUn2<H, uTanh>>(C_SFU);
  t["ex2.approx." + ty] = t["ex2.approx.ftz." + ty] = def1<HUn<H, uEx2>>(C_SFU);
  t["ex2.approx." + ty + "x2"] = t["ex2.approx.ftz." + ty + "x2"] = def1<HUn2<H, uEx2>>(C_SFU);
  t["add.f32." + ty] = def2<MixAdd<H, false>>(C_F32);
  t["sub.f32." + ty] = def2<MixAdd<H, true>>(C_F32);
  t["fma.f32." + ty] = def3<MixFma<H>>(C_F32);
}

}  // namespace

void registerHalf(OpTable& t) {
  family<H16>(t, "f16");
  family<B16>(t, "bf16");
}

}  // namespace cs
