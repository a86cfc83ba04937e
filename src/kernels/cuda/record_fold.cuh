// SPDX-License-Identifier: Apache-2.0
// The norm record: a sum over the segments in the order of fold_record in cpu/decide.cpp. Lane j of 256 adds segments
// j, j + 256, ... in order, from +0 on; then the lanes fold by halving strides. Called by the warps of pass 1, which
// leave a segment's terms where it ends, and by the block that decides.
//
// A lane is a serial chain, but 256 lanes times the fields are independent of each other, and a block has the bandwidth
// of one multiprocessor only: 64 bytes a segment take it 3 us for 4,096 segments, by arithmetic 40 us for 65,536. So
// beyond kOneBlockSegments lanes are folded in groups, each by the warp that ends the group's last segment, while
// others still sum. What is left for the deciding block is one row of 256 lanes.
#pragma once
#include "../commit.h"
#include "fold.cuh"
#include "tuning.h"

namespace swd::cuda {

constexpr int kFoldBatch = 16;  // loads of a lane before their first use: 2 registers each, and a pass has 80

__device__ __forceinline__ int fold_group_of(int64_t segment) {
  return static_cast<int>(static_cast<uint64_t>(segment) % kLanes / kFoldLanes);
}

// Stores what a segment adds to the record: zeros, if it has no gradient. Field by field, so that warps read rows.
__device__ __forceinline__ void store_terms(const Pass& pass, int64_t segment, const swd_norm_record& r) {
  double terms[kRecordTerms];
  memcpy(terms, &r, sizeof terms);
  double* to = pass.ws.terms + segment;
#pragma unroll
  for (int field = 0; field < kRecordTerms; ++field) to[field * pass.plan.segment_count] = terms[field];
}

// One warp adds the rows of a group's lanes: each thread one field of one lane at a time. What is missing in a batch
// adds +0, which changes no bit, since no sum that starts from +0 ever is -0.
__device__ __forceinline__ void fold_group(const Pass& pass, int group) {
  int64_t segments = pass.plan.segment_count;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x % 32); i < kFoldLanes * kRecordTerms; i += 32) {
    int field = i / kFoldLanes, lane = group * kFoldLanes + i % kFoldLanes;
    const double* terms = pass.ws.terms + field * segments;
    double sum = 0.0;
#pragma unroll 1
    for (int64_t k = lane; k < segments; k += kFoldBatch * kLanes) {
      double x[kFoldBatch];
#pragma unroll
      for (int row = 0; row < kFoldBatch; ++row) {
        x[row] = k + row * kLanes < segments ? __ldcg(terms + k + row * kLanes) : 0.0;
      }
#pragma unroll
      for (int row = 0; row < kFoldBatch; ++row) sum += x[row];
    }
    pass.ws.lane_sums[field * kLanes + lane] = sum;
  }
}

// Ends a segment in a launch that reduces all of them, by one whole warp of which thread 0 knows what it adds. Segments
// without elements never end: nobody waits for them, and their terms are zeros from the start.
__device__ __forceinline__ void end_segment(const Pass& pass, int64_t segment, const swd_norm_record& r) {
  int group = fold_group_of(segment);
  int last = 0;
  if (threadIdx.x % 32 == 0) {
    store_terms(pass, segment, r);
    if (pass.plan.segment_count > kOneBlockSegments) {
      last = arrives_last(pass.ws.fold_tickets + group, pass.ws.fold_arrivals[group]);
    }
  }
  if (!__shfl_sync(kFullWarp, last, 0)) return;
  __syncwarp();  // what thread 0 acquired, all see
  fold_group(pass, group);
}

// The record from lane sums, or from the terms themselves: one block, a warp a field.
__device__ __forceinline__ void fold_lane_sums(const Pass& pass, double invalid, double* out) {
  int warp = static_cast<int>(threadIdx.x / 32), thread = static_cast<int>(threadIdx.x % 32);
  bool grouped = pass.plan.segment_count > kOneBlockSegments;
  int count = grouped ? kLanes : static_cast<int>(pass.plan.segment_count);
  const double* from = grouped ? pass.ws.lane_sums : pass.ws.terms;
#pragma unroll 1
  for (int field = warp; field < kRecordTerms; field += kWarps) {
    double lanes[8] = {};
#pragma unroll 2
    for (int row = 0; row < count; row += kLanes) {
#pragma unroll
      for (int slot = 0; slot < 8; ++slot) {
        int k = row + 32 * slot + thread;
        lanes[slot] += k < count ? __ldcg(from + static_cast<int64_t>(field) * count + k) : 0.0;
      }
    }
    double sum = fold_lanes<3>(lanes);
    if (field == offsetof(swd_norm_record, bad) / sizeof(double)) sum += found_inf_of(pass);
    if (field == offsetof(swd_norm_record, invalid) / sizeof(double)) sum += invalid;
    if (thread == 0) out[field] = sum;
  }
  for (int i = kRecordTerms + static_cast<int>(threadIdx.x); i < kRecordDoubles; i += kThreads) out[i] = 0.0;
  __syncthreads();
}

}  // namespace swd::cuda
