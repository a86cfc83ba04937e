// SPDX-License-Identifier: Apache-2.0
// Rows of fp32 parameters and moments: where the arrays of a segment lie, and a row's loads and stores. Called by
// pass2_item.cuh.
#pragma once
#include "../record.h"
#include "vector.cuh"

namespace swd::cuda {

template <class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ Arrays<Grad, Copy> arrays_of(const Pass& pass, int64_t segment) {
  int64_t offset = pass.ws.segments[segment].offset;
  Arrays<Grad, Copy> out{};
  out.p = array_at<float>(pass, SWD_BUFFER_PARAM, segment, offset);
  out.g = array_at<const Grad>(pass, SWD_BUFFER_GRAD, segment, offset);
  out.m = array_at<float>(pass, SWD_BUFFER_EXP_AVG, segment, offset);
  out.v = array_at<float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, offset);
  if constexpr (kAmsgrad) out.v_max = array_at<float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment, offset);
  if constexpr (sizeof(Copy) == 2) out.copy = array_at<Copy>(pass, SWD_BUFFER_PARAM_COPY, segment, offset);
  return out;
}

template <bool kAmsgrad, class Grad, class Copy>
__device__ __forceinline__ Arrays<Grad, Copy> moved(Arrays<Grad, Copy> at, int64_t by) {
  at.p += by;
  at.g += by;
  at.m += by;
  at.v += by;
  if constexpr (kAmsgrad) at.v_max += by;
  if constexpr (sizeof(Copy) == 2) at.copy += by;
  return at;
}

// How a thread's 8 slots of a row of 256 lie: two 16-byte vectors of each array, or 8 single elements that the warp
// takes side by side. Only where all slots are in use, and all arrays aligned, are they vectors.
enum class Slots { kVectors, kElements };

// The values of one row. All loads of a row come before its first use, so that they are in flight together, and
// the stores after the last: the compiler may not move a load across a store to what could be the same array.
struct Row {
  float p[8], g[8], m[8], v[8], v_max[8];
};

template <Slots kSlots, class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ void load_row(const Arrays<Grad, Copy>& at, int row, int begin, int end, Row& r) {
  int thread = static_cast<int>(threadIdx.x % 32);
  if constexpr (kSlots == Slots::kVectors) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int i = row + part * 128 + 4 * thread, slot = 4 * part;
      load_vector<Hint::kStream, 4>(at.p + i, r.p + slot);
      load_vector<Hint::kStream, 4>(at.m + i, r.m + slot);
      load_vector<Hint::kStream, 4>(at.v + i, r.v + slot);
      load_vector<Hint::kStream, 4>(at.g + i, r.g + slot);
      if constexpr (kAmsgrad) load_vector<Hint::kStream, 4>(at.v_max + i, r.v_max + slot);
    }
  } else {
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      int i = row + 32 * slot + thread;
      bool inside = i >= begin && i < end;  // elsewhere zeros
      r.p[slot] = inside ? __ldcs(at.p + i) : 0.0f;
      r.m[slot] = inside ? __ldcs(at.m + i) : 0.0f;
      r.v[slot] = inside ? __ldcs(at.v + i) : 0.0f;
      r.g[slot] = inside ? load_element<Hint::kStream>(at.g + i) : 0.0f;
      if constexpr (kAmsgrad) r.v_max[slot] = inside ? __ldcs(at.v_max + i) : 0.0f;
    }
  }
}

template <Slots kSlots, class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ void store_row(const Arrays<Grad, Copy>& at, int row, int begin, int end, const Row& r) {
  int thread = static_cast<int>(threadIdx.x % 32);
  if constexpr (kSlots == Slots::kVectors) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int i = row + part * 128 + 4 * thread, slot = 4 * part;
      store_vector<4>(at.p + i, r.p + slot);
      store_vector<4>(at.m + i, r.m + slot);
      store_vector<4>(at.v + i, r.v + slot);
      if constexpr (kAmsgrad) store_vector<4>(at.v_max + i, r.v_max + slot);
      if constexpr (sizeof(Copy) == 2) store_vector<4>(at.copy + i, r.p + slot);
    }
  } else {
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      int i = row + 32 * slot + thread;
      if (i < begin || i >= end) continue;
      __stcs(at.p + i, r.p[slot]);
      __stcs(at.m + i, r.m[slot]);
      __stcs(at.v + i, r.v[slot]);
      if constexpr (kAmsgrad) __stcs(at.v_max + i, r.v_max[slot]);
      if constexpr (sizeof(Copy) == 2) store_element(at.copy + i, r.p[slot]);
    }
  }
}

// SWD_PLAN_TAKE_COPY, before the rows of an item are read: where a copy is not the rounding of its parameter, the
// parameter becomes what it says. By itself, so that other plans pay nothing: in the loop of rows it cost each with a
// copy up to 5 of 63 instructions a parameter. Price: these parameters are read twice, the second time out of a cache.
template <class Grad, class Copy>
__device__ __forceinline__ void take_copies(const Arrays<Grad, Copy>& at, int begin, int end) {
#pragma unroll 4
  for (int i = begin + static_cast<int>(threadIdx.x % 32); i < end; i += 32) {
    float p = at.p[i], taken = take_copy(p, Copy{load_word<Hint::kStream>(&at.copy[i].bits)});
    if (float_bits(taken) != float_bits(p)) at.p[i] = taken;
  }
  __syncwarp();  // other lanes read what these wrote
}

template <class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ bool all_aligned(const Arrays<Grad, Copy>& at) {
  int shift = vector_shift<4>(at.p) | vector_shift<4>(at.g) | vector_shift<4>(at.m) | vector_shift<4>(at.v);
  if constexpr (kAmsgrad) shift |= vector_shift<4>(at.v_max);
  if constexpr (sizeof(Copy) == 2) shift |= vector_shift<4>(at.copy);
  return shift == 0;
}

}  // namespace swd::cuda
