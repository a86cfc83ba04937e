// SPDX-License-Identifier: Apache-2.0
// 16-byte (for half-precision beside fp32: 8-byte) loads and stores of consecutive elements, with cache hints.
#pragma once
#include "../dtype.h"

namespace swd::cuda {

// kCount consecutive elements, as one register vector. Bytes: 4, 8 or 16.
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
template <>
struct Words<4> {
  using type = uint32_t;
};

enum class Hint { kKeep, kStream };  // whether the line is wanted again soon

// The assumption spares the generic load that a pointer of unknown origin would become.
template <Hint kHint, class Word>
__device__ __forceinline__ Word load_word(const Word* from) {
  if constexpr (kHint == Hint::kStream) return __ldcs(from);
  __builtin_assume(__isGlobal(from));
  return *from;
}

template <int kCount, class T, class Word>
__device__ __forceinline__ void unpack(const Word& word, float* to) {
  T elements[kCount];
  memcpy(elements, &word, sizeof word);
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = to_float(elements[i]);
}

template <Hint kHint, int kCount, class T>
__device__ __forceinline__ void load_vector(const T* from, float* to) {
  using Word = typename Words<kCount* static_cast<int>(sizeof(T))>::type;
  unpack<kCount, T>(load_word<kHint>(reinterpret_cast<const Word*>(from)), to);
}

template <int kCount, class T>
__device__ __forceinline__ void store_vector(T* to, const float* from) {
  using Word = typename Words<kCount* static_cast<int>(sizeof(T))>::type;
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

template <Hint kHint, class T>
__device__ __forceinline__ float load_element(const T* from) {
  if constexpr (sizeof(T) == 4) {
    return load_word<kHint>(from);
  } else {
    return to_float(T{load_word<kHint>(reinterpret_cast<const unsigned short*>(from))});
  }
}

template <class T>
__device__ __forceinline__ void store_element(T* to, float value) {
  __stcs(reinterpret_cast<unsigned short*>(to), round_to(value, T{}).bits);
}

// What decides a step writes while pass 2 may already be resident, read past the L1 cache. Where a kernel waits for its
// predecessor, all of that one's writes are visible behind the wait (PTX, griddepcontrol.wait), also to plain loads;
// but a line that this multiprocessor took into L1 for a block of pass 1 would make a missed step without a word, so
// what blocks of pass 1 read before it was written is not left to that: these, and the header. Of a segment's scratch
// pass 1 reads nothing that it then changes. With SKIP_NORM and more than kOneBlockSegments segments several blocks of
// the decide kernel do read what they stored there, and a line may hold a neighbour's from before. That kernel never
// triggers, so pass 2 begins when all of its blocks have ended; there the wait is trusted.
template <class T>
__device__ __forceinline__ T fresh(const T& from) {
  static_assert(alignof(T) == 8 && sizeof(T) % 8 == 0);
  unsigned long long words[sizeof(T) / 8];
#pragma unroll
  for (unsigned int i = 0; i < sizeof(T) / 8; ++i) {
    words[i] = __ldcg(reinterpret_cast<const unsigned long long*>(&from) + i);
  }
  T out;
  memcpy(&out, words, sizeof out);
  return out;
}

// Position of a pointer within a vector of kCount elements.
template <int kCount, class T>
__device__ __forceinline__ int vector_shift(const T* pointer) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(pointer) / sizeof(T) % kCount);
}

}  // namespace swd::cuda
