// SPDX-License-Identifier: Apache-2.0
// The bytes of an element in each array of a step, as types: what a roof loop is made for. Used by roof_cpu.cpp and
// roof_cuda.cu.
#pragma once
#include <type_traits>

#include "kernels/formats.h"

namespace swd::bench {

// `param`: 4, or 2 with `remainder` more; `copy` and `remainder`: 0 where there is none.
template <int grad, int param, int remainder, int moment, int copy>
struct Mix {
  static constexpr int kGrad = grad, kParam = param, kRemainder = remainder, kMoment = moment, kCopy = copy;
  static constexpr bool kNarrow = param < 4 || moment < 4;
};

template <class T>
constexpr int kBytesOf = static_cast<int>(sizeof(T));
template <>
inline constexpr int kBytesOf<None> = 0;
template <>
inline constexpr int kBytesOf<Block8> = 1;

template <class Param>
constexpr int kRemainderOf = 0;
template <int kBits>
inline constexpr int kRemainderOf<Split<kBits>> = kBits / 8;

// Calls f with the Mix of these dtypes. Those of a plan; no F16, whose bytes are BF16's, so that no loop is made twice.
template <class F>
void visit_mix(const Dtypes& dtypes, F&& f) {
  visit_dtypes(dtypes, [&](auto types) {
    using T = decltype(types);
    if constexpr (!std::is_same_v<typename T::grad, F16> && !std::is_same_v<typename T::copy, F16>) {
      constexpr bool kSplit = !std::is_same_v<typename T::param, float>;
      f(Mix < kBytesOf<typename T::grad>, kSplit ? 2 : 4, kRemainderOf<typename T::param>, kBytesOf<typename T::moment>,
        kBytesOf < typename T::copy >> {});
    }
  });
}

}  // namespace swd::bench
