// SPDX-License-Identifier: Apache-2.0
// The halving fold of sum_order.h for a warp, and the tree above it. CUB's reductions add in an order that is not
// contractual, so sums of values are folded here; CUB does what has no order (counts, maxima).
#pragma once
#include "../sum_order.h"

namespace swd::cuda {

constexpr unsigned int kFullWarp = 0xFFFFFFFFu;

// Folds 256 lanes, 8 a thread, by strides 128 ... 1; every thread gets the result. The 8 bits of a lane number are
// kHighSlotBits bits of the slot, then the 5 bits of the thread, then the other bits of the slot:
//   3: lane = 32 * slot + thread        1: lane = 128 * (slot / 4) + 4 * thread + slot % 4        0: lane = 8 * thread
//   + slot
// For example kHighSlotBits 1: lane 167 = 1 01001 11 in binary is slot 1 11 = 7 of thread 01001 = 9. The stride 128
// adds slots 0..3 and 4..7 of one thread, strides 64 to 4 add threads 16 to 1 apart, and strides 2 and 1 the slots that
// are left, which by then lie in the threads' two high bits. While a thread holds several values it hands half of them
// to its partner, so the slot's low bits end up in the thread's high bits: 8 to 12 exchanges of fp64 instead of 20
// to 40.
template <int kHighSlotBits>
__device__ __forceinline__ double fold_lanes(double (&x)[8]) {
  constexpr int kLowSlotBits = 3 - kHighSlotBits;
  int thread = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int n = 4; n >= (1 << kLowSlotBits); n /= 2) {
#pragma unroll
    for (int j = 0; j < n; ++j) x[j] += x[j + n];
  }
#pragma unroll
  for (int bit = 0; bit < 5; ++bit) {
    int mask = 16 >> bit;
    int n = bit < kLowSlotBits ? (1 << kLowSlotBits) >> (bit + 1) : 0;
    bool upper = (thread & mask) != 0;
#pragma unroll
    for (int j = 0; j < n; ++j) {
      double kept = upper ? x[j + n] : x[j];
      double sent = upper ? x[j] : x[j + n];
      x[j] = kept + __shfl_xor_sync(kFullWarp, sent, mask);
    }
    if (n == 0) x[0] += __shfl_xor_sync(kFullWarp, x[0], mask);
  }
#pragma unroll
  for (int bit = 0; bit < kLowSlotBits; ++bit) x[0] += __shfl_xor_sync(kFullWarp, x[0], 16 >> bit);
  return x[0];
}

// One arrival at a ticket: publishes what this thread wrote, and what it saw written before a barrier. True for the
// last of `arrivals`, which then sees what all of them published. The ticket wraps to zero by itself. Release and
// acquire instead of two __threadfence(), which order more than is needed and empty the L1 cache at every arrival.
__device__ __forceinline__ bool arrives_last(uint32_t* ticket, uint32_t arrivals) {
  uint32_t before;
  asm volatile("atom.release.gpu.inc.u32 %0, [%1], %2;" : "=r"(before) : "l"(ticket), "r"(arrivals - 1) : "memory");
  if (before != arrivals - 1) return false;
  asm volatile("fence.acq_rel.gpu;" ::: "memory");
  return true;
}

// Hands a leaf to its tree (layout: tree_values, tree_tickets). The warp that arrives last at a node folds it and goes
// on with the node's sum. True for the one warp that ends with the sum of all leaves in `value`. Tickets end at zero,
// so a replayed graph finds them as they were.
__device__ __forceinline__ bool fold_tree(Partial* values, uint32_t* tickets, int64_t leaf, int64_t leaves,
                                          Partial& value) {
  int thread = static_cast<int>(threadIdx.x % 32);
  while (leaves > 1) {
    int64_t node = leaf / kLanes;
    int64_t left = leaves - node * kLanes;
    uint32_t children = left < kLanes ? static_cast<uint32_t>(left) : kLanes;
    int last = 0;
    if (thread == 0) {
      values[leaf] = value;
      last = arrives_last(&tickets[node], children);
    }
    if (!__shfl_sync(kFullWarp, last, 0)) return false;
    __syncwarp();  // what thread 0 acquired, all see
    double sum[8], also[8];
#pragma unroll
    for (int slot = 0; slot < 8; ++slot) {
      uint32_t child = static_cast<uint32_t>(32 * slot + thread);
      double2 loaded = make_double2(0.0, 0.0);
      if (child < children) loaded = __ldcg(reinterpret_cast<const double2*>(values + node * kLanes + child));
      sum[slot] = loaded.x;
      also[slot] = loaded.y;
    }
    value.sum = fold_lanes<3>(sum);
    value.also = fold_lanes<3>(also);
    values += leaves;
    leaves = divide_up(leaves, kLanes);
    tickets += leaves;
    leaf = node;
  }
  return true;
}

}  // namespace swd::cuda
