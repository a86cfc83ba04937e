// SPDX-License-Identifier: Apache-2.0
// The sum of one chunk by one warp, in the order of sum_order.h. Called by the reduce kernels.
//
// A Source says what is summed. It has: kArray, whether it is one array `x` that can be loaded in vectors;
// from(i), the source from element i on; value(i), the fp32 value of element i; run_term(value), what the fp32 run
// adds; term(value), the exact fp64 term.
#pragma once
#include <cub/warp/warp_reduce.cuh>

#include "../scalars.h"
#include "fold.cuh"
#include "tuning.h"
#include "vector.cuh"

namespace swd::cuda {

template <class T>
struct GradSquares {
  static constexpr bool kArray = true;
  const T* x;
  __device__ GradSquares from(int64_t i) const { return {x + i}; }
  __device__ float value(int i) const { return load_element<Hint::kKeep>(x + i); }
  __device__ static float run_term(float g) { return run_square(g); }
  __device__ static double term(float g) { return static_cast<double>(g) * static_cast<double>(g); }
};

template <class T>  // float or Bf16
struct Moments {
  static constexpr bool kArray = true;
  const T* x;
  __device__ Moments from(int64_t i) const { return {x + i}; }
  __device__ float value(int i) const { return load_element<Hint::kKeep>(x + i); }
  __device__ static float run_term(float v) { return v; }
  __device__ static double term(float v) { return static_cast<double>(v); }
};

// Element by element: a rebuild is rare.
template <>
struct Moments<Block8> {
  static constexpr bool kArray = false;
  const uint8_t* code;
  const uint8_t* scale;
  __device__ Moments from(int64_t i) const { return {code + i, scale + i / kScaleBlock}; }  // i: of a chunk
  __device__ float value(int i) const { return decode_second(code[i], block_scale<kSecondBits>(scale[i / kScaleBlock])); }
  __device__ static float run_term(float w) { return w; }
  __device__ static double term(float w) { return static_cast<double>(w); }
};

template <class T>
__device__ __forceinline__ Moments<T> moments_of(const Pass& pass, int64_t segment, T) {
  return {array_of<const T>(pass, SWD_BUFFER_EXP_AVG_SQ, segment)};
}
__device__ __forceinline__ Moments<Block8> moments_of(const Pass& pass, int64_t segment, Block8) {
  return {array_of<const uint8_t>(pass, SWD_BUFFER_EXP_AVG_SQ, segment),
          scales_of(pass, SWD_BUFFER_EXP_AVG_SQ_SCALE, segment)};
}

// What max_exp_avg_sq will be after this step. Three arrays, element by element: a rare mode, bound by memory anyway.
template <class T>
struct MaxedMoments {
  static constexpr bool kArray = false;
  const T* grad;
  const float* v;
  const float* v_max;
  Coefficients c;
  __device__ MaxedMoments from(int64_t i) const { return {grad + i, v + i, v_max + i, c}; }
  __device__ float value(int i) const {
    float g = scaled_gradient(c, load_element<Hint::kKeep>(grad + i), 0.0f);
    return larger(load_element<Hint::kKeep>(v_max + i), second_moment(c, g, load_element<Hint::kKeep>(v + i)));
  }
  __device__ static float run_term(float v) { return v; }
  __device__ static double term(float v) { return static_cast<double>(v); }
};

// fp64 terms in the same lanes; counts non-finite elements.
template <class Source>
__device__ __forceinline__ Partial sum_carefully(const Source& source, int count) {
  int thread = static_cast<int>(threadIdx.x % 32);
  double lanes[8] = {};
  int bad = 0;
#pragma unroll 1
  for (int row = 0; row < count; row += kLanes) {
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      int i = row + 32 * slot + thread;
      if (i < count) {
        float value = source.value(i);
        lanes[slot] += Source::term(value);
        bad += is_finite(value) ? 0 : 1;
      }
    }
  }
  double sum = fold_lanes<3>(lanes);
  using Count = cub::WarpReduce<int>;
  __shared__ typename Count::TempStorage storage[kWarps];
  bad = Count(storage[threadIdx.x / 32]).Sum(bad);
  bad = __shfl_sync(kFullWarp, bad, 0);
  return Partial{sum == sum ? sum : not_a_number(), static_cast<double>(bad)};
}

