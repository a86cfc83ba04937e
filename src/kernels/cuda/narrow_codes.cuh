// SPDX-License-Identifier: Apache-2.0
// Four elements of a thread from and to what is stored: parameters, exp_avg, exp_avg_sq, of every kind. Called by
// narrow_item.cuh.
#pragma once
#include "../block8.h"
#include "../split.h"
#include "narrow_words.cuh"

namespace swd::cuda {

// Bytes of an element, and of its remainder.
template <class Param>
struct ParamBytes {
  static constexpr int kHigh = 4, kLow = 0;
};
template <int kRemainderBits>
struct ParamBytes<Split<kRemainderBits>> {
  static constexpr int kHigh = 2, kLow = kRemainderBits / 8;
};

// Of what others than split() left, NaN: see are_written.
__device__ __forceinline__ void decode_params(float, const Packed<4>& high, const Packed<0>&, int part, float (&p)[4]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) p[j] = bits_float(high.word[part][j]);
}
template <int kBits>
__device__ __forceinline__ void decode_params(Split<kBits>, const Packed<2>& high, const Packed<kBits / 8>& low,
                                              int part, float (&p)[4]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    uint32_t word = high.word[part][j / 2], rest = 0;
    if constexpr (kBits == 16) rest = select_bytes(low.word[part][j / 2], 0, j % 2 == 0 ? 0x9910 : 0xBB32);
    if constexpr (kBits == 8) rest = select_bytes(low.word[part][0], 0, 0x8804 + 0x1110 * j);
    p[j] = bits_float((j % 2 == 0 ? word << 16 : word & 0xFFFF0000u) + rest);
  }
}

// And those, as or_visible of split.h has them: by a test of floats, which is an instruction less.
template <class Param>
__device__ __forceinline__ void decode_any_params(Param kind, const Packed<ParamBytes<Param>::kHigh>& high,
                                                  const Packed<ParamBytes<Param>::kLow>& low, int part, float (&p)[4]) {
  decode_params(kind, high, low, part, p);
  if constexpr (ParamBytes<Param>::kLow > 0) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      uint32_t word = high.word[part][j / 2];
      p[j] = p[j] == p[j] ? p[j] : bits_float(j % 2 == 0 ? word << 16 : word & 0xFFFF0000u);
    }
  }
}

// Whether none of four, or eight, needs that: in three instructions, or five. Infinities may raise a false alarm.
__device__ __forceinline__ bool are_written(const float (&p)[4]) {
  float any = __fadd_rn(__fmaf_rn(p[0], p[1], p[2]), p[3]);
  return any == any;
}
__device__ __forceinline__ bool are_written(const float (&p)[4], const float (&q)[4]) {
  float any = __fmaf_rn(__fmaf_rn(p[0], p[1], p[2]), p[3], q[0]);
  any = __fadd_rn(__fmaf_rn(any, q[1], q[2]), q[3]);
  return any == any;
}

// one_nan, of what comes from arithmetic: a device has but one NaN, and it is the largest signed integer.
__device__ __forceinline__ uint32_t canonical_bits(float x) {
  return static_cast<uint32_t>(min(static_cast<int>(float_bits(x)), 0x7FC00000));
}

__device__ __forceinline__ void encode_params(float, const float (&p)[4], const RoundingBits (&)[4], int part,
                                              Packed<4>& high, Packed<0>&) {
#pragma unroll
  for (int j = 0; j < 4; ++j) high.word[part][j] = float_bits(p[j]);
}
template <int kBits>
__device__ __forceinline__ void encode_params(Split<kBits> kind, const float (&p)[4], const RoundingBits (&bits)[4],
                                              int part, Packed<2>& high, Packed<kBits / 8>& low) {
  uint32_t x[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    x[j] = canonical_bits(p[j]) + param_bits(kind, bits[j]) + (kBits > 0 ? 0x8000u : 0u);
  }
  pack_upper(x, high.word[part]);
  // The rounding of the upper half has changed the uppermost bit of the lower one.
  if constexpr (kBits == 16) {
    pack<2>(x, low.word[part]);
    low.word[part][0] ^= 0x80008000u;
    low.word[part][1] ^= 0x80008000u;
  }
  if constexpr (kBits == 8) low.word[part][0] = pack_bytes<1>(x) ^ 0x80808080u;
}

