// SPDX-License-Identifier: Apache-2.0
// Loops over the lanes of a warp. F supplies the types D, A, B, C and f().
#pragma once
#include "exec.h"

namespace cs {

// Marker type for predicate operands (lane masks).
struct Pred {};
template <class T>
struct WidthOf {
  static constexpr int v = sizeof(T);
};
template <>
struct WidthOf<Pred> {
  static constexpr int v = 1;
};

template <class F>
void h1(Ctx& c, const Op& op, uint32_t m) {
  using D = typename F::D;
  using A = typename F::A;
  D* d = R<D>(c, op.d);
  const A* a = R<A>(c, op.a);
  if (m == kFull) {
#pragma GCC ivdep
    for (int i = 0; i < 32; i++) d[i] = F::f(a[i]);
  } else {
#pragma GCC ivdep
    for (int i = 0; i < 32; i++) {
      D t = F::f(a[i]);
      d[i] = (m >> i) & 1 ? t : d[i];
    }
  }
}
template <class F>
void h2(Ctx& c, const Op& op, uint32_t m) {
  using D = typename F::D;
  using A = typename F::A;
  using B = typename F::B;
  D* d = R<D>(c, op.d);
  const A* a = R<A>(c, op.a);
  const B* b = R<B>(c, op.b);
  if (m == kFull) {
#pragma GCC ivdep
    for (int i = 0; i < 32; i++) d[i] = F::f(a[i], b[i]);
  } else {
#pragma GCC ivdep
    for (int i = 0; i < 32; i++) {
      D t = F::f(a[i], b[i]);
      d[i] = (m >> i) & 1 ? t : d[i];
    }
  }
}
template <class F>
void h3(Ctx& c, const Op& op, uint32_t m) {
  using D = typename F::D;
  using A = typename F::A;
  using B = typename F::B;
  using C = typename F::C;
  D* d = R<D>(c, op.d);
  const A* a = R<A>(c, op.a);
  const B* b = R<B>(c, op.b);
  const C* e = R<C>(c, op.c);
  if (m == kFull) {
#pragma GCC ivdep
    for (int i = 0; i < 32; i++) d[i] = F::f(a[i], b[i], e[i]);
  } else {
#pragma GCC ivdep
    for (int i = 0; i < 32; i++) {
      D t = F::f(a[i], b[i], e[i]);
      d[i] = (m >> i) & 1 ? t : d[i];
    }
  }
}
// Comparison: writes predicates d = cmp [bool] c and d2 = !cmp [bool] c.
// imm: 0 none, 1 and, 2 or, 3 xor. c: predicate, F_NEG negates it.
template <class F>
void hcmp(Ctx& c, const Op& op, uint32_t m) {
  using A = typename F::A;
  const A* a = R<A>(c, op.a);
  const A* b = R<A>(c, op.b);
  uint32_t r = 0;
  for (int i = 0; i < 32; i++) r |= (uint32_t)(F::f(a[i], b[i]) ? 1u : 0u) << i;
  uint32_t q = ~r;
  if (op.imm) {
    uint32_t p = *R<uint32_t>(c, op.c);
    if (op.flags & F_NEG) p = ~p;
    if (op.imm == 1) {
      r &= p;
      q &= p;
    } else if (op.imm == 2) {
      r |= p;
      q |= p;
    } else {
      r ^= p;
      q ^= p;
    }
  }
  if (op.d != kNoRef) {
    uint32_t* d = R<uint32_t>(c, op.d);
    *d = (*d & ~m) | (r & m);
  }
  if (op.d2 != kNoRef) {
    uint32_t* d = R<uint32_t>(c, op.d2);
    *d = (*d & ~m) | (q & m);
  }
}

template <class F>
OpDef def1(Cls cls) {
  OpDef o;
  o.fn = h1<F>;
  o.cls = cls;
  o.nargs = 1;
  o.wd = sizeof(typename F::D);
  o.wa = sizeof(typename F::A);
  return o;
}
template <class F>
OpDef def2(Cls cls) {
  OpDef o;
  o.fn = h2<F>;
  o.cls = cls;
  o.nargs = 2;
  o.wd = sizeof(typename F::D);
  o.wa = sizeof(typename F::A);
  o.wb = sizeof(typename F::B);
  return o;
}
template <class F>
OpDef def3(Cls cls) {
  OpDef o;
  o.fn = h3<F>;
  o.cls = cls;
  o.nargs = 3;
  o.wd = sizeof(typename F::D);
  o.wa = sizeof(typename F::A);
  o.wb = sizeof(typename F::B);
  o.wc = sizeof(typename F::C);
  return o;
}
template <class F>
OpDef defcmp(Cls cls) {
  OpDef o;
  o.fn = hcmp<F>;
  o.cls = cls;
  o.nargs = 2;
  o.wd = 1;
  o.wa = o.wb = sizeof(typename F::A);
  return o;
}

// Comparisons of integers.
template <class T>
struct CmpEq {
  using A = T;
  static inline bool f(T a, T b) { return a == b; }
};
template <class T>
struct CmpNe {
  using A = T;
  static inline bool f(T a, T b) { return a != b; }
};
template <class T>
struct CmpLt {
  using A = T;
  static inline bool f(T a, T b) { return a < b; }
};
template <class T>
struct CmpLe {
  using A = T;
  static inline bool f(T a, T b) { return a <= b; }
};
template <class T>
struct CmpGt {
  using A = T;
  static inline bool f(T a, T b) { return a > b; }
};
template <class T>
struct CmpGe {
  using A = T;
  static inline bool f(T a, T b) { return a >= b; }
};

}  // namespace cs
