// SPDX-License-Identifier: Apache-2.0
// Pass 2: walks the work items, last ones first, and commits the step. Called by backend_cuda.cu.
#include <atomic>

#include "kernels.h"
#include "pass2_item.cuh"

namespace swd::cuda {
namespace {

constexpr int kGrid = 32;  // parameters in a 128-byte line

// A segment as pass 2 walks it: on a grid that starts `shift` elements before the first one, on a 128-byte line of the
// parameters, so that items of a misaligned segment are whole lines all the same. The update norms sum runs of kItem
// from the first element on (sum_order.h), so there the grid starts with it.
// For example parameters 20 floats behind a line: element 0 has position 20, item 0 holds elements 0 to 1,003, item 1
// 1,004 to 2,027: whole lines. Of 4,096 elements the fourth and last item takes positions 3,072 to 4,115.
template <class Grad, class Copy>
struct Walk {
  int64_t first_chunk;
  int64_t last_item;  // takes what the shift pushed behind the last whole item
  int64_t end;        // position behind the last element
  int shift;
  bool aligned;  // all arrays are, at position 0
  Arrays<Grad, Copy> at;
};

template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__device__ __forceinline__ Walk<Grad, Copy> walk_of(const Pass& pass, int64_t segment) {
  const SegmentInfo& info = pass.ws.segments[segment];
  Walk<Grad, Copy> walk;
  walk.first_chunk = info.first_chunk;
  walk.last_item = info.chunks * kItemsPerChunk - 1;
  walk.at = arrays_of<Grad, Copy, kAmsgrad>(pass, info.offset, segment);
  walk.shift = kNorms ? 0 : vector_shift<kGrid>(walk.at.p);
  walk.end = walk.shift + info.count;
  walk.at = moved<kAmsgrad>(walk.at, -walk.shift);
  walk.aligned = all_aligned<Grad, Copy, kAmsgrad>(walk.at);
  return walk;
}

struct Item {
  int64_t number;  // within the segment; its positions start at number * kItem
  int begin, end;  // relative to that; end <= begin: nothing left for this item
};

template <class Grad, class Copy>
__device__ __forceinline__ Item item_of(const Walk<Grad, Copy>& walk, int64_t number) {
  int64_t item = number - walk.first_chunk * kItemsPerChunk;
  int64_t left = walk.end - item * kItem;
  return Item{item, item == 0 ? walk.shift : 0,
              left <= kItem || item == walk.last_item ? static_cast<int>(left < 0 ? 0 : left) : kItem};
}

// Whether the item is surely empty: of a small segment's chunk most are, and need not look at the rest of its tables.
__device__ __forceinline__ bool is_beyond(const SegmentInfo& info, int64_t number) {
  return (number - info.first_chunk * kItemsPerChunk) * kItem >= info.count + kGrid;
}

// While pass 1 drains, brings the first item's parameter and moments into L2: pass 1 writes neither. Only addresses of
// elements: the grid starts before the first one, and a pointer of a list that was never set is known to nobody yet.
template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__device__ __forceinline__ void prefetch(const Pass& pass, int64_t number) {
  auto walk = walk_of<Grad, Copy, kAmsgrad, kNorms>(pass, pass.ws.chunk_segment[number / kItemsPerChunk]);
  Item item = item_of(walk, number);
  int line = static_cast<int>(threadIdx.x % 32) * kGrid;
  int position = line < item.begin ? item.begin : line;
  if (position >= item.end) return;
  auto first = moved<kAmsgrad>(walk.at, walk.shift);
  int64_t i = item.number * kItem + position - walk.shift;
  for (const float* array : {first.p, first.m, first.v}) {
    if (array) asm volatile("prefetch.global.L2 [%0];" ::"l"(array + i));
  }
}

// A warp takes item after item, the last ones first: what pass 1 read last is still in L2. What it needs of a segment
// it keeps until another one comes: three dependent loads and 300 instructions of fp64, a tenth of an item's work.
template <class Grad, class Copy, bool kAmsgrad, bool kNorms>
__global__ void __launch_bounds__(kUpdateThreads, update_blocks_per_sm(kAmsgrad, kNorms))
    update_kernel(const __grid_constant__ Launch args) {
  const Pass& pass = args.pass;
  Header& header = *pass.ws.header;
  int64_t items = pass.plan.chunk_count * kItemsPerChunk;
  int64_t warps = static_cast<int64_t>(gridDim.x) * kUpdateWarps;
  int64_t warp = static_cast<int64_t>(blockIdx.x) * kUpdateWarps + threadIdx.x / 32;
#if __CUDA_ARCH__ >= 900
  // Before the wait only what pass 1 does not write, and the header, which it does, not through the L1 cache.
  if (warp < items && args.may_prefetch && __ldcg(&header.fingerprint) == pass.plan.fingerprint) {
    prefetch<Grad, Copy, kAmsgrad, kNorms>(pass, items - 1 - warp);
  }
  cudaGridDependencySynchronize();  // every block, also an idle one: else a later kernel could overtake pass 1
#endif
  if (header.fingerprint != pass.plan.fingerprint) return;
  Decision decision = fresh(header.decision);
  bool applies = __ldcg(&header.armed) == kArmed && decision.result == SWD_RESULT_APPLIED;
  uint64_t epoch = fresh_word(&header.epoch);
  int64_t segment = -1;
  bool has_gradient = false;
  Walk<Grad, Copy> walk;
  Coefficients c;
  for (; applies && warp < items; warp += warps) {
    int64_t number = items - 1 - warp;
    int64_t in = pass.ws.chunk_segment[number / kItemsPerChunk];
    bool beyond = in != segment && is_beyond(pass.ws.segments[in], number);
    if (in != segment && !beyond) {
      segment = in;
      const SegmentInfo& info = pass.ws.segments[segment];
      const SegmentScratch& scratch = pass.ws.scratch[segment];
      has_gradient = takes_part(scratch, epoch);
      if (has_gradient) {
        walk = walk_of<Grad, Copy, kAmsgrad, kNorms>(pass, segment);
        c = coefficients(decision, info, scratch, fresh(pass.ws.groups[info.group]));
      }
    }
    Partial norms{0.0, 0.0};
    if (has_gradient && !beyond) {
      Item item = item_of(walk, number);
      if (item.number == 0 && threadIdx.x % 32 == 0) {
        const SegmentScratch& scratch = pass.ws.scratch[segment];
        pass.segment_states[segment].step = scratch.step;
        pass.segment_states[segment].exp_avg_sq_sum = next_sum(scratch, decision.s_squared);
      }
      norms = update_item<Grad, Copy, kAmsgrad, kNorms>(moved<kAmsgrad>(walk.at, item.number * kItem), c, item.begin,
                                                        item.end, walk.aligned);
    }
    if constexpr (kNorms) {
      bool complete = fold_tree(pass.ws.norm_values, pass.ws.norm_tickets, number, items, norms);
      if (complete && threadIdx.x % 32 == 0) header.update_norms = norms;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0 && arrives_last(&header.update_ticket, gridDim.x)) {
    commit_step(header, *pass.state, kNorms && items > 0 ? header.update_norms : Partial{0.0, 0.0});
  }
}

using UpdateKernel = void (*)(Launch);

// Calls f with the kernel of a plan.
template <class F>
void visit_update(const Plan& plan, const F& f) {
  bool amsgrad = (plan.facts.flags & SWD_PLAN_AMSGRAD) != 0, norms = (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) != 0;
  visit_dtypes(plan.grad_dtype, plan.copy_dtype, [&](auto types) {
    using Grad = typename decltype(types)::grad;
    using Copy = typename decltype(types)::copy;
    UpdateKernel kernel =
        amsgrad ? (norms ? update_kernel<Grad, Copy, true, true> : update_kernel<Grad, Copy, true, false>)
                : (norms ? update_kernel<Grad, Copy, false, true> : update_kernel<Grad, Copy, false, false>);
    f(kernel, update_blocks_per_sm(amsgrad, norms));
  });
}

// Whether pass 2, in the version that a device runs, waits for its predecessor. Asked of the runtime: which version a
// device takes depends on what of the binary is machine code and what is PTX, so a list of architectures cannot tell.
// Kept per device, since every step needs it; all instances of the kernel are compiled alike. Threads that ask at once
// find the same answer, and no answer is about anything but itself, so relaxed accesses do.
enum Waits : uint8_t { kNotAsked, kWaits, kDoesNotWait };
constexpr int kDevicesKept = 64;  // others are asked at every step
std::atomic<uint8_t> waits_on[kDevicesKept];

swd_status ask_whether_it_waits(UpdateKernel kernel, int device, bool& waits) {
  cudaFuncAttributes attributes{};
  swd_status status = load(kernel, &attributes);
  if (status != SWD_OK) return status;
  waits = attributes.ptxVersion >= 90;
  if (device < kDevicesKept) waits_on[device].store(waits ? kWaits : kDoesNotWait, std::memory_order_relaxed);
  return SWD_OK;
}

swd_status waits_for_predecessor(UpdateKernel kernel, int device, bool& waits) {
  uint8_t kept = device < kDevicesKept ? waits_on[device].load(std::memory_order_relaxed) : uint8_t{kNotAsked};
  waits = kept == kWaits;
  return kept == kNotAsked ? ask_whether_it_waits(kernel, device, waits) : SWD_OK;
}

}  // namespace

swd_status load_update(const Plan& plan) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  bool waits = false;
  visit_update(plan, [&](UpdateKernel kernel, int) { status = ask_whether_it_waits(kernel, device.number, waits); });
  return status;
}

swd_status launch_update(const Plan& plan, const Launch& args, bool overlaps, void* stream) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  visit_update(plan, [&](UpdateKernel kernel, int blocks_per_sm) {
    bool waits = false;
    if (overlaps) status = waits_for_predecessor(kernel, device.number, waits);
    if (status != SWD_OK) return;
    Launch with_overlap = args;
    with_overlap.may_prefetch = waits ? 1 : 0;
    unsigned int blocks =
        grid_size(device, plan.facts, plan.facts.chunk_count * kItemsPerChunk, kUpdateWarps, blocks_per_sm);
    status = launch("launch of the update kernel", kernel, blocks, kUpdateThreads, stream, waits, with_overlap);
  });
  return status;
}

}  // namespace swd::cuda