// The bytes of a block's two scales.
struct BlockBytes {
  uint32_t first, second;
};

template <class Moment>
__device__ __forceinline__ void decode_moments(const Packed<sizeof(Moment)>& m_words,
                                               const Packed<sizeof(Moment)>& v_words, const BlockBytes& bytes, int part,
                                               float unit, float (&m)[4], float (&v)[4]) {
  constexpr int kBytes = sizeof(Moment);
  BlockScale first{}, second{};
  if constexpr (kBytes == 1)
    first = block_scale<kFirstBits>(bytes.first), second = block_scale<kSecondBits>(bytes.second);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    uint32_t m_code = element<kBytes>(m_words.word[part], j), v_code = element<kBytes>(v_words.word[part], j);
    if constexpr (kBytes == 4) {
      m[j] = bits_float(m_code);
      v[j] = bits_float(v_code);
    } else if constexpr (kBytes == 2) {
      m[j] = to_float(Bf16{static_cast<uint16_t>(m_code)});
      v[j] = unit * to_float(Bf16{static_cast<uint16_t>(v_code)});
    } else {
      m[j] = decode_first(static_cast<uint8_t>(m_code), first);
      v[j] = unit * decode_second(static_cast<uint8_t>(v_code), second);
    }
  }
}

__device__ __forceinline__ uint32_t warp_max(uint32_t x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kFullWarp, x);
#else
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) x = max(x, __shfl_xor_sync(kFullWarp, x, mask));
  return x;
#endif
}

// The largest magnitude of a block, which is a part.
__device__ __forceinline__ uint32_t largest_of(const float (&x)[4]) {
  uint32_t largest = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) largest = max(largest, float_bits(x[j]) & 0x7FFFFFFFu);
  return warp_max(largest);
}

// `w`: exp_avg_sq over its unit. Of idle slots all are zeros.
template <class Moment>
__device__ __forceinline__ void encode_moments(const float (&m)[4], const float (&w)[4], const RoundingBits (&bits)[4],
                                               int part, Packed<sizeof(Moment)>& m_words,
                                               Packed<sizeof(Moment)>& v_words, BlockBytes& bytes) {
  constexpr int kBytes = sizeof(Moment);
  BlockScale first{}, second{};
  if constexpr (kBytes == 1) {
    bytes = {block_byte<kFirstBits>(largest_of(m)), block_byte<kSecondBits>(largest_of(w))};
    first = block_scale<kFirstBits>(bytes.first), second = block_scale<kSecondBits>(bytes.second);
  }
  uint32_t m_codes[4], v_codes[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if constexpr (kBytes == 4) {
      m_codes[j] = float_bits(m[j]);
      v_codes[j] = float_bits(w[j]);
    } else if constexpr (kBytes == 2) {
      m_codes[j] = canonical_bits(m[j]) + (bits[j].b >> 16);
      v_codes[j] = canonical_bits(w[j]) + (bits[j].a >> 16);
    } else {
      m_codes[j] = encode_first(m[j], first, bits[j].b >> 16);
      v_codes[j] = encode_second(w[j], second, bits[j].a >> 17);
    }
  }
  if constexpr (kBytes == 2) {
    pack_upper(m_codes, m_words.word[part]);
    pack_upper(v_codes, v_words.word[part]);
  } else {
    pack<kBytes>(m_codes, m_words.word[part]);
    pack<kBytes>(v_codes, v_words.word[part]);
  }
}

}  // namespace swd::cuda
