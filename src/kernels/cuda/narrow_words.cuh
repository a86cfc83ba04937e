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

template <class T>
__device__ __forceinline__ void exchange(T& a, T& b) {
  T old = a;
  a = b;
  b = old;
}

template <int kBytes>
__device__ __forceinline__ void exchange_parts(Packed<kBytes>& packed) {
  if constexpr (kBytes != 0) {
#pragma unroll
    for (int i = 0; i < kBytes; ++i) exchange(packed.word[0][i], packed.word[1][i]);
  }
}

__device__ __forceinline__ void exchange_halves(NormLanes& norms) {
#pragma unroll
  for (int slot = 0; slot < 4; ++slot) {
    exchange(norms.param[slot], norms.param[4 + slot]);
    exchange(norms.lost[slot], norms.lost[4 + slot]);
  }
}

template <int kBytes>
__device__ __forceinline__ uint32_t element(const uint32_t (&words)[kBytes], int j) {
  if constexpr (kBytes == 4) return words[j];
  if constexpr (kBytes == 2) return j % 2 == 0 ? words[j / 2] & 0xFFFFu : words[j / 2] >> 16;
  return (words[0] >> (8 * j)) & 0xFFu;
}

// prmt in its default mode: a nibble of the selector takes a byte of {b, a}, or, from 8 on, its sign.
__device__ __forceinline__ uint32_t select_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t out;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(a), "r"(b), "r"(selector));
  return out;
}

// Byte kByte of 4 words.
template <int kByte>
__device__ __forceinline__ uint32_t pack_bytes(const uint32_t (&x)[4]) {
  constexpr uint32_t kPair = 0x0040u + 0x0011u * kByte;
  return select_bytes(select_bytes(x[0], x[1], kPair), select_bytes(x[2], x[3], kPair), 0x5410);
}

// The upper halves of 4 words.
__device__ __forceinline__ void pack_upper(const uint32_t (&x)[4], uint32_t (&words)[2]) {
  words[0] = select_bytes(x[0], x[1], 0x7632);
  words[1] = select_bytes(x[2], x[3], 0x7632);
}

// From 4 elements; what is above their kBytes does not count.
template <int kBytes>
__device__ __forceinline__ void pack(const uint32_t (&x)[4], uint32_t (&words)[kBytes]) {
  if constexpr (kBytes == 4) {
    for (int j = 0; j < 4; ++j) words[j] = x[j];
  } else if constexpr (kBytes == 2) {
    words[0] = select_bytes(x[0], x[1], 0x5410);
    words[1] = select_bytes(x[2], x[3], 0x5410);
  } else {
    words[0] = pack_bytes<0>(x);
  }
}

// This thread's number in its warp, anew: what is made of it where a row has single elements, which is rare, shall not
// be made, and take registers, where it has vectors.
__device__ __forceinline__ int lane_anew() {
  int lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

// The first 256 elements of a row; behind `end` zeros. `from`: of this thread, were they vectors.
template <Slots kSlots, int kBytes>
__device__ __forceinline__ void load_packed(const Stored<kBytes>* from, int end, Packed<kBytes>& to) {
  if constexpr (kBytes != 0) {
    int thread = kSlots == Slots::kVectors ? 0 : lane_anew();
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      if constexpr (kSlots == Slots::kVectors) {
        using Word = typename Words<4 * kBytes>::type;
        Word word = __ldcs(reinterpret_cast<const Word*>(from + part * kScaleBlock));
        memcpy(to.word[part], &word, sizeof word);
      } else {
        uint32_t x[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          int i = part * kScaleBlock + 32 * j;
          x[j] = i + thread < end ? __ldcs(from - 3 * thread + i) : 0u;
        }
        pack<kBytes>(x, to.word[part]);
      }
    }
  }
}

template <Slots kSlots, int kBytes>
__device__ __forceinline__ void store_packed(Stored<kBytes>* to, int end, const Packed<kBytes>& from) {
  if constexpr (kBytes != 0) {
    int thread = kSlots == Slots::kVectors ? 0 : lane_anew();
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      if constexpr (kSlots == Slots::kVectors) {
        using Word = typename Words<4 * kBytes>::type;
        Word word;
        memcpy(&word, from.word[part], sizeof word);
        __stcs(reinterpret_cast<Word*>(to + part * kScaleBlock), word);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          int i = part * kScaleBlock + 32 * j;
          uint32_t x = element<kBytes>(from.word[part], j);
          if (i + thread < end) __stcs(to - 3 * thread + i, static_cast<Stored<kBytes>>(x));
        }
      }
    }
  }
}

}  // namespace swd::cuda
