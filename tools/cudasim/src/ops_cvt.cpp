// SPDX-License-Identifier: Apache-2.0
// cvt in all its variants. Frequent pairs have vectorizable handlers; the
// generic handler covers every type, rounding mode and modifier lane by lane.
#include "fpbits.h"
#include "lanes.h"

namespace cs {

float roundToFloat(double v, int rm);
float roundS64ToFloat(int64_t v, int rm);
float roundU64ToFloat(uint64_t v, int rm);
double roundS64ToDouble(int64_t v, int rm);
double roundU64ToDouble(uint64_t v, int rm);

namespace {

template <class TD, class TS>
struct CvtCast {
  using D = TD;
  using A = TS;
  static inline D f(A a) { return (D)a; }
};
struct CvtF64F32 {
  using D = double;
  using A = float;
  static inline D f(A a) { return canon((double)a); }
};
struct CvtF32F64 {
  using D = float;
  using A = double;
  static inline D f(A a) { return canon((float)a); }
};
struct CvtF32F16 {
  using D = float;
  using A = uint16_t;
  static inline D f(A a) { return canon(halfToFloat(a)); }
};
struct CvtF16F32 {
  using D = uint16_t;
  using A = float;
  static inline D f(A a) { return floatToHalfRn(a); }
};
struct CvtF32B16 {
  using D = float;
  using A = uint16_t;
  static inline D f(A a) { return canon(bf16ToFloat(a)); }
};
struct CvtB16F32 {
  using D = uint16_t;
  using A = float;
  static inline D f(A a) { return floatToBf16Rn(a); }
};
struct CvtF16x2 {
  using D = uint32_t;
  using A = float;
  using B = float;
  static inline D f(A a, B b) { return (uint32_t)floatToHalfRn(a) << 16 | floatToHalfRn(b); }
};
struct CvtB16x2 {
  using D = uint32_t;
  using A = float;
  using B = float;
  static inline D f(A a, B b) { return (uint32_t)floatToBf16Rn(a) << 16 | floatToBf16Rn(b); }
};
template <bool Z, int RM_>
struct CvtRint {
  using D = float;
  using A = float;
  static inline D f(A a) {
    if (Z) a = ftz(a);
    float r = RM_ == RN ? std::nearbyint(a) : RM_ == RZ ? std::trunc(a) : RM_ == RM ? std::floor(a) : std::ceil(a);
    return canon(r);
  }
};
template <int RM_>
struct CvtS32F32 {
  using D = int32_t;
  using A = float;
  static inline D f(A a) {
    float r = RM_ == RN ? std::nearbyint(a) : RM_ == RZ ? std::trunc(a) : RM_ == RM ? std::floor(a) : std::ceil(a);
    int32_t v = (int32_t)(r >= 2147483648.f ? 0.f : r < -2147483648.f ? 0.f : r);
    v = r >= 2147483648.f ? INT32_MAX : r < -2147483648.f ? INT32_MIN : v;
    return a != a ? 0 : v;
  }
};

template <class T>
struct Lim {
  static constexpr T lo = std::numeric_limits<T>::min(), hi = std::numeric_limits<T>::max();
};

double rintMode(double v, int rm) {
  switch (rm) {
    case RZ:
      return std::trunc(v);
    case RM:
      return std::floor(v);
    case RP:
      return std::ceil(v);
    default:
      return std::nearbyint(v);
  }
}

struct Val {  // a source value
  bool isFloat, isSigned;
  double f;
  int64_t s;  // signed or raw unsigned bits
};

bool isFloatTy(Ty t) { return t == Ty::F16 || t == Ty::BF16 || t == Ty::F32 || t == Ty::F64 || t == Ty::TF32; }

uint64_t rawLane(Ctx& c, uint32_t ref, int w, int i) {
  switch (w) {
    case 2:
      return R<uint16_t>(c, ref)[i];
    case 4:
      return R<uint32_t>(c, ref)[i];
    default:
      return R<uint64_t>(c, ref)[i];
  }
}
void putLane(Ctx& c, uint32_t ref, int w, int i, uint64_t v) {
  switch (w) {
    case 2:
      R<uint16_t>(c, ref)[i] = (uint16_t)v;
      break;
    case 4:
      R<uint32_t>(c, ref)[i] = (uint32_t)v;
      break;
    default:
      R<uint64_t>(c, ref)[i] = v;
      break;
  }
}

Val readVal(uint64_t raw, Ty t) {
  Val v{false, tySigned(t), 0, 0};
  switch (t) {
    case Ty::U8:
    case Ty::B8:
      v.s = (int64_t)(uint8_t)raw;
      break;
    case Ty::S8:
      v.s = (int8_t)raw;
      break;
    case Ty::U16:
    case Ty::B16:
      v.s = (int64_t)(uint16_t)raw;
      break;
    case Ty::S16:
      v.s = (int16_t)raw;
      break;
    case Ty::U32:
    case Ty::B32:
      v.s = (int64_t)(uint32_t)raw;
      break;
    case Ty::S32:
      v.s = (int32_t)raw;
      break;
    case Ty::F16:
      v.isFloat = true;
      v.f = halfToFloat((uint16_t)raw);
      break;
    case Ty::BF16:
      v.isFloat = true;
      v.f = bf16ToFloat((uint16_t)raw);
      break;
    case Ty::F32:
    case Ty::TF32:
      v.isFloat = true;
      v.f = bitsf((uint32_t)raw);
      break;
    case Ty::F64:
      v.isFloat = true;
      v.f = bitsd(raw);
      break;
    default:
      v.s = (int64_t)raw;
      break;
  }
  return v;
}

struct Mode {
  int rm;
  bool integer, sat, ftz, relu, satfinite;
};

uint64_t toInt(const Val& v, Ty d, const Mode& m, Ty srcTy) {
  int n = tyBytes(d) * 8;
  bool sg = tySigned(d);
  if (v.isFloat) {
    double f = v.f;
    if (m.ftz && srcTy == Ty::F32) f = ftz((float)f);
    if (f != f) return (srcTy == Ty::F64 || n == 64) ? 1ull << (n - 1) : 0;
    f = rintMode(f, m.rm);
    double lo = sg ? -std::ldexp(1.0, n - 1) : 0, hi = std::ldexp(1.0, sg ? n - 1 : n);
    if (f < lo) return sg ? (n == 64 ? 1ull << 63 : (uint64_t)(-(1ll << (n - 1)))) : 0;
    if (f >= hi) return sg ? (1ull << (n - 1)) - 1 : (n == 64 ? ~0ull : (1ull << n) - 1);
    return sg ? (uint64_t)(int64_t)f : (uint64_t)f;
  }
  if (m.sat) {
    __int128 x = v.isSigned ? (__int128)v.s : (__int128)(uint64_t)v.s;
    __int128 lo = sg ? -((__int128)1 << (n - 1)) : 0, hi = sg ? ((__int128)1 << (n - 1)) - 1 : ((__int128)1 << n) - 1;
    if (x < lo) x = lo;
    if (x > hi) x = hi;
    return (uint64_t)x;
  }
  return (uint64_t)v.s;
}
// sign/zero extension of an integer result to the destination register
uint64_t extend(uint64_t v, Ty d) {
  switch (d) {
    case Ty::U8:
    case Ty::B8:
      return (uint8_t)v;
    case Ty::S8:
      return (uint64_t)(int64_t)(int8_t)v;
    case Ty::U16:
    case Ty::B16:
      return (uint16_t)v;
    case Ty::S16:
      return (uint64_t)(int64_t)(int16_t)v;
    case Ty::U32:
    case Ty::B32:
      return (uint32_t)v;
    case Ty::S32:
      return (uint64_t)(int64_t)(int32_t)v;
    default:
      return v;
  }
}
// value as a double, rounded to odd when it does not fit
double oddDouble(const Val& v) {
  if (v.isFloat) return v.f;
  bool neg = v.isSigned && v.s < 0;
  uint64_t a = neg ? 0 - (uint64_t)v.s : (uint64_t)v.s;
  if (a >> 53) {
    int sh = 11 - __builtin_clzll(a);
    uint64_t lost = a & ((1ull << sh) - 1);
    a = (a >> sh) | (lost ? 1 : 0);
    double d = std::ldexp((double)a, sh);
    return neg ? -d : d;
  }
  return neg ? -(double)a : (double)a;
}

bool smallFmt(Ty t, SmallFmt& f, int& bits, int& count) {
  count = 2;
  bits = 8;
  switch (t) {
    case Ty::F16:
      f = kF16;
      bits = 16;
      count = 1;
      return true;
    case Ty::BF16:
      f = kBF16;
      bits = 16;
      count = 1;
      return true;
    case Ty::F16x2:
      f = kF16;
      bits = 16;
      return true;
    case Ty::BF16x2:
      f = kBF16;
      bits = 16;
      return true;
    case Ty::E4M3x2:
      f = kE4M3;
      return true;
    case Ty::E5M2x2:
      f = kE5M2;
      return true;
    case Ty::E2M3x2:
      f = kE2M3;
      return true;
    case Ty::E3M2x2:
      f = kE3M2;
      return true;
    case Ty::E2M1x2:
      f = kE2M1;
      bits = 4;
      return true;
    case Ty::UE8M0x2:
      bits = 8;
      return true;
    default:
      return false;
  }
}
uint32_t packUe8m0(double v, int rm, bool) {
  if (v != v) return 0xff;
  double a = std::fabs(v);
  if (a < 0x1p-127) return 0;
  if (std::isinf(a)) return 0xfe;
  int e;
  double fr = std::frexp(a, &e);  // [0.5,1)
  e -= 1;
  if (rm == RP && fr != 0.5) e++;
  int r = e + 127;
  return r < 0 ? 0 : r > 254 ? 254 : (uint32_t)r;
}
uint32_t pack1(double v, Ty t, const SmallFmt& f, const Mode& m) {
  if (m.relu && v == v && v < 0) v = 0;
  if (m.relu && v == 0) v = 0.0;
  if (m.sat) v = sat01(v);
  if (t == Ty::UE8M0x2) return packUe8m0(v, m.rm, m.satfinite);
  return packSmall(v, f, (RoundMode)m.rm, m.satfinite);
}

uint64_t toFloatTy(const Val& v, Ty d, Ty srcTy, const Mode& m) {
  SmallFmt f;
  int bits, count;
  if (d == Ty::F32 || d == Ty::TF32) {
    float r;
    if (v.isFloat) {
      double x = v.f;
      if (m.ftz && srcTy == Ty::F32) x = ftz((float)x);
      if (m.integer) x = rintMode(x, m.rm);
      r = srcTy == Ty::F64 && !m.integer && m.rm != RN ? roundToFloat(x, m.rm) : (float)x;
    } else {
      r = v.isSigned ? roundS64ToFloat(v.s, m.rm) : roundU64ToFloat((uint64_t)v.s, m.rm);
    }
    if (d == Ty::TF32) {  // keep 10 mantissa bits
      uint32_t u = fbits(r), a = u & 0x7fffffff;
      if (r != r) return 0x7fffffff;
      if (m.rm == RNA)
        a += 0x1000;
      else if (m.rm == RN)
        a += 0xfff + ((a >> 13) & 1);
      a &= ~0x1fffu;
      if (m.satfinite && a >= 0x7f800000u) a = 0x7f7fe000u;
      u = (u & 0x80000000u) | a;
      if (m.relu && (u >> 31)) u = 0;
      return u;
    }
    if (m.ftz) r = ftz(r);
    if (m.sat) r = sat01(r);
    if (m.relu && r < 0) r = 0;
    return fbits(canon(r));
  }
  if (d == Ty::F64) {
    double r;
    if (v.isFloat) {
      r = v.f;
      if (m.ftz && srcTy == Ty::F32) r = ftz((float)r);
      if (m.integer) r = rintMode(r, m.rm);
    } else {
      r = v.isSigned ? roundS64ToDouble(v.s, m.rm) : roundU64ToDouble((uint64_t)v.s, m.rm);
    }
    if (m.sat) r = sat01(r);
    return dbits(canon(r));
  }
  smallFmt(d, f, bits, count);
  double x = oddDouble(v);
  if (m.ftz && srcTy == Ty::F32) x = ftz((float)x);
  if (m.integer) x = rintMode(x, m.rm);
  return pack1(x, d, f, m);
}

// imm layout shared with cvtHandler()
struct Packed {
  Ty d, s;
  Mode m;
  int wd, ws;
};
Packed unpack(int64_t imm) {
  Packed p;
  p.d = (Ty)(imm & 255);
  p.s = (Ty)((imm >> 8) & 255);
  p.m.rm = (int)(imm >> 16) & 15;
  p.m.integer = (imm >> 20) & 1;
  p.m.sat = (imm >> 21) & 1;
  p.m.ftz = (imm >> 22) & 1;
  p.m.relu = (imm >> 23) & 1;
  p.m.satfinite = (imm >> 24) & 1;
  p.ws = (int)(imm >> 32) & 255;
  p.wd = (int)(imm >> 40) & 255;
  return p;
}

void hGeneric(Ctx& c, const Op& op, uint32_t m) {
  Packed p = unpack(op.imm);
  for (; m; m &= m - 1) {
    int i = firstLane(m);
    Val v = readVal(rawLane(c, op.a, p.ws, i), p.s);
    uint64_t r = isFloatTy(p.d) ? toFloatTy(v, p.d, p.s, p.m) : extend(toInt(v, p.d, p.m, p.s), p.d);
    putLane(c, op.d, p.wd, i, r);
  }
}

// Packed destination: two float sources (a upper, b lower), or one packed source.
void hPack(Ctx& c, const Op& op, uint32_t m) {
  Packed p = unpack(op.imm);
  SmallFmt f{}, sf{};
  int bits, count, sbits, scount;
  smallFmt(p.d, f, bits, count);
  bool packedSrc = smallFmt(p.s, sf, sbits, scount) && scount == 2;
  for (; m; m &= m - 1) {
    int i = firstLane(m);
    double hi, lo;
    if (packedSrc) {
      uint32_t raw = (uint32_t)rawLane(c, op.a, p.ws, i);
      uint32_t msk = (1u << sbits) - 1;
      auto un = [&](uint32_t b) {
        if (p.s == Ty::UE8M0x2)
          return b == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, (int)b - 127);
        return unpackSmall(b, sf);
      };
      lo = un(raw & msk);
      hi = un((raw >> sbits) & msk);
    } else {
      hi = bitsf((uint32_t)rawLane(c, op.a, 4, i));
      lo = bitsf((uint32_t)rawLane(c, op.b, 4, i));
      if (p.m.ftz) {
        hi = ftz((float)hi);
        lo = ftz((float)lo);
      }
    }
    uint32_t r = pack1(hi, p.d, f, p.m) << bits | pack1(lo, p.d, f, p.m);
    putLane(c, op.d, p.wd, i, r);
  }
}

// cvt.pack.sat.{u8,s8,u16,s16}.s32{.b32}: imm low byte = type
void hCvtPack(Ctx& c, const Op& op, uint32_t m) {
  Ty t = (Ty)(op.imm & 255);
  bool b8 = tyBytes(t) == 1;
  int64_t lo = t == Ty::S8 ? -128 : t == Ty::S16 ? -32768 : 0;
  int64_t hi = t == Ty::S8 ? 127 : t == Ty::U8 ? 255 : t == Ty::S16 ? 32767 : 65535;
  for (; m; m &= m - 1) {
    int i = firstLane(m);
    int64_t a = R<int32_t>(c, op.a)[i], b = R<int32_t>(c, op.b)[i];
    a = a < lo ? lo : a > hi ? hi : a;
    b = b < lo ? lo : b > hi ? hi : b;
    uint32_t r;
    if (b8) {
      uint32_t k = op.c != kNoRef ? R<uint32_t>(c, op.c)[i] : 0;
      r = k << 16 | ((uint32_t)a & 255) << 8 | ((uint32_t)b & 255);
    } else {
      r = ((uint32_t)a & 65535) << 16 | ((uint32_t)b & 65535);
    }
    R<uint32_t>(c, op.d)[i] = r;
  }
}

// fast handlers indexed by (dst type, src type)
template <class D, class S>
Handler cast() {
  return h1<CvtCast<D, S>>;
}
Handler intFast(Ty d, Ty s) {
#define ROW(TD, CD)                  \
  if (d == Ty::TD) switch (s) {      \
      case Ty::U16:                  \
        return cast<CD, uint16_t>(); \
      case Ty::S16:                  \
        return cast<CD, int16_t>();  \
      case Ty::U32:                  \
        return cast<CD, uint32_t>(); \
      case Ty::S32:                  \
        return cast<CD, int32_t>();  \
      case Ty::U64:                  \
        return cast<CD, uint64_t>(); \
      case Ty::S64:                  \
        return cast<CD, int64_t>();  \
      default:                       \
        return nullptr;              \
    }
  ROW(U16, uint16_t)
  ROW(S16, int16_t)
  ROW(U32, uint32_t)
  ROW(S32, int32_t) ROW(U64, uint64_t) ROW(S64, int64_t) ROW(F32, float) ROW(F64, double) return nullptr;
}

}  // namespace

