// SPDX-License-Identifier: Apache-2.0
// The sum of one chunk by one warp, in the order of sum_order.h. Called by the reduce kernels.
#pragma once
#include <cub/warp/warp_reduce.cuh>

#include "../scalars.h"
#include "../sum_sources.h"
#include "fold.cuh"
#include "tuning.h"
#include "vector.cuh"

namespace swd::cuda {

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
        float x = value(source, i);
        lanes[slot] += exact_term(source, x);
        bad += is_finite(x) ? 0 : 1;
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
    for (int i = 0; i < kVector; ++i) lanes[part * kVector + i] += run_term(Source{}, values[i]);
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
    for (int i = 0; i < kVector; ++i) lanes[load * kVector % 8 + i] += run_term(Source{}, values[i]);
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
  if constexpr (kIsOneArray<Source>) {
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
        values[slot] = value(source, i < count ? i : count - 1);
      }
#pragma unroll
      for (int slot = 0; slot < 8; ++slot) {
        lanes[slot] += row + 32 * slot + thread < count ? run_term(source, values[slot]) : 0.0f;
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
        any |= float_bits(value(source, i < count ? i : count - 1)) << 1;  // without the sign
      }
    }
    careful = __any_sync(kFullWarp, any != 0) != 0;
  }
  return careful ? sum_carefully(source, count) : Partial{sum, 0.0};
}

}  // namespace swd::cuda
