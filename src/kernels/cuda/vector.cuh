// SPDX-License-Identifier: Apache-2.0
// 16-byte (for half-precision beside fp32: 8-byte) loads and stores of consecutive elements, with cache hints.
#pragma once
#include "../dtype.h"

namespace swd::cuda {

// kCount consecutive elements, as one register vector. Bytes: 8 or 16.
template <int kBytes>
struct Words;
template <>
struct Words<16> {
  using type = uint4;
};
template <>
struct Words<8> {
  using type = uint2;
};

enum class Hint { kKeep, kStream };  // whether the line is wanted again soon

template <Hint kHint, int kCount, class T>
__device__ __forceinline__ void load_vector(const T* from, float* to) {
  using Word = typename Words<kCount * static_cast<int>(sizeof(T))>::type;
  const Word* at = reinterpret_cast<const Word*>(from);
  Word word = kHint == Hint::kStream ? __ldcs(at) : *at;
  T elements[kCount];
  memcpy(elements, &word, sizeof word);
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = to_float(elements[i]);
}

template <int kCount, class T>
__device__ __forceinline__ void store_vector(T* to, const float* from) {
  using Word = typename Words<kCount * static_cast<int>(sizeof(T))>::type;
  T elements[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if constexpr (sizeof(T) == 4) {
      elements[i] = from[i];
    } else {
      elements[i] = round_to(from[i], T{});
    }
  }
  Word word;
  memcpy(&word, elements, sizeof word);
  __stcs(reinterpret_cast<Word*>(to), word);
}

// One element, with the hint where the architecture's intrinsics have the type.
template <Hint kHint, class T>
__device__ __forceinline__ float load_element(const T* from) {
  if constexpr (sizeof(T) == 4) return kHint == Hint::kStream ? __ldcs(from) : *from;
  else {
    auto* bits = reinterpret_cast<const unsigned short*>(from);
    return to_float(T{kHint == Hint::kStream ? __ldcs(bits) : *bits});
  }
}

template <class T>
__device__ __forceinline__ void store_element(T* to, float value) {
  __stcs(reinterpret_cast<unsigned short*>(to), round_to(value, T{}).bits);
}

// Position of a pointer within a vector of kCount elements.
template <int kCount, class T>
__device__ __forceinline__ int vector_shift(const T* pointer) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(pointer) / sizeof(T) % kCount);
}

}  // namespace swd::cuda