// Adds one row of 256 of which only begin .. end - 1 count, on the aligned grid of x.
template <int kVector, class Source, class T>
__device__ __forceinline__ void add_part_of_row(const T* grid, int row, int begin, int end, float (&lanes)[8]) {
  int thread = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int part = 0; part < 8 / kVector; ++part) {
    int q = row + (part * 32 + thread) * kVector;
    float values[kVector] = {};
    if (q >= begin && q + kVector <= end) {
      load_vector<Hint::kKeep, kVector>(grid + q, values);
    } else {
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        if (q + i >= begin && q + i < end) values[i] = load_element<Hint::kKeep>(grid + q + i);
      }
    }
#pragma unroll
    for (int i = 0; i < kVector; ++i) lanes[part * kVector + i] += Source::run_term(values[i]);
  }
}

// Adds kRows whole rows: all loads, then all sums.
template <int kVector, int kRows, class Source, class T>
__device__ __forceinline__ void add_rows(const T* grid, int row, float (&lanes)[8]) {
  int thread = static_cast<int>(threadIdx.x % 32);
  constexpr int kLoads = kRows * 8 / kVector;
  using Word = typename Words<kVector* static_cast<int>(sizeof(T))>::type;
  Word words[kLoads];
#pragma unroll
  for (int load = 0; load < kLoads; ++load) {
    words[load] = load_word<Hint::kKeep>(reinterpret_cast<const Word*>(grid + row + (load * 32 + thread) * kVector));
  }
#pragma unroll
  for (int load = 0; load < kLoads; ++load) {
    float values[kVector];
    unpack<kVector, T>(words[load], values);
#pragma unroll
    for (int i = 0; i < kVector; ++i) lanes[load * kVector % 8 + i] += Source::run_term(values[i]);
  }
}

// Vectors on the aligned grid of x: position q = i + shift. Lanes come out rotated by shift, which the fold ignores.
template <class Source, int kVector>
__device__ __forceinline__ void add_vectors(const Source& source, int count, float (&lanes)[8]) {
  constexpr int kRows = kReduceLoads * kVector / 8;
  int shift = vector_shift<kVector>(source.x), end = shift + count;
  auto* grid = source.x - shift;
  int row = 0;
  if (shift != 0) {
    add_part_of_row<kVector, Source>(grid, 0, shift, end, lanes);
    row = kLanes;
  }
#pragma unroll 1
  for (; row + kRows * kLanes <= end; row += kRows * kLanes) add_rows<kVector, kRows, Source>(grid, row, lanes);
#pragma unroll 1
  for (; row + kLanes <= end; row += kLanes) add_rows<kVector, 1, Source>(grid, row, lanes);
  if (row < end) add_part_of_row<kVector, Source>(grid, row, shift, end, lanes);
}

// Sum of `count` elements (1 .. kChunk); every thread gets it.
template <class Source>
__device__ __forceinline__ Partial sum_chunk(const Source& source, int count) {
  int thread = static_cast<int>(threadIdx.x % 32);
  float lanes[8] = {};
  double wide[8];
  double sum;
  if constexpr (Source::kArray) {
    constexpr int kVector = 16 / static_cast<int>(sizeof(*source.x));
    add_vectors<Source, kVector>(source, count, lanes);
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) wide[slot] = static_cast<double>(lanes[slot]);
    sum = fold_lanes < kVector == 4 ? 1 : 0 > (wide);
  } else {
#pragma unroll 1
    for (int row = 0; row < count; row += kLanes) {
      float values[8];
#pragma unroll
      for (int slot = 0; slot < 8; ++slot) {  // behind the end the last one again: without a branch all loads go first
        int i = row + 32 * slot + thread;
        values[slot] = source.value(i < count ? i : count - 1);
      }
#pragma unroll
      for (int slot = 0; slot < 8; ++slot) {
        lanes[slot] += row + 32 * slot + thread < count ? Source::run_term(values[slot]) : 0.0f;
      }
    }
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) wide[slot] = static_cast<double>(lanes[slot]);
    sum = fold_lanes<3>(wide);
  }
  bool careful = needs_care(sum);
  if (sum == 0.0) {  // untouched rows: eight loads in flight, for their chunks are read a second time
    uint32_t any = 0;
#pragma unroll 1
    for (int row = 0; row < count; row += kLanes) {
#pragma unroll
      for (int slot = 0; slot < 8; ++slot) {
        int i = row + 32 * slot + thread;
        any |= float_bits(source.value(i < count ? i : count - 1)) << 1;  // without the sign
      }
    }
    careful = __any_sync(kFullWarp, any != 0) != 0;
  }
  return careful ? sum_carefully(source, count) : Partial{sum, 0.0};
}

}  // namespace swd::cuda
