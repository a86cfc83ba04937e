// SPDX-License-Identifier: Apache-2.0
// A row of 256 stored elements as a warp holds it: 8 elements of each array a thread, in two parts of 128, packed into
// 32-bit words as they lie in memory. Called by narrow_item.cuh.
//
// A part is a block of block8, and one warp's: as vectors a thread has elements 4t .. 4t + 3 of it, else t, t + 32, ...
#pragma once
#include "pass2_item.cuh"

namespace swd::cuda {

template <int kBytes>
struct StoredOf;
template <>
struct StoredOf<0> {
  using type = None;
};
template <>
struct StoredOf<1> {
  using type = uint8_t;
};
template <>
struct StoredOf<2> {
  using type = uint16_t;
};
template <>
struct StoredOf<4> {
  using type = uint32_t;
};

// An element of kBytes, as bits. 0: the row has no such array.
template <int kBytes>
using Stored = typename StoredOf<kBytes>::type;

// Of one array, 4 elements a part.
template <int kBytes>
struct Packed {
  uint32_t word[2][kBytes];
};
template <>
struct Packed<0> {};

template <int kBytes>
__device__ __forceinline__ uint32_t element(const uint32_t (&words)[kBytes], int j) {
  if constexpr (kBytes == 4) return words[j];
  if constexpr (kBytes == 2) return j % 2 == 0 ? words[j / 2] & 0xFFFFu : words[j / 2] >> 16;
  return (words[0] >> (8 * j)) & 0xFFu;
}

// From 4 elements; what is above their kBytes does not count.
template <int kBytes>
__device__ __forceinline__ void pack(const uint32_t (&x)[4], uint32_t (&words)[kBytes]) {
  if constexpr (kBytes == 4) {
    for (int j = 0; j < 4; ++j) words[j] = x[j];
  } else if constexpr (kBytes == 2) {
    words[0] = __byte_perm(x[0], x[1], 0x5410);
    words[1] = __byte_perm(x[2], x[3], 0x5410);
  } else {
    words[0] = __byte_perm(__byte_perm(x[0], x[1], 0x0040), __byte_perm(x[2], x[3], 0x0040), 0x5410);
  }
}

// Positions row .. row + 255 of `from`; behind `end` zeros.
template <Slots kSlots, int kBytes>
__device__ __forceinline__ void load_packed(const Stored<kBytes>* from, int row, int end, Packed<kBytes>& to) {
  if constexpr (kBytes != 0) {
    int thread = static_cast<int>(threadIdx.x % 32);
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int first = row + part * kScaleBlock;
      if constexpr (kSlots == Slots::kVectors) {
        using Word = typename Words<4 * kBytes>::type;
        Word word = __ldcs(reinterpret_cast<const Word*>(from + first + 4 * thread));
        memcpy(to.word[part], &word, sizeof word);
      } else {
        uint32_t x[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          int i = first + 32 * j + thread;
          x[j] = i < end ? __ldcs(from + i) : 0u;
        }
        pack<kBytes>(x, to.word[part]);
      }
    }
  }
}

template <Slots kSlots, int kBytes>
__device__ __forceinline__ void store_packed(Stored<kBytes>* to, int row, int end, const Packed<kBytes>& from) {
  if constexpr (kBytes != 0) {
    int thread = static_cast<int>(threadIdx.x % 32);
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int first = row + part * kScaleBlock;
      if constexpr (kSlots == Slots::kVectors) {
        using Word = typename Words<4 * kBytes>::type;
        Word word;
        memcpy(&word, from.word[part], sizeof word);
        __stcs(reinterpret_cast<Word*>(to + first + 4 * thread), word);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          int i = first + 32 * j + thread;
          if (i < end) __stcs(to + i, static_cast<Stored<kBytes>>(element<kBytes>(from.word[part], j)));
        }
      }
    }
  }
}

}  // namespace swd::cuda
