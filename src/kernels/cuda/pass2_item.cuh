// SPDX-License-Identifier: Apache-2.0
// One work item of pass 2 by one warp, where parameters and moments are fp32: loads, the formula of element.h, stores.
// Called by pass2_kernel.cuh.
#pragma once
#include "../commit.h"
#include "fold.cuh"
#include "vector.cuh"

namespace swd::cuda {

template <class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ Arrays<Grad, Copy> arrays_of(const Pass& pass, int64_t offset, int64_t segment) {
  bool list = (pass.plan.flags & SWD_PLAN_LIST) != 0;
  int64_t at = list ? 0 : offset;
  auto base = [&](int buffer) { return list ? segment_pointer(pass, buffer, segment) : pass.bases[buffer]; };
  Arrays<Grad, Copy> out{};
  out.p = static_cast<float*>(base(SWD_BUFFER_PARAM)) + at;
  out.g = static_cast<const Grad*>(base(SWD_BUFFER_GRAD)) + at;
  out.m = static_cast<float*>(base(SWD_BUFFER_EXP_AVG)) + at;
  out.v = static_cast<float*>(base(SWD_BUFFER_EXP_AVG_SQ)) + at;
  if constexpr (kAmsgrad) out.v_max = static_cast<float*>(base(SWD_BUFFER_MAX_EXP_AVG_SQ)) + at;
  if constexpr (sizeof(Copy) == 2) out.copy = static_cast<Copy*>(base(SWD_BUFFER_PARAM_COPY)) + at;
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

// Runs of the update norms: 8 lanes a thread, as sum_order.h says, 4 terms each.
struct NormLanes {
  float param[8];
  float lost[8];
};

__device__ __forceinline__ void add_norms(NormLanes& norms, int slot, float p, float lost) {
  norms.param[slot] += run_square(p);
  norms.lost[slot] += run_square(lost);
}

template <int kHighSlotBits>
__device__ __forceinline__ Partial fold_norms(const NormLanes& norms) {
  double param[8], lost[8];
#pragma unroll
  for (int slot = 0; slot < 8; ++slot) {
    param[slot] = static_cast<double>(norms.param[slot]);
    lost[slot] = static_cast<double>(norms.lost[slot]);
  }
  return Partial{fold_lanes<kHighSlotBits>(param), fold_lanes<kHighSlotBits>(lost)};
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

template <class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ bool all_aligned(const Arrays<Grad, Copy>& at) {
  int shift = vector_shift<4>(at.p) | vector_shift<4>(at.g) | vector_shift<4>(at.m) | vector_shift<4>(at.v);
  if constexpr (kAmsgrad) shift |= vector_shift<4>(at.v_max);
  if constexpr (sizeof(Copy) == 2) shift |= vector_shift<4>(at.copy);
  return shift == 0;
}

// Positions begin .. end - 1 of `at`, in rows from a multiple of 256 on. `aligned`: all arrays are, at position 0.
template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__device__ __forceinline__ Partial update_item(const Arrays<Grad, Copy>& at, const Coefficients& c, int begin, int end,
                                               bool aligned) {
  NormLanes norms{};
  bool whole = aligned && end - begin == kItem;
#pragma unroll 1
  for (int row = begin / kLanes * kLanes; row < end; row += kLanes) {
    // The lanes of the norms must not change their layout within an item.
    bool vectors = kNorms ? whole : aligned && row >= begin && row + kLanes <= end;
    Row r;
    if (vectors) {
      load_row<Slots::kVectors, Grad, Copy, kAmsgrad>(at, row, begin, end, r);
    } else {
      load_row<Slots::kElements, Grad, Copy, kAmsgrad>(at, row, begin, end, r);
    }
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      Element e{r.p[slot], r.m[slot], r.v[slot], kAmsgrad ? r.v_max[slot] : 0.0f};
      float lost = update_element<kAmsgrad>(c, r.g[slot], e);
      r.p[slot] = e.p;
      r.m[slot] = e.m;
      r.v[slot] = e.v;
      r.v_max[slot] = e.v_max;
      // Not of an idle slot, whose zeros become NaN where a constant is infinite.
      int i = row + 32 * slot + static_cast<int>(threadIdx.x % 32);
      if (kNorms && (vectors || (i >= begin && i < end))) add_norms(norms, slot, e.p, lost);
    }
    if (vectors) {
      store_row<Slots::kVectors, Grad, Copy, kAmsgrad>(at, row, begin, end, r);
    } else {
      store_row<Slots::kElements, Grad, Copy, kAmsgrad>(at, row, begin, end, r);
    }
  }
  if constexpr (!kNorms) return Partial{0.0, 0.0};
  return whole ? fold_norms<1>(norms) : fold_norms<3>(norms);
}

// What pass2_kernel.cuh asks of a kind of rows.
template <class Types, bool kAmsgrad, bool kNorms>
struct WideItem {
  using Grad = typename Types::grad;
  using Copy = typename Types::copy;
  using Arrays = swd::Arrays<Grad, Copy>;
  using Constants = Coefficients;
  static constexpr bool kFromStart = kNorms;  // whether the grid starts with the first element
  static constexpr bool kHasUnit = false, kWalkIsShared = false;

  __device__ __forceinline__ static Arrays arrays_of(const Pass& pass, int64_t segment) {
    return cuda::arrays_of<Grad, Copy, kAmsgrad>(pass, pass.ws.segments[segment].offset, segment);
  }
  __device__ __forceinline__ static Arrays moved(const Arrays& at, int64_t by) { return cuda::moved<kAmsgrad>(at, by); }
  __device__ __forceinline__ static bool all_aligned(const Arrays& at) {
    return cuda::all_aligned<Grad, Copy, kAmsgrad>(at);
  }
  // Calls f with each array that pass 1 neither reads nor writes.
  template <class F>
  __device__ __forceinline__ static void visit_prefetched(const Arrays& at, const F& f) {
    for (const float* array : {at.p, at.m, at.v}) f(array);
  }
  __device__ __forceinline__ static Constants constants_of(const Pass&, int64_t, const Coefficients& c) { return c; }
  __device__ __forceinline__ static Partial update(const Arrays& at, const Constants& c, int begin, int end,
                                                   bool aligned) {
    return update_item<Grad, Copy, kAmsgrad, kNorms>(at, c, begin, end, aligned);
  }
};

}  // namespace swd::cuda
