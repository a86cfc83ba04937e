// SPDX-License-Identifier: Apache-2.0
// Integer, logic, shift, compare and select operations.
#include "lanes.h"

namespace cs {

namespace {

#define F1(NAME, TD, TA, EXPR)                   \
  struct NAME {                                  \
    using D = TD;                                \
    using A = TA;                                \
    static inline D f(A a) { return (D)(EXPR); } \
  };
#define F2(NAME, TD, TA, TB, EXPR)                    \
  struct NAME {                                       \
    using D = TD;                                     \
    using A = TA;                                     \
    using B = TB;                                     \
    static inline D f(A a, B b) { return (D)(EXPR); } \
  };
#define F3(NAME, TD, TA, TB, TC, EXPR)                     \
  struct NAME {                                            \
    using D = TD;                                          \
    using A = TA;                                          \
    using B = TB;                                          \
    using C = TC;                                          \
    static inline D f(A a, B b, C c) { return (D)(EXPR); } \
  };

template <class T>
struct Wider;
template <>
struct Wider<uint16_t> {
  using t = uint32_t;
};
template <>
struct Wider<int16_t> {
  using t = int32_t;
};
template <>
struct Wider<uint32_t> {
  using t = uint64_t;
};
template <>
struct Wider<int32_t> {
  using t = int64_t;
};
template <>
struct Wider<uint64_t> {
  using t = unsigned __int128;
};
template <>
struct Wider<int64_t> {
  using t = __int128;
};
template <class T>
using W = typename Wider<T>::t;
template <class T>
constexpr int bits() {
  return (int)sizeof(T) * 8;
}

template <class T>
F2(Add, T, T, T, a + b)
template <class T>
F2(Sub, T, T, T, a - b)
template <class T>
F2(Mul, T, T, T, (W<T>)a*(W<T>)b)
template <class T>
F2(MulHi, T, T, T, ((W<T>)a * (W<T>)b) >> bits<T>())
template <class T>
F2(MulWide, W<T>, T, T, (W<T>)a*(W<T>)b)
template <class T>
F3(Mad, T, T, T, T, (W<T>)a*(W<T>)b + (W<T>)c)
template <class T>
F3(MadHi, T, T, T, T, (T)(((W<T>)a * (W<T>)b) >> bits<T>()) + c)
template <class T>
F3(MadWide, W<T>, T, T, W<T>, (W<T>)a*(W<T>)b + c)
F2(AddSat, int32_t, int32_t, int32_t,
   (int64_t)a + b > INT32_MAX   ? INT32_MAX
   : (int64_t)a + b < INT32_MIN ? INT32_MIN
                                : (int64_t)a + b) F2(SubSat, int32_t, int32_t, int32_t,
                                                     (int64_t)a - b > INT32_MAX   ? INT32_MAX
                                                     : (int64_t)a - b < INT32_MIN ? INT32_MIN
                                                                                  : (int64_t)a - b) template <class T>
F2(Div, T, T, T, b == 0 ? (T)-1 : (T)(b == (T)-1 && (T)-1 < 0 ? (T)(0 - a) : a / b))
template <class T>
F2(Rem, T, T, T, b == 0 ? a : (T)(b == (T)-1 && (T)-1 < 0 ? (T)0 : a % b))
template <class T>
F2(Min, T, T, T, a < b ? a : b)
template <class T>
F2(Max, T, T, T, a > b ? a : b)
template <class T>
F2(MinRelu, T, T, T, (a < b ? a : b) > 0 ? (a < b ? a : b) : 0)
template <class T>
F2(MaxRelu, T, T, T, (a > b ? a : b) > 0 ? (a > b ? a : b) : 0)
template <class T>
F1(Abs, T, T, a < 0 ? 0 - a : a)
template <class T>
F1(Neg, T, T, 0 - a)
template <class T>
F3(Sad, T, T, T, T, c + (a > b ? a - b : b - a))
template <class T>
F2(And, T, T, T, a& b)
template <class T>
F2(Or, T, T, T, a | b)
template <class T>
F2(Xor, T, T, T, a ^ b)
template <class T>
F1(Not, T, T, ~a)
template <class T>
F1(CNot, T, T, a == 0)
template <class T>
F2(Shl, T, T, uint32_t, b >= (uint32_t)bits<T>() ? (T)0 : (T)(a << b))
template <class T>
F2(ShrU, T, T, uint32_t, b >= (uint32_t)bits<T>() ? (T)0 : (T)(a >> b))
template <class T>
F2(ShrS, T, T, uint32_t, a >> (b >= (uint32_t)bits<T>() ? (uint32_t)bits<T>() - 1 : b))
F3(ShfL, uint32_t, uint32_t, uint32_t, uint32_t, (uint64_t)(((uint64_t)b << 32 | a) << (c & 31)) >> 32)
    F3(ShfR, uint32_t, uint32_t, uint32_t, uint32_t, ((uint64_t)b << 32 | a) >> (c & 31))
        F3(ShfLc, uint32_t, uint32_t, uint32_t, uint32_t,
           (c > 31 ? a : (uint32_t)((((uint64_t)b << 32 | a) << c) >> 32)))
            F3(ShfRc, uint32_t, uint32_t, uint32_t, uint32_t, (c > 31 ? b : (uint32_t)(((uint64_t)b << 32 | a) >> c)))
                F1(Popc32, uint32_t, uint32_t, __builtin_popcount(a))
                    F1(Popc64, uint32_t, uint64_t, __builtin_popcountll(a))
                        F1(Clz32, uint32_t, uint32_t, a ? __builtin_clz(a) : 32)
                            F1(Clz64, uint32_t, uint64_t, a ? __builtin_clzll(a) : 64)

