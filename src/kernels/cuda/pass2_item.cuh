// SPDX-License-Identifier: Apache-2.0
// One work item of pass 2 by one warp, where parameters and moments are fp32: row by row, the formula of element.h
// between loads and stores. Called by pass2_kernel.cuh.
#pragma once
#include "../commit.h"
#include "fold.cuh"
#include "wide_rows.cuh"

namespace swd::cuda {

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
    return cuda::arrays_of<Grad, Copy, kAmsgrad>(pass, segment);
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
  __device__ __forceinline__ static Partial update(const Pass& pass, const Arrays& at, const Constants& c, int begin,
                                                   int end, bool aligned) {
    if constexpr (sizeof(Copy) == 2) {
      if (pass.plan.flags & SWD_PLAN_TAKE_COPY) take_copies(at, begin, end);
    }
    return update_item<Grad, Copy, kAmsgrad, kNorms>(at, c, begin, end, aligned);
  }
};

}  // namespace swd::cuda