Handler cvtHandler(const Instr& in, Ty d, Ty s, int wd, int ws, int64_t& imm, uint8_t& cls, std::string& err,
                   int nsrc) {
  cls = C_CVT;
  if (in.mods.size() > 1 && in.mods[1] == "pack") {
    Ty t = Ty::None;
    for (size_t i = 2; i < in.mods.size() && t == Ty::None; i++) t = parseType(in.mods[i]);
    imm = (int64_t)t;
    if (tyBytes(t) > 2) err = "cvt.pack type";
    return hCvtPack;
  }
  Mode m{RN, false, in.has("sat"), in.has("ftz"), in.has("relu"), in.has("satfinite")};
  bool haveRm = true;
  if (in.has("rni")) {
    m.rm = RN;
    m.integer = true;
  } else if (in.has("rzi")) {
    m.rm = RZ;
    m.integer = true;
  } else if (in.has("rmi")) {
    m.rm = RM;
    m.integer = true;
  } else if (in.has("rpi")) {
    m.rm = RP;
    m.integer = true;
  } else if (in.has("rn"))
    m.rm = RN;
  else if (in.has("rz"))
    m.rm = RZ;
  else if (in.has("rm"))
    m.rm = RM;
  else if (in.has("rp"))
    m.rm = RP;
  else if (in.has("rna"))
    m.rm = RNA;
  else if (in.has("rs")) {
    err = "stochastic rounding (cvt.rs) is not supported";
    return nullptr;
  } else
    haveRm = false;
  (void)haveRm;
  imm = (int64_t)d | (int64_t)s << 8 | (int64_t)m.rm << 16 | (int64_t)m.integer << 20 | (int64_t)m.sat << 21 |
        (int64_t)m.ftz << 22 | (int64_t)m.relu << 23 | (int64_t)m.satfinite << 24 | (int64_t)ws << 32 |
        (int64_t)wd << 40;
  SmallFmt f;
  int bits, count;
  bool small = smallFmt(d, f, bits, count);
  if (small && count == 2) {
    bool packed = smallFmt(s, f, bits, count) && count == 2;
    if (!packed && nsrc < 2) {
      err = "cvt operand count";
      return nullptr;
    }
    if (!packed && s != Ty::F32) {
      err = "cvt source type";
      return nullptr;
    }
    if (m.rm == RN && !m.sat && !m.ftz && !m.relu && !m.satfinite && s == Ty::F32) {
      if (d == Ty::F16x2) return h2<CvtF16x2>;
      if (d == Ty::BF16x2) return h2<CvtB16x2>;
    }
    return hPack;
  }
  auto plain = [](Ty t) {
    switch (t) {
      case Ty::U8:
      case Ty::S8:
      case Ty::U16:
      case Ty::S16:
      case Ty::U32:
      case Ty::S32:
      case Ty::U64:
      case Ty::S64:
      case Ty::F16:
      case Ty::BF16:
      case Ty::F32:
      case Ty::F64:
      case Ty::TF32:
        return true;
      default:
        return false;
    }
  };
  if (!plain(d) || !plain(s)) {
    err = "cvt type combination";
    return nullptr;
  }
  bool exactW = wd == tyBytes(d) && ws == tyBytes(s);
  bool nomod = !m.sat && !m.ftz && !m.relu && !m.satfinite;
  if (exactW && nomod) {
    bool fs = isFloatTy(s), fd = isFloatTy(d);
    if (!fs && (!fd || m.rm == RN)) {
      if (Handler h = intFast(d, s)) return h;
    }
    if (m.rm == RN && !m.integer) {
      if (d == Ty::F64 && s == Ty::F32) return h1<CvtF64F32>;
      if (d == Ty::F32 && s == Ty::F64) return h1<CvtF32F64>;
      if (d == Ty::F32 && s == Ty::F16) return h1<CvtF32F16>;
      if (d == Ty::F16 && s == Ty::F32) return h1<CvtF16F32>;
      if (d == Ty::F32 && s == Ty::BF16) return h1<CvtF32B16>;
      if (d == Ty::BF16 && s == Ty::F32) return h1<CvtB16F32>;
    }
  }
  if (exactW && !m.sat && !m.relu && m.integer && s == Ty::F32) {
    if (d == Ty::F32) {
      if (m.rm == RN) return m.ftz ? h1<CvtRint<true, RN>> : h1<CvtRint<false, RN>>;
      if (m.rm == RZ) return m.ftz ? h1<CvtRint<true, RZ>> : h1<CvtRint<false, RZ>>;
      if (m.rm == RM) return m.ftz ? h1<CvtRint<true, RM>> : h1<CvtRint<false, RM>>;
      return m.ftz ? h1<CvtRint<true, RP>> : h1<CvtRint<false, RP>>;
    }
    if (d == Ty::S32) {
      if (m.rm == RN && !m.ftz) return h1<CvtS32F32<RN>>;
      if (m.rm == RZ) return h1<CvtS32F32<RZ>>;
      if (m.rm == RM && !m.ftz) return h1<CvtS32F32<RM>>;
      if (m.rm == RP && !m.ftz) return h1<CvtS32F32<RP>>;
    }
  }
  return hGeneric;
}

}  // namespace cs