                                inline uint32_t rev32(uint32_t v) {
  v = (v >> 1 & 0x55555555u) | (v & 0x55555555u) << 1;
  v = (v >> 2 & 0x33333333u) | (v & 0x33333333u) << 2;
  v = (v >> 4 & 0x0f0f0f0fu) | (v & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(v);
}
F1(Brev32, uint32_t, uint32_t, rev32(a))
F1(Brev64, uint64_t, uint64_t, (uint64_t)rev32((uint32_t)a) << 32 | rev32((uint32_t)(a >> 32)))

template <class T>
inline uint32_t bfindU(T a) {
  return a ? (uint32_t)(63 - __builtin_clzll((uint64_t)a)) : 0xffffffffu;
}
inline uint32_t bfindS32(int32_t a) { return bfindU<uint32_t>((uint32_t)(a < 0 ? ~a : a)); }
inline uint32_t bfindS64(int64_t a) { return bfindU<uint64_t>((uint64_t)(a < 0 ? ~a : a)); }
inline uint32_t sh(uint32_t r, int n) { return r == 0xffffffffu ? r : (uint32_t)(n - 1) - r; }
F1(BfindU32, uint32_t, uint32_t, bfindU<uint32_t>(a))
F1(BfindU64, uint32_t, uint64_t, bfindU<uint64_t>(a))
F1(BfindS32, uint32_t, int32_t, bfindS32(a))
F1(BfindS64, uint32_t, int64_t, bfindS64(a))
F1(BfindShU32, uint32_t, uint32_t, sh(bfindU<uint32_t>(a), 32))
F1(BfindShU64, uint32_t, uint64_t, sh(bfindU<uint64_t>(a), 64))
F1(BfindShS32, uint32_t, int32_t, sh(bfindS32(a), 32))
F1(BfindShS64, uint32_t, int64_t, sh(bfindS64(a), 64))

template <class T, bool S>
inline T bfe(T a, uint32_t pos, uint32_t len) {
  constexpr int n = bits<T>();
  using U = std::make_unsigned_t<T>;
  pos &= 0xff;
  len &= 0xff;
  U r = 0;
  U sbit = 0;
  if (S && len) {
    uint32_t top = pos + len - 1;
    if (top > (uint32_t)n - 1) top = n - 1;
    sbit = ((U)a >> top) & 1;
  }
  if (pos < (uint32_t)n) r = (U)a >> pos;
  if (len < (uint32_t)n) {
    U mask = ((U)1 << len) - 1;
    r &= mask;
    // bits beyond the msb of the source are filled with the sign
    if (S && sbit) {
      r |= ~mask;
      if (pos + len > (uint32_t)n && pos < (uint32_t)n) r |= (U)(~(U)0) << (n - pos);
      if (pos >= (uint32_t)n) r = ~(U)0;
    }
  } else if (S && sbit) {
    if (pos && pos < (uint32_t)n) r |= (U)(~(U)0) << (n - pos);
    if (pos >= (uint32_t)n) r = ~(U)0;
  }
  if (S && len == 0) r = 0;
  return (T)r;
}
template <class T, bool S>
F3(Bfe, T, T, uint32_t, uint32_t, (bfe<T, S>(a, b, c)))

template <class T>
inline T bfi(T a, T b, uint32_t pos, uint32_t len) {
  constexpr uint32_t n = bits<T>();
  pos &= 0xff;
  len &= 0xff;
  if (pos >= n || len == 0) return b;
  T mask = len >= n ? ~(T)0 : (((T)1 << len) - 1);
  mask <<= pos;
  return (b & ~mask) | ((T)(a << pos) & mask);
}
// bfi has four sources: a, b, pos (op.c), len (op.e)
template <class T>
void hBfi(Ctx& c, const Op& op, uint32_t m) {
  T* d = R<T>(c, op.d);
  const T* a = R<T>(c, op.a);
  const T* b = R<T>(c, op.b);
  const uint32_t* p = R<uint32_t>(c, op.c);
  const uint32_t* l = R<uint32_t>(c, op.e);
  for (int i = 0; i < 32; i++) {
    T t = bfi<T>(a[i], b[i], p[i], l[i]);
    d[i] = (m >> i) & 1 ? t : d[i];
  }
}

void hLop3(Ctx& c, const Op& op, uint32_t m) {
  uint32_t* d = R<uint32_t>(c, op.d);
  const uint32_t* a = R<uint32_t>(c, op.a);
  const uint32_t* b = R<uint32_t>(c, op.b);
  const uint32_t* e = R<uint32_t>(c, op.c);
  uint32_t k = (uint32_t)op.imm, t[8];
  for (int j = 0; j < 8; j++) t[j] = (k >> j) & 1 ? kFull : 0;
  uint32_t p = 0;
  for (int i = 0; i < 32; i++) {
    uint32_t x = a[i], y = b[i], z = e[i];
    uint32_t r = (~x & ~y & ~z & t[0]) | (~x & ~y & z & t[1]) | (~x & y & ~z & t[2]) | (~x & y & z & t[3]) |
                 (x & ~y & ~z & t[4]) | (x & ~y & z & t[5]) | (x & y & ~z & t[6]) | (x & y & z & t[7]);
    d[i] = (m >> i) & 1 ? r : d[i];
    p |= (r != 0 ? 1u : 0u) << i;
  }
  if (op.d2 != kNoRef) {  // lop3.BoolOp: p = (d != 0) op q
    uint32_t q = *R<uint32_t>(c, op.e);
    if (op.flags & F_NEG) q = ~q;
    p = op.n == 1 ? (p | q) : (p & q);
    uint32_t* pd = R<uint32_t>(c, op.d2);
    *pd = (*pd & ~m) | (p & m);
  }
}

inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t s, int mode) {
  uint64_t v = (uint64_t)b << 32 | a;
  uint32_t r = 0;
  if (mode == 0) {
    for (int i = 0; i < 4; i++) {
      uint32_t sel = (s >> (4 * i)) & 15;
      uint32_t by = (uint32_t)(v >> (8 * (sel & 7))) & 0xff;
      if (sel & 8) by = by & 0x80 ? 0xff : 0;
      r |= by << (8 * i);
    }
    return r;
  }
  uint32_t k = s & 3;
  for (uint32_t i = 0; i < 4; i++) {
    uint32_t sel = 0;
    switch (mode) {
      case 1:
        sel = (k + i) & 7;
        break;  // f4e
      case 2:
        sel = (k + 8 - i) & 7;
        break;  // b4e
      case 3:
        sel = k;
        break;  // rc8
      case 4:
        sel = i < k ? k : i;
        break;  // ecl
      case 5:
        sel = i > k ? k : i;
        break;  // ecr
      case 6:
        sel = (k & 1) * 2 + (i & 1);
        break;  // rc16
    }
    r |= ((uint32_t)(v >> (8 * sel)) & 0xff) << (8 * i);
  }
  return r;
}
void hPrmt(Ctx& c, const Op& op, uint32_t m) {
  uint32_t* d = R<uint32_t>(c, op.d);
  const uint32_t* a = R<uint32_t>(c, op.a);
  const uint32_t* b = R<uint32_t>(c, op.b);
  const uint32_t* s = R<uint32_t>(c, op.c);
  for (int i = 0; i < 32; i++) {
    uint32_t r = prmt(a[i], b[i], s[i], (int)op.imm);
    d[i] = (m >> i) & 1 ? r : d[i];
  }
}

// dp4a / dp2a: imm bit0 = a signed, bit1 = b signed, bit2 = dp2a, bit3 = hi
void hDp(Ctx& c, const Op& op, uint32_t m) {
  uint32_t* d = R<uint32_t>(c, op.d);
  const uint32_t* a = R<uint32_t>(c, op.a);
  const uint32_t* b = R<uint32_t>(c, op.b);
  const uint32_t* e = R<uint32_t>(c, op.c);
  int k = (int)op.imm;
  for (int i = 0; i < 32; i++) {
    if (!((m >> i) & 1)) continue;
    int64_t s = 0;
    if (!(k & 4)) {
      for (int j = 0; j < 4; j++) {
        int x = (a[i] >> (8 * j)) & 0xff, y = (b[i] >> (8 * j)) & 0xff;
        if (k & 1) x = (int8_t)x;
        if (k & 2) y = (int8_t)y;
        s += x * y;
      }
    } else {
      for (int j = 0; j < 2; j++) {
        int x = (a[i] >> (16 * j)) & 0xffff, y = (b[i] >> (8 * (j + ((k & 8) ? 2 : 0)))) & 0xff;
        if (k & 1) x = (int16_t)x;
        if (k & 2) y = (int8_t)y;
        s += (int64_t)x * y;
      }
    }
    d[i] = (uint32_t)(s + e[i]);
  }
}

// Carry chain. imm: bit0 carry in, bit1 carry out, bits 4..: 0 add, 1 sub, 2 mad.lo, 3 mad.hi
template <class T>
void hCarry(Ctx& c, const Op& op, uint32_t m) {
  using WT = W<T>;
  T* d = R<T>(c, op.d);
  const T* a = R<T>(c, op.a);
  const T* b = R<T>(c, op.b);
  const T* e = op.c != kNoRef ? R<T>(c, op.c) : nullptr;
  int kind = (int)(op.imm >> 4);
  uint32_t cc = c.w->cc;
  for (int i = 0; i < 32; i++) {
    if (!((m >> i) & 1)) continue;
    WT cin = (op.imm & 1) ? (cc >> i) & 1 : 0, r;
    if (kind == 1) {
      r = (WT)a[i] - (WT)b[i] - cin;  // borrow convention
    } else if (kind == 0) {
      r = (WT)a[i] + b[i] + cin;
    } else {
      WT p = (WT)a[i] * b[i];
      T part = kind == 2 ? (T)p : (T)(p >> bits<T>());
      r = (WT)part + e[i] + cin;
    }
    d[i] = (T)r;
    if (op.imm & 2) {
      uint32_t co = (uint32_t)(r >> bits<T>()) & 1;
      cc = (cc & ~(1u << i)) | co << i;
    }
  }
  c.w->cc = cc;
}

// 16x2 SIMD
template <template <class> class F, class T>
struct X2 {
  using D = uint32_t;
  using A = uint32_t;
  using B = uint32_t;
  static inline D f(A a, B b) {
    uint32_t lo = (uint16_t)F<T>::f((T)(uint16_t)a, (T)(uint16_t)b);
    uint32_t hi = (uint16_t)F<T>::f((T)(uint16_t)(a >> 16), (T)(uint16_t)(b >> 16));
    return lo | hi << 16;
  }
};

// selp: c is a predicate
template <class T>
void hSelp(Ctx& c, const Op& op, uint32_t m) {
  T* d = R<T>(c, op.d);
  const T* a = R<T>(c, op.a);
  const T* b = R<T>(c, op.b);
  uint32_t p = *R<uint32_t>(c, op.c);
  if (op.flags & F_NEG) p = ~p;
  for (int i = 0; i < 32; i++) {
    T t = (p >> i) & 1 ? a[i] : b[i];
    d[i] = (m >> i) & 1 ? t : d[i];
  }
}
template <class T>
F3(SlctS, T, T, T, int32_t, c >= 0 ? a : b)
template <class T>
F3(SlctF, T, T, T, float, c >= 0.f ? a : b)
template <class T>
F1(Mov, T, T, a)
struct B128 {
  uint64_t lo, hi;
};
void hMov128(Ctx& c, const Op& op, uint32_t m) {
  B128* d = R<B128>(c, op.d);
  const B128* a = R<B128>(c, op.a);
  for (int i = 0; i < 32; i++)
    if ((m >> i) & 1) d[i] = a[i];
}

// predicate logic: a, b masks; flags bit F_NEG negates a, imm bit0 negates b
template <int K>
void hPred(Ctx& c, const Op& op, uint32_t m) {
  uint32_t a = *R<uint32_t>(c, op.a), b = op.b != kNoRef ? *R<uint32_t>(c, op.b) : 0, r = 0;
  if (op.flags & F_NEG) a = ~a;
  if (op.imm & 1) b = ~b;
  if (K == 0) r = a & b;
  if (K == 1) r = a | b;
  if (K == 2) r = a ^ b;
  if (K == 3) r = ~a;
  if (K == 4) r = a;
  uint32_t* d = R<uint32_t>(c, op.d);
  *d = (*d & ~m) | (r & m);
}
OpDef defPred(Handler h, int n) {
  OpDef o;
  o.fn = h;
  o.nargs = (uint8_t)n;
  o.wd = o.wa = o.wb = 1;
  return o;
}
OpDef defRaw(Handler h, int n, int wd, int wa, int wb, int wc, Cls cls = C_INT) {
  OpDef o;
  o.fn = h;
  o.cls = cls;
  o.nargs = (uint8_t)n;
  o.wd = (uint8_t)wd;
  o.wa = (uint8_t)wa;
  o.wb = (uint8_t)wb;
  o.wc = (uint8_t)wc;
  return o;
}

inline uint32_t bmsk(uint32_t a, uint32_t b, bool clamp) {
  if (!clamp) {
    a &= 31;
    b &= 31;
  }
  if (a >= 32 || b == 0) return 0;
  uint64_t ones = b >= 32 ? 0xffffffffull : ((1ull << b) - 1);
  return (uint32_t)(ones << a);
}
F2(BmskC, uint32_t, uint32_t, uint32_t, bmsk(a, b, true))
F2(BmskW, uint32_t, uint32_t, uint32_t, bmsk(a, b, false))
inline uint32_t szext(uint32_t a, uint32_t n, bool s, bool clamp) {
  if (!clamp) n &= 31;
  if (n >= 32) return a;
  if (n == 0) return 0;
  uint32_t m = (1u << n) - 1, r = a & m;
  if (s && (a >> (n - 1)) & 1) r |= ~m;
  return r;
}
F2(SzextUC, uint32_t, uint32_t, uint32_t, szext(a, b, false, true))
F2(SzextUW, uint32_t, uint32_t, uint32_t, szext(a, b, false, false))
F2(SzextSC, uint32_t, uint32_t, uint32_t, szext(a, b, true, true))
F2(SzextSW, uint32_t, uint32_t, uint32_t, szext(a, b, true, false))
inline int32_t s24(int32_t a) { return (int32_t)((uint32_t)a << 8) >> 8; }
F2(Mul24LoU, uint32_t, uint32_t, uint32_t, (uint64_t)(a & 0xffffff) * (b & 0xffffff))
F2(Mul24LoS, int32_t, int32_t, int32_t, (int64_t)s24(a) * s24(b))
F2(Mul24HiU, uint32_t, uint32_t, uint32_t, ((uint64_t)(a & 0xffffff) * (b & 0xffffff)) >> 16)
F2(Mul24HiS, int32_t, int32_t, int32_t, ((int64_t)s24(a) * s24(b)) >> 16)
F3(Mad24LoU, uint32_t, uint32_t, uint32_t, uint32_t, (uint64_t)(a & 0xffffff) * (b & 0xffffff) + c)
F3(Mad24LoS, int32_t, int32_t, int32_t, int32_t, (int64_t)s24(a) * s24(b) + c)

// fns: n-th set bit
inline uint32_t fns(uint32_t mask, uint32_t base, int32_t off) {
  base &= 31;
  if (off == 0) return (mask >> base) & 1 ? base : 0xffffffffu;
  int pos = (int)base, step = off > 0 ? 1 : -1, left = off > 0 ? off : -off;
  for (; pos >= 0 && pos < 32; pos += step)
    if ((mask >> pos) & 1 && --left == 0) return (uint32_t)pos;
  return 0xffffffffu;
}
F3(Fns, uint32_t, uint32_t, uint32_t, int32_t, fns(a, b, c))

template <class U, class S>
void intFamily(OpTable& t, const std::string& n) {  // n = "16" / "32" / "64"
  std::string u = ".u" + n, s = ".s" + n, b = ".b" + n;
  t["add" + b] = def2<Add<U>>(C_INT);
  t["sub" + b] = def2<Sub<U>>(C_INT);
  t["mul.lo" + b] = def2<Mul<U>>(C_INT);
  t["mul.hi" + u] = def2<MulHi<U>>(C_INT);
  t["mul.hi" + s] = def2<MulHi<S>>(C_INT);
  t["mad.lo" + b] = def3<Mad<U>>(C_INT);
  t["mad.hi" + u] = def3<MadHi<U>>(C_INT);
  t["mad.hi" + s] = def3<MadHi<S>>(C_INT);
  t["div" + u] = def2<Div<U>>(C_SFU);
  t["div" + s] = def2<Div<S>>(C_SFU);
  t["rem" + u] = def2<Rem<U>>(C_SFU);
  t["rem" + s] = def2<Rem<S>>(C_SFU);
  t["min" + u] = def2<Min<U>>(C_INT);
  t["min" + s] = def2<Min<S>>(C_INT);
  t["max" + u] = def2<Max<U>>(C_INT);
  t["max" + s] = def2<Max<S>>(C_INT);
  t["abs" + s] = def1<Abs<S>>(C_INT);
  t["neg" + s] = t["neg" + b] = t["neg" + u] = def1<Neg<U>>(C_INT);
  t["sad" + u] = def3<Sad<U>>(C_INT);
  t["sad" + s] = def3<Sad<S>>(C_INT);
  t["and" + b] = def2<And<U>>(C_INT);
  t["or" + b] = def2<Or<U>>(C_INT);
  t["xor" + b] = def2<Xor<U>>(C_INT);
  t["not" + b] = def1<Not<U>>(C_INT);
  t["cnot" + b] = def1<CNot<U>>(C_INT);
  t["shl" + b] = def2<Shl<U>>(C_INT);
  t["shr" + u] = t["shr" + b] = def2<ShrU<U>>(C_INT);
  t["shr" + s] = def2<ShrS<S>>(C_INT);
  t["mov" + b] = def1<Mov<U>>(C_MOVE);
  t["selp" + b] = defRaw(hSelp<U>, 3, sizeof(U), sizeof(U), sizeof(U), 1);
  t["slct" + b + ".s32"] = def3<SlctS<U>>(C_INT);
  t["slct" + b + ".f32"] = def3<SlctF<U>>(C_F32);
  t["setp.eq" + b] = defcmp<CmpEq<U>>(C_INT);
  t["setp.ne" + b] = defcmp<CmpNe<U>>(C_INT);
  t["setp.lt" + u] = t["setp.lo" + u] = defcmp<CmpLt<U>>(C_INT);
  t["setp.le" + u] = t["setp.ls" + u] = defcmp<CmpLe<U>>(C_INT);
  t["setp.gt" + u] = t["setp.hi" + u] = defcmp<CmpGt<U>>(C_INT);
  t["setp.ge" + u] = t["setp.hs" + u] = defcmp<CmpGe<U>>(C_INT);
  t["setp.lt" + s] = defcmp<CmpLt<S>>(C_INT);
  t["setp.le" + s] = defcmp<CmpLe<S>>(C_INT);
  t["setp.gt" + s] = defcmp<CmpGt<S>>(C_INT);
  t["setp.ge" + s] = defcmp<CmpGe<S>>(C_INT);
}

}  // namespace

void registerInt(OpTable& t) {
  intFamily<uint16_t, int16_t>(t, "16");
  intFamily<uint32_t, int32_t>(t, "32");
  intFamily<uint64_t, int64_t>(t, "64");
  t["mov.b128"] = defRaw(hMov128, 1, 16, 16, 0, 0, C_MOVE);
  t["mul.wide.u16"] = def2<MulWide<uint16_t>>(C_INT);
  t["mul.wide.s16"] = def2<MulWide<int16_t>>(C_INT);
  t["mul.wide.u32"] = def2<MulWide<uint32_t>>(C_INT);
  t["mul.wide.s32"] = def2<MulWide<int32_t>>(C_INT);
  t["mad.wide.u16"] = def3<MadWide<uint16_t>>(C_INT);
  t["mad.wide.s16"] = def3<MadWide<int16_t>>(C_INT);
  t["mad.wide.u32"] = def3<MadWide<uint32_t>>(C_INT);
  t["mad.wide.s32"] = def3<MadWide<int32_t>>(C_INT);
  t["add.sat.s32"] = def2<AddSat>(C_INT);
  t["sub.sat.s32"] = def2<SubSat>(C_INT);
  t["min.relu.s32"] = def2<MinRelu<int32_t>>(C_INT);
  t["max.relu.s32"] = def2<MaxRelu<int32_t>>(C_INT);
  t["add.u16x2"] = t["add.s16x2"] = def2<X2<Add, uint16_t>>(C_INT);
  t["sub.u16x2"] = t["sub.s16x2"] = def2<X2<Sub, uint16_t>>(C_INT);
  t["min.u16x2"] = def2<X2<Min, uint16_t>>(C_INT);
  t["min.s16x2"] = def2<X2<Min, int16_t>>(C_INT);
  t["max.u16x2"] = def2<X2<Max, uint16_t>>(C_INT);
  t["max.s16x2"] = def2<X2<Max, int16_t>>(C_INT);
  t["min.relu.s16x2"] = def2<X2<MinRelu, int16_t>>(C_INT);
  t["max.relu.s16x2"] = def2<X2<MaxRelu, int16_t>>(C_INT);
  t["popc.b32"] = def1<Popc32>(C_INT);
  t["popc.b64"] = def1<Popc64>(C_INT);
  t["clz.b32"] = def1<Clz32>(C_INT);
  t["clz.b64"] = def1<Clz64>(C_INT);
  t["brev.b32"] = def1<Brev32>(C_INT);
  t["brev.b64"] = def1<Brev64>(C_INT);
  t["bfind.u32"] = def1<BfindU32>(C_INT);
  t["bfind.u64"] = def1<BfindU64>(C_INT);
  t["bfind.s32"] = def1<BfindS32>(C_INT);
  t["bfind.s64"] = def1<BfindS64>(C_INT);
  t["bfind.shiftamt.u32"] = def1<BfindShU32>(C_INT);
  t["bfind.shiftamt.u64"] = def1<BfindShU64>(C_INT);
  t["bfind.shiftamt.s32"] = def1<BfindShS32>(C_INT);
  t["bfind.shiftamt.s64"] = def1<BfindShS64>(C_INT);
  t["bfe.u32"] = def3<Bfe<uint32_t, false>>(C_INT);
  t["bfe.s32"] = def3<Bfe<int32_t, true>>(C_INT);
  t["bfe.u64"] = def3<Bfe<uint64_t, false>>(C_INT);
  t["bfe.s64"] = def3<Bfe<int64_t, true>>(C_INT);
  t["bfi.b32"] = defRaw(hBfi<uint32_t>, 4, 4, 4, 4, 4);
  t["bfi.b64"] = defRaw(hBfi<uint64_t>, 4, 8, 8, 8, 4);
  t["lop3.b32"] = defRaw(hLop3, 3, 4, 4, 4, 4);
  t["prmt.b32"] = defRaw(hPrmt, 3, 4, 4, 4, 4);
  t["dp4a"] = t["dp2a"] = defRaw(hDp, 3, 4, 4, 4, 4);
  t["carry.32"] = defRaw(hCarry<uint32_t>, 3, 4, 4, 4, 4);
  t["carry.64"] = defRaw(hCarry<uint64_t>, 3, 8, 8, 8, 8);
  t["shf.l.wrap.b32"] = def3<ShfL>(C_INT);
  t["shf.r.wrap.b32"] = def3<ShfR>(C_INT);
  t["shf.l.clamp.b32"] = def3<ShfLc>(C_INT);
  t["shf.r.clamp.b32"] = def3<ShfRc>(C_INT);
  t["bmsk.clamp.b32"] = def2<BmskC>(C_INT);
  t["bmsk.wrap.b32"] = def2<BmskW>(C_INT);
  t["szext.clamp.u32"] = def2<SzextUC>(C_INT);
  t["szext.wrap.u32"] = def2<SzextUW>(C_INT);
  t["szext.clamp.s32"] = def2<SzextSC>(C_INT);
  t["szext.wrap.s32"] = def2<SzextSW>(C_INT);
  t["mul24.lo.u32"] = def2<Mul24LoU>(C_INT);
  t["mul24.lo.s32"] = def2<Mul24LoS>(C_INT);
  t["mul24.hi.u32"] = def2<Mul24HiU>(C_INT);
  t["mul24.hi.s32"] = def2<Mul24HiS>(C_INT);
  t["mad24.lo.u32"] = def3<Mad24LoU>(C_INT);
  t["mad24.lo.s32"] = def3<Mad24LoS>(C_INT);
  t["fns.b32"] = def3<Fns>(C_INT);
  t["and.pred"] = defPred(hPred<0>, 2);
  t["or.pred"] = defPred(hPred<1>, 2);
  t["xor.pred"] = defPred(hPred<2>, 2);
  t["not.pred"] = defPred(hPred<3>, 1);
  t["mov.pred"] = defPred(hPred<4>, 1);
}

}  // namespace cs
