// SPDX-License-Identifier: Apache-2.0
// Between the passes: one block folds the segments into the norm record and decides the step. Called by the last block
// of pass 1, and by decide_kernel where the step comes in pieces.
#pragma once
#include <cub/block/block_reduce.cuh>

#include "../scalars.h"
#include "fold.cuh"
#include "launch.h"

namespace swd::cuda {

// Order-free block reductions, with the algorithm pinned so that a new CUB changes no code path.
using BlockReduce = cub::BlockReduce<double, kThreads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
using BlockFlags = cub::BlockReduce<uint32_t, kThreads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;

struct DecideShared {
  double terms[kRecordTerms][kWarps];
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

// The record: lane j adds segments j, j + 256, ... in order, then the halving fold. Thread (warp w, thread t) holds
// lane 8t + w, so a warp folds the strides 128 to 8 and one thread a field the strides 4 to 1.
__device__ inline void fold_record(const Launch& args, double invalid, DecideShared& shared, double* out) {
  int warp = static_cast<int>(threadIdx.x / 32), thread = static_cast<int>(threadIdx.x % 32);
  swd_norm_record mine{};
  for (int64_t k = 8 * thread + warp; k < args.pass.plan.segment_count; k += kLanes) add_segment(args.pass, k, mine);
  double lanes[kRecordTerms];
  memcpy(lanes, &mine, sizeof lanes);
#pragma unroll
  for (int term = 0; term < kRecordTerms; ++term) {
    double x = lanes[term];
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(kFullWarp, x, mask);
    if (thread == 0) shared.terms[term][warp] = x;
  }
  __syncthreads();
  for (int term = static_cast<int>(threadIdx.x); term < kRecordDoubles; term += kThreads) {
    double sum = 0.0;
    if (term < kRecordTerms) {
      const double(&x)[kWarps] = shared.terms[term];
      sum = ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
    }
    if (term == offsetof(swd_norm_record, bad) / sizeof(double)) sum += found_inf_of(args.pass);
    if (term == offsetof(swd_norm_record, invalid) / sizeof(double)) sum += invalid;
    out[term] = sum;
  }
  __syncthreads();
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

// SWD_STEP_SKIP_NORM: what pass 1 would leave for each segment, without its sums.
__device__ inline void prepare_segments(const Launch& args) {
  const Pass& pass = args.pass;
  for (int64_t k = threadIdx.x; k < pass.plan.segment_count; k += kThreads) {
    pass.ws.scratch[k].epoch = 0;
    if (!has_gradient(pass, k)) continue;
    swd_group group = group_at(args, pass.ws.segments[k].group);
    pass.ws.scratch[k] = segment_scratch(pass, k, Partial{0.0, 0.0}, group);
  }
  __syncthreads();
}

// Where pass 1 begins an epoch, the header follows here: once all of it has read the old one, before the record is
// folded.
__device__ inline void follow_epoch(Header& header) {
  __syncthreads();
  if (threadIdx.x == 0) begin_epoch(header);
  __syncthreads();
}

// What follows pass 1.
__device__ inline void decide_block(const Launch& args) {
  __shared__ DecideShared shared;
  if (args.then & kPrepare) {
    bool afresh = starts_afresh(args.pass);
    prepare_segments(args);
    if (afresh) follow_epoch(*args.pass.ws.header);
  }
  double invalid = count_invalid(args, shared);
  if (args.then & kFold) fold_record(args, invalid, shared, args.record);
  if (args.then & kDecide) decide_step(args, invalid, shared);
}

}  // namespace swd::cuda
