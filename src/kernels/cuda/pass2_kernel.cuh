// SPDX-License-Identifier: Apache-2.0
// Pass 2: walks the work items, last ones first, and commits the step. Instantiated by pass2_update.cu and
// pass2_narrow.cu.
//
// An Item says what a row of a plan's table is: which arrays, how they move, what a segment's constants are, and how a
// work item is updated (pass2_item.cuh, narrow_item.cuh).
#pragma once
#include "kernels.h"
#include "narrow_item.cuh"

namespace swd::cuda {

constexpr int kGrid = 32;  // parameters in a 128-byte line

// A segment as pass 2 walks it: on a grid that starts `shift` elements before the first one, on a 128-byte line of the
// parameters, so that items of a misaligned segment are whole lines all the same. The update norms sum runs of kItem
// from the first element on (sum_order.h), so there the grid starts with it.
// For example parameters 20 floats behind a line: element 0 has position 20, item 0 holds elements 0 to 1,003, item 1
// 1,004 to 2,027: whole lines. Of 4,096 elements the fourth and last item takes positions 3,072 to 4,115.
template <class Item>
struct Walk {
  int64_t first_chunk;
  int64_t last_item;  // takes what the shift pushed behind the last whole item
  int64_t end;        // position behind the last element
  int shift;
  bool aligned;  // all arrays are, at position 0
  typename Item::Arrays at;
};

template <class Item>
__device__ __forceinline__ Walk<Item> walk_of(const Pass& pass, int64_t segment) {
  const SegmentInfo& info = pass.ws.segments[segment];
  Walk<Item> walk;
  walk.first_chunk = info.first_chunk;
  walk.last_item = info.chunks * kItemsPerChunk - 1;
  walk.at = Item::arrays_of(pass, segment);
  walk.shift = Item::kFromStart ? 0 : vector_shift<kGrid>(walk.at.p);
  walk.end = walk.shift + info.count;
  if constexpr (!Item::kFromStart) walk.at = Item::moved(walk.at, -walk.shift);
  walk.aligned = Item::all_aligned(walk.at);
  return walk;
}

struct Place {
  int64_t number;  // within the segment; its positions start at number * kItem
  int begin, end;  // relative to that; end <= begin: nothing left for this item
};

template <class Item>
__device__ __forceinline__ Place place_of(const Walk<Item>& walk, int64_t number) {
  int64_t item = number - walk.first_chunk * kItemsPerChunk;
  int64_t left = walk.end - item * kItem;
  return Place{item, item == 0 ? walk.shift : 0,
               left <= kItem || item == walk.last_item ? static_cast<int>(left < 0 ? 0 : left) : kItem};
}

// Whether the item is surely empty: of a small segment's chunk most are, and need not look at the rest of its tables.
__device__ __forceinline__ bool is_beyond(const SegmentInfo& info, int64_t number) {
  return (number - info.first_chunk * kItemsPerChunk) * kItem >= info.count + kGrid;
}

// Where a warp keeps its walk: in registers, or, where a row wants those, in shared memory.
template <class Item, bool kShared = Item::kWalkIsShared>
struct OwnWalk {
  Walk<Item> walk;
  __device__ __forceinline__ Walk<Item>& get() { return walk; }
  __device__ __forceinline__ void set(const Walk<Item>& to) { walk = to; }
};
template <class Item>
struct OwnWalk<Item, true> {
  __device__ __forceinline__ Walk<Item>& get() {
    __shared__ Walk<Item> walks[kUpdateWarps];
    return walks[threadIdx.x / 32];
  }
  __device__ __forceinline__ void set(const Walk<Item>& to) {
    __syncwarp();  // nobody reads the one before any more
    if (threadIdx.x % 32 == 0) get() = to;
    __syncwarp();
  }
};

// While pass 1 drains, brings the first item's parameters and moments into L2: pass 1 writes neither. Only addresses of
// elements: the grid starts before the first one, and a pointer of a list that was never set is known to nobody yet.
template <class Item>
__device__ __forceinline__ void prefetch(const Walk<Item>& walk, const Place& place) {
  Item::visit_prefetched(Item::moved(walk.at, walk.shift), [&](auto* array) {
    int line = static_cast<int>(threadIdx.x % 32) * (kLineBytes / static_cast<int>(sizeof(*array)));
    int position = line < place.begin ? place.begin : line;
    if (position >= place.end || !array) return;
    asm volatile("prefetch.global.L2 [%0];" ::"l"(array + (place.number * kItem + position - walk.shift)));
  });
}

// A warp takes item after item, the last ones first: what pass 1 read last is still in L2. What it needs of a segment
// it keeps until another one comes: three dependent loads and 300 instructions of fp64, a tenth of an item's work.
template <template <class, bool, bool> class ItemOf, class Types, bool kAmsgrad, bool kNorms>
__global__ void __launch_bounds__(kUpdateThreads, update_blocks_per_sm(Types::kPlain, kAmsgrad, kNorms))
    update_kernel(const __grid_constant__ Launch args) {
  using Item = ItemOf<Types, kAmsgrad, kNorms>;
  const Pass& pass = args.pass;
  Header& header = *pass.ws.header;
  int64_t items = pass.plan.chunk_count * kItemsPerChunk;
  int64_t warps = static_cast<int64_t>(gridDim.x) * kUpdateWarps;
  int64_t warp = static_cast<int64_t>(blockIdx.x) * kUpdateWarps + threadIdx.x / 32;
  bool ours = __ldcg(&header.fingerprint) == pass.plan.fingerprint;  // written by swd_workspace_init alone
  int64_t segment = -1;
  OwnWalk<Item> own;
  const Walk<Item>& walk = own.get();
  // Before the wait: where the first item lies. These tables are older than pass 1, so their latency passes meanwhile.
  if (ours && warp < items) {
    int64_t number = items - 1 - warp;
    int64_t in = pass.ws.chunk_segment[number / kItemsPerChunk];
    if (!is_beyond(pass.ws.segments[in], number)) {
      segment = in;
      own.set(walk_of<Item>(pass, segment));
      if (args.may_prefetch) prefetch(walk, place_of(walk, number));
    }
  }
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();  // every block, also an idle one: else a later kernel could overtake pass 1
#endif
  if (!ours) return;
  Decision decision = fresh(header.decision);
  bool applies = __ldcg(&header.armed) == kArmed && decision.result == SWD_RESULT_APPLIED;
  uint64_t epoch = fresh_word(&header.epoch);
  bool has_gradient = false;
  typename Item::Constants c;
  auto decide_segment = [&] {
    if constexpr (Item::kWalkIsShared) {  // nor are there registers for what is wanted once a segment
      decision = fresh(header.decision);
      epoch = fresh_word(&header.epoch);
    }
    const SegmentInfo& info = pass.ws.segments[segment];
    const SegmentScratch& scratch = pass.ws.scratch[segment];
    has_gradient = takes_part(scratch, epoch);
    c = Item::constants_of(pass, segment, coefficients(decision, info, scratch, fresh(pass.ws.groups[info.group])));
  };
  if (segment >= 0) decide_segment();
  for (; applies && warp < items; warp += warps) {
    int64_t number = items - 1 - warp;
    int64_t in = pass.ws.chunk_segment[number / kItemsPerChunk];
    bool beyond = in != segment && is_beyond(pass.ws.segments[in], number);
    if (in != segment && !beyond) {
      segment = in;
      own.set(walk_of<Item>(pass, segment));
      decide_segment();
    }
    Partial norms{0.0, 0.0};
    if (has_gradient && !beyond) {
      Place place = place_of(walk, number);
      if (place.number == 0 && threadIdx.x % 32 == 0) {
        const SegmentScratch& scratch = pass.ws.scratch[segment];
        pass.segment_states[segment].step = scratch.step;
        pass.segment_states[segment].exp_avg_sq_sum =
            next_sum(scratch, Item::kWalkIsShared ? fresh(header.decision).s_squared : decision.s_squared);
        if constexpr (Item::kHasUnit) {
          pass.segment_states[segment].exp_avg_sq_unit = pass.ws.narrow[segment].unit_after;
        }
      }
      norms = Item::update(pass, Item::moved(walk.at, place.number * kItem), c, place.begin, place.end, walk.aligned);
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

// pass2_narrow.cu: of rows that are not all fp32.
UpdateKernel narrow_kernel_of(const Plan& plan);

}  // namespace swd::cuda
