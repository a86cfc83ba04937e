// SPDX-License-Identifier: Apache-2.0
// One work item of pass 2 by one warp: loads, the formula of element.h, stores. Called by update.cu.
#pragma once
#include "../scalars.h"
#include "fold.cuh"
#include "vector.cuh"

namespace swd::cuda {

// The arrays of one work item, from its first element on.
template <class Grad, class Copy>
struct Arrays {
  float* p;
  const Grad* g;
  float* m;
  float* v;
  float* v_max;
  Copy* copy;
};

template <class Grad, class Copy, bool kAmsgrad>
__device__ __forceinline__ Arrays<Grad, Copy> arrays_of(const Pass& pass, const SegmentInfo& info, int64_t segment,
                                                        int64_t begin) {
  bool list = (pass.plan.flags & SWD_PLAN_LIST) != 0;
  int64_t at = list ? begin : info.offset + begin;
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

// A whole item whose arrays are all aligned: 16-byte accesses, 2 vectors of each array in flight per thread.
template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__device__ __forceinline__ Partial update_vectors(const Arrays<Grad, Copy>& at, const Coefficients& c) {
  NormLanes norms{};
  int thread = static_cast<int>(threadIdx.x % 32);
#pragma unroll 1
  for (int row = 0; row < kItem; row += kLanes) {
    float p[8], g[8], m[8], v[8], v_max[8];
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int i = row + part * 128 + 4 * thread, slot = 4 * part;
      load_vector<Hint::kStream, 4>(at.p + i, p + slot);
      load_vector<Hint::kStream, 4>(at.m + i, m + slot);
      load_vector<Hint::kStream, 4>(at.v + i, v + slot);
      load_vector<Hint::kStream, 4>(at.g + i, g + slot);
      if constexpr (kAmsgrad) load_vector<Hint::kStream, 4>(at.v_max + i, v_max + slot);
    }
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      Element e{p[slot], m[slot], v[slot], kAmsgrad ? v_max[slot] : 0.0f};
      float lost = update_element<kAmsgrad>(c, g[slot], e);
      p[slot] = e.p;
      m[slot] = e.m;
      v[slot] = e.v;
      v_max[slot] = e.v_max;
      if constexpr (kNorms) add_norms(norms, slot, e.p, lost);
    }
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int i = row + part * 128 + 4 * thread, slot = 4 * part;
      store_vector<4>(at.p + i, p + slot);
      store_vector<4>(at.m + i, m + slot);
      store_vector<4>(at.v + i, v + slot);
      if constexpr (kAmsgrad) store_vector<4>(at.v_max + i, v_max + slot);
      if constexpr (sizeof(Copy) == 2) store_vector<4>(at.copy + i, p + slot);
    }
  }
  return kNorms ? fold_norms<1>(norms) : Partial{0.0, 0.0};
}

// Any alignment and any length: coalesced single elements, a row of 256 at a time.
template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__device__ __forceinline__ Partial update_elements(const Arrays<Grad, Copy>& at, const Coefficients& c, int count) {
  NormLanes norms{};
  int thread = static_cast<int>(threadIdx.x % 32);
#pragma unroll 1
  for (int row = 0; row < count; row += kLanes) {
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      int i = row + 32 * slot + thread;
      if (i >= count) continue;
      Element e{__ldcs(at.p + i), __ldcs(at.m + i), __ldcs(at.v + i), 0.0f};
      if constexpr (kAmsgrad) e.v_max = __ldcs(at.v_max + i);
      float lost = update_element<kAmsgrad>(c, to_float(at.g[i]), e);
      __stcs(at.p + i, e.p);
      __stcs(at.m + i, e.m);
      __stcs(at.v + i, e.v);
      if constexpr (kAmsgrad) __stcs(at.v_max + i, e.v_max);
      if constexpr (sizeof(Copy) == 2) at.copy[i] = round_to(e.p, Copy{});
      if constexpr (kNorms) add_norms(norms, slot, e.p, lost);
    }
  }
  return kNorms ? fold_norms<3>(norms) : Partial{0.0, 0.0};
}

template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__device__ __forceinline__ Partial update_item(const Arrays<Grad, Copy>& at, const Coefficients& c, int count) {
  int misaligned = vector_shift<4>(at.p) | vector_shift<4>(at.g) | vector_shift<4>(at.m) | vector_shift<4>(at.v);
  if constexpr (kAmsgrad) misaligned |= vector_shift<4>(at.v_max);
  if constexpr (sizeof(Copy) == 2) misaligned |= vector_shift<4>(at.copy);
  return misaligned == 0 && count == kItem ? update_vectors<Grad, Copy, kAmsgrad, kNorms>(at, c)
                                           : update_elements<Grad, Copy, kAmsgrad, kNorms>(at, c, count);
}

}  // namespace swd::cuda
