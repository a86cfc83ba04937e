// SPDX-License-Identifier: Apache-2.0
// Between the passes: the last block ends the norm record and decides the step. Called by pass 1, and by decide_kernel
// where the step comes in pieces.
#pragma once
#include <cub/block/block_reduce.cuh>

#include "launch.h"
#include "record_fold.cuh"

namespace swd::cuda {

// Order-free block reductions, with the algorithm pinned so that a new CUB changes no code path.
using BlockReduce = cub::BlockReduce<double, kThreads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
using BlockFlags = cub::BlockReduce<uint32_t, kThreads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;

struct DecideShared {
  typename BlockReduce::TempStorage reduce;
  typename BlockFlags::TempStorage flags;
  double invalid;
  Decision decision;
};

// Groups arrive aligned, wherever they are; unsaid, a group would be fetched in single bytes.
__device__ __forceinline__ swd_group group_at(const Launch& args, uint32_t i) {
  const Pass& pass = args.pass;
  const void* groups = pass.groups_on_host ? static_cast<const void*>(args.inline_groups) : pass.groups;
  const char* at = static_cast<const char*>(groups) + pass.group_stride * i;
  return read_group(static_cast<const char*>(__builtin_assume_aligned(at, alignof(swd_group))), pass.group_stride);
}

// Groups out of range; valid in every thread.
__device__ inline double count_invalid(const Launch& args, DecideShared& shared) {
  double mine = 0.0;
  for (uint32_t i = threadIdx.x; i < args.pass.plan.group_count; i += kThreads) {
    if (invalid_member(group_at(args, i))) mine += 1.0;
  }
  double sum = BlockReduce(shared.reduce).Sum(mine);
  if (threadIdx.x == 0) shared.invalid = sum;
  __syncthreads();
  return shared.invalid;
}

// Decides from the record and arms pass 2.
__device__ inline void decide_step(const Launch& args, double invalid, DecideShared& shared) {
  const Pass& pass = args.pass;
  if (pass.phase == SWD_PHASE_MAX && pass.ws.header->armed != kWaitsForMax) return;
  if (threadIdx.x == 0) shared.decision = decide(pass, args.record, invalid);
  __syncthreads();
  double largest_d = 0.0;
  uint32_t flags = 0;
  double* lambda_eff = pending_lambda_eff(pass);
  for (uint32_t i = threadIdx.x; i < pass.plan.group_count; i += kThreads) {
    double d;
    uint32_t raised;
    pass.ws.groups[i] =
        group_scalars(pass, shared.decision, group_at(args, i), pass.ws.group_info[i], &lambda_eff[i], &d, &raised);
    largest_d = larger_decay(largest_d, d);
    flags |= raised;
  }
  largest_d = BlockReduce(shared.reduce).Reduce(largest_d, [](double a, double b) { return larger_decay(a, b); });
  flags = BlockFlags(shared.flags).Reduce(flags, [](uint32_t a, uint32_t b) { return a | b; });
  if (threadIdx.x == 0) conclude(pass, shared.decision, largest_d, flags);
}

// Where pass 1 left no terms: the blocks of the grid share the lanes, store the terms of their segments and fold their
// group. SKIP_NORM: first what pass 1 would leave for each segment, without its sums.
__device__ inline void settle_segments(const Launch& args, uint64_t epoch) {
  const Pass& pass = args.pass;
  int lanes = kLanes / static_cast<int>(gridDim.x), thread = static_cast<int>(threadIdx.x);
  int first = thread / lanes * kLanes + static_cast<int>(blockIdx.x) * lanes + thread % lanes;
  for (int64_t k = first; k < pass.plan.segment_count; k += kThreads / lanes * kLanes) {
    if (args.then & kPrepare) {
      pass.ws.scratch[k].epoch = 0;
      if (has_gradient(pass, k)) {
        swd_group group = group_at(args, pass.ws.segments[k].group);
        keep_segment(pass, k, Partial{0.0, 0.0}, group);
      }
    }
    swd_norm_record r{};
    add_segment(pass, k, epoch, r);
    store_terms(pass, k, r);
  }
  __syncthreads();
  if (gridDim.x > 1 && threadIdx.x < 32) fold_group(pass, static_cast<int>(blockIdx.x));
}

// Where pass 1 begins an epoch, the header follows here. No barrier of its own: all have read the old one before the
// one that the block came through last, and read the new one behind that of count_invalid.
__device__ __forceinline__ void follow_epoch(Header& header) {
  if (threadIdx.x == 0) begin_epoch(header);
}

// One block, once all segments have their terms.
__device__ inline void decide_block(const Launch& args) {
  __shared__ DecideShared shared;
  double invalid = count_invalid(args, shared);
  if (args.then & kFold) fold_lane_sums(args.pass, invalid, args.record);
  if (args.then & kDecide) decide_step(args, invalid, shared);
}

}  // namespace swd::cuda
