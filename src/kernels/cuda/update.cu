// SPDX-License-Identifier: Apache-2.0
// Pass 2: loads, the formula of element.h, stores; commits the step. Called by backend_cuda.cu.
#include "../scalars.h"
#include "fold.cuh"
#include "kernels.h"
#include "vector.cuh"

namespace swd::cuda {
namespace {

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

struct Item {
  int64_t segment;
  int64_t begin;  // within the segment
  int count;      // <= 0: beyond the segment's end
};

__device__ __forceinline__ Item item_at(const Pass& pass, int64_t number) {
  int64_t chunk = number / kItemsPerChunk;
  int64_t segment = pass.ws.chunk_segment[chunk];
  const SegmentInfo& info = pass.ws.segments[segment];
  int64_t begin = (chunk - info.first_chunk) * kChunk + number % kItemsPerChunk * kItem;
  int64_t left = info.count - begin;
  return Item{segment, begin, left < kItem ? static_cast<int>(left) : kItem};
}

// While pass 1 drains, brings the first item's parameter and moments into L2: pass 1 writes neither.
template <class Arrays>
__device__ __forceinline__ void prefetch(const Arrays& at, int count) {
  int line = static_cast<int>(threadIdx.x % 32) * 32;
  if (line >= count) return;
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at.p + line));
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at.m + line));
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at.v + line));
}

// A warp takes item after item, the last ones first: what pass 1 read last is still in L2.
template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__global__ void __launch_bounds__(kUpdateThreads, update_blocks_per_sm(kAmsgrad, kNorms))
    update_kernel(const __grid_constant__ Launch args) {
  const Pass& pass = args.pass;
  Header& header = *pass.ws.header;
  int64_t items = pass.plan.chunk_count * kItemsPerChunk;
  int64_t warps = static_cast<int64_t>(gridDim.x) * kUpdateWarps;
  int64_t warp = static_cast<int64_t>(blockIdx.x) * kUpdateWarps + threadIdx.x / 32;
#if __CUDA_ARCH__ >= 900
  if (warp < items && header.fingerprint == pass.plan.fingerprint && args.then == kFinalize) {
    Item item = item_at(pass, items - 1 - warp);
    prefetch(arrays_of<Grad, Copy, kAmsgrad>(pass, pass.ws.segments[item.segment], item.segment, item.begin), item.count);
  }
  cudaGridDependencySynchronize();  // every block, also an idle one: else a later kernel could overtake pass 1
#endif
  if (header.fingerprint != pass.plan.fingerprint) return;
  bool applies = header.armed == kArmed && header.decision.status == SWD_STEP_APPLIED;
  for (; applies && warp < items; warp += warps) {
    int64_t number = items - 1 - warp;
    Item item = item_at(pass, number);
    const SegmentInfo& info = pass.ws.segments[item.segment];
    const SegmentScratch& scratch = pass.ws.scratch[item.segment];
    Partial norms{0.0, 0.0};
    if (item.count > 0 && scratch.epoch == header.epoch) {
      if (item.begin == 0 && threadIdx.x % 32 == 0) {  // before the loop, so that less stays in registers across it
        pass.segment_states[item.segment] = {scratch.step, next_sum(scratch, header.decision.s_squared)};
      }
      Coefficients c = coefficients(header.decision, info, scratch, pass.ws.groups[info.group]);
      norms = update_item<Grad, Copy, kAmsgrad, kNorms>(
          arrays_of<Grad, Copy, kAmsgrad>(pass, info, item.segment, item.begin), c, item.count);
    }
    if constexpr (kNorms) {
      bool complete = fold_tree(pass.ws.norm_values, pass.ws.norm_tickets, number, items, norms);
      if (complete && threadIdx.x % 32 == 0) header.update_norms = norms;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    if (atomicInc(&header.update_ticket, gridDim.x - 1) == gridDim.x - 1) {
      __threadfence();
      commit_step(header, *pass.state, kNorms && items > 0 ? header.update_norms : Partial{0.0, 0.0});
    }
  }
}

// Whether the kernels that run on this device were compiled for it or a relative with dependent launch: a device takes
// the newest architecture in the binary that is not newer than itself.
bool waits_for_predecessor(int capability) {
#ifdef __CUDA_ARCH_LIST__
  constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};
  for (int architecture : kArchitectures) {
    if (architecture >= 900 && architecture <= 10 * capability) return true;
  }
#endif
  return false;
}

}  // namespace

swd_status launch_update(const Plan& plan, const Launch& args, bool overlaps, void* stream) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  Launch with_overlap = args;
  overlaps = overlaps && waits_for_predecessor(device.capability);
  with_overlap.then = overlaps ? kFinalize : kNothing;
  bool amsgrad = (plan.facts.flags & SWD_PLAN_AMSGRAD) != 0, norms = (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) != 0;
  unsigned int blocks = grid_size(device, plan.facts.chunk_count * kItemsPerChunk, kUpdateWarps,
                                  update_blocks_per_sm(amsgrad, norms));
  visit_dtypes(plan.grad_dtype, plan.copy_dtype, [&](auto types) {
    using Grad = typename decltype(types)::grad;
    using Copy = typename decltype(types)::copy;
    void (*kernel)(Launch) = amsgrad ? (norms ? update_kernel<Grad, Copy, true, true> : update_kernel<Grad, Copy, true, false>)
                                     : (norms ? update_kernel<Grad, Copy, false, true> : update_kernel<Grad, Copy, false, false>);
    status = launch("launch of the update kernel", kernel, blocks, kUpdateThreads, stream, overlaps, with_overlap);
  });
  return status;
}

}  // namespace swd::cuda
