// SPDX-License-Identifier: Apache-2.0
// The one table of the combinations of dtypes that are accepted and instantiated. Read by the checks (host) and by the
// dispatch of both backends.
#pragma once
#include "block8.h"
#include "dtype.h"
#include "split.h"

namespace swd {

// How a plan stores its arrays. `remainder`: the lower bits of a bf16 parameter.
struct Dtypes {
  swd_dtype param, grad, copy, moment, remainder;
};

constexpr swd_dtype kNone = SWD_DTYPE_NONE, kF32 = SWD_DTYPE_F32, kBf16 = SWD_DTYPE_BF16, kF16 = SWD_DTYPE_F16,
                    kI16 = SWD_DTYPE_I16, kI8 = SWD_DTYPE_I8, kBlock8 = SWD_DTYPE_BLOCK8;

constexpr Dtypes kDtypeRows[] = {
    // fp32 parameters and moments, with and without a copy in 16 bits
    {kF32, kF32, kNone, kF32, kNone},
    {kF32, kF32, kBf16, kF32, kNone},
    {kF32, kF32, kF16, kF32, kNone},
    {kF32, kBf16, kNone, kF32, kNone},
    {kF32, kBf16, kBf16, kF32, kNone},
    {kF32, kBf16, kF16, kF32, kNone},
    {kF32, kF16, kNone, kF32, kNone},
    {kF32, kF16, kBf16, kF32, kNone},
    {kF32, kF16, kF16, kF32, kNone},
    // fp32 parameters, narrow moments
    {kF32, kF32, kNone, kBf16, kNone},
    {kF32, kBf16, kNone, kBf16, kNone},
    {kF32, kF32, kNone, kBlock8, kNone},
    {kF32, kBf16, kNone, kBlock8, kNone},
    // parameters split into bf16 and 16 more bits
    {kBf16, kBf16, kNone, kF32, kI16},
    {kBf16, kF32, kNone, kF32, kI16},
    {kBf16, kBf16, kNone, kBf16, kI16},
    {kBf16, kF32, kNone, kBf16, kI16},
    {kBf16, kBf16, kNone, kBlock8, kI16},
    {kBf16, kF32, kNone, kBlock8, kI16},
    // into bf16 and 8 more bits, and bf16 alone
    {kBf16, kBf16, kNone, kBlock8, kI8},
    {kBf16, kF32, kNone, kBlock8, kI8},
    {kBf16, kBf16, kNone, kBf16, kNone},
    {kBf16, kF32, kNone, kBf16, kNone},
    {kBf16, kBf16, kNone, kBlock8, kNone},
    {kBf16, kF32, kNone, kBlock8, kNone},
};
constexpr int kDtypeRowCount = static_cast<int>(sizeof(kDtypeRows) / sizeof(kDtypeRows[0]));

constexpr bool operator==(const Dtypes& a, const Dtypes& b) {
  return a.param == b.param && a.grad == b.grad && a.copy == b.copy && a.moment == b.moment &&
         a.remainder == b.remainder;
}

// Bytes of an element, or, of block8, of its code.
constexpr uint32_t dtype_bytes(swd_dtype d) {
  if (d == kF32) return 4;
  if (d == kBf16 || d == kF16 || d == kI16) return 2;
  return d == kI8 || d == kBlock8 ? 1 : 0;
}

template <swd_dtype kDtype>
struct TypeOf;
template <>
struct TypeOf<kNone> {
  using type = None;
};
template <>
struct TypeOf<kF32> {
  using type = float;
};
template <>
struct TypeOf<kBf16> {
  using type = Bf16;
};
template <>
struct TypeOf<kF16> {
  using type = F16;
};
template <>
struct TypeOf<kBlock8> {
  using type = Block8;
};

template <swd_dtype kParam, swd_dtype kRemainder>
struct ParamOf {
  using type = Split<static_cast<int>(8 * dtype_bytes(kRemainder))>;
};
template <>
struct ParamOf<kF32, kNone> {
  using type = float;
};

// float, or how a parameter is split; float, Bf16 or Block8.
template <class Grad, class Copy, class Param, class Moment>
struct Types {
  using grad = Grad;
  using copy = Copy;
  using param = Param;
  using moment = Moment;
  static constexpr bool kPlain = sizeof(Param) == 4 && sizeof(Moment) == 4;  // all fp32: what it has been since 0.1
  static constexpr bool kAmsgrad = sizeof(Moment) == 4;  // else unsupported: a maximum of noise only rises
};

// Calls f with the Types of the table's row for these dtypes. A plan holds only rows of the table.
template <int kRow = 0, class F>
static inline void visit_dtypes(const Dtypes& dtypes, F&& f) {
  if constexpr (kRow < kDtypeRowCount) {
    constexpr Dtypes row = kDtypeRows[kRow];
    if (row == dtypes) {
      f(Types<typename TypeOf<row.grad>::type, typename TypeOf<row.copy>::type,
              typename ParamOf<row.param, row.remainder>::type, typename TypeOf<row.moment>::type>{});
    } else {
      visit_dtypes<kRow + 1>(dtypes, static_cast<F&&>(f));
    }
  }
}

}  // namespace swd
