// SPDX-License-Identifier: Apache-2.0
// Pass 2: walks the work items, last ones first, and commits the step. Called by backend_cuda.cu.
#include "kernels.h"
#include "update_item.cuh"

namespace swd::cuda {
namespace {

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
