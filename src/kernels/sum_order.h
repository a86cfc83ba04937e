// SPDX-License-Identifier: Apache-2.0
// The order of every sum over elements, and how a sum that fp32 cannot hold is recognised. Both backends follow it.
//
// chunk = kChunk elements from the segment's start; lane = i mod kLanes; the kRun terms of a lane are added in fp32,
// in order; the lanes become fp64 and fold by halving strides (128, 64, ... 1). Chunk sums of a segment fold the same
// way, 256 at a time, until one is left. What is missing adds +0. The halving fold does not change when lanes are
// rotated, so a misaligned base can use aligned loads. fp32 runs, because one fp64 addition per element would cost
// up to twice the time of pass 1 on GPUs with little fp64; the error stays below 17 * 2^-24, typically 1e-9.
#pragma once
#include "portable.h"

namespace swd {

constexpr int kLanes = 256;  // also the radix of the tree
constexpr int kRun = 16;     // terms of a lane in a chunk
constexpr int kChunk = kLanes * kRun;
constexpr int kItem = kChunk / 4;  // elements of one work item of pass 2, and of a run of the update norms
constexpr int kItemsPerChunk = kChunk / kItem;

// Two sums that fold alike. In pass 1 `also` is the number of non-finite elements (exact as double up to 2^53); of the
// update norms `sum` is that of squares of the parameters, `also` that of what they lost.
struct Partial {
  double sum;
  double also;
};

SWD_FN int64_t divide_up(int64_t n, int64_t by) { return n / by + (n % by != 0); }

// Values stored for a tree over `leaves` leaves: every level, the root left out. A level of n values starts right
// behind the level below it; its nodes (one ticket each on the device) are numbered likewise.
SWD_FN int64_t tree_values(int64_t leaves) {
  int64_t values = 0;
  for (; leaves > 1; leaves = divide_up(leaves, kLanes)) values += leaves;
  return values;
}

SWD_FN int64_t tree_tickets(int64_t leaves) {
  int64_t tickets = 0;
  for (; leaves > 1; leaves = divide_up(leaves, kLanes)) tickets += divide_up(leaves, kLanes);
  return tickets;
}

// The square as the fp32 run adds it. Squares that would be denormal count as 0; needs_care() notices if they matter.
// They are those of magnitudes below 2^-63: the largest of them rounds to 2^-126 - 2^-149. GPUs take a magnitude for
// nothing; elsewhere that is an operation more, which bounds pass 1.
SWD_FN float run_square(float g) {
#ifdef __CUDA_ARCH__
  return magnitude(g) < 0x1p-63f ? 0.0f : g * g;
#else  // a mask: gcc makes a branch of the choice where a loop is unrolled, and then does not vectorise it
  float square = g * g;
  return bits_float(float_bits(square) & (static_cast<uint32_t>(square < FLT_MIN) - 1u));
#endif
}

// The smallest sum of a chunk that is trusted: the squares left out, each below 2^-126, are then at most 2^-24 of it.
constexpr double kLeastTrusted = kChunk * 0x1p-126 * 0x1p24;

// True if a chunk has to be summed again in fp64: overflow or a non-finite element, or so small that the terms
// left out could matter. A sum of 0 needs care if any element is not 0, which the caller has to look up.
SWD_FN bool needs_care(double sum) { return !(sum >= kLeastTrusted && sum <= DBL_MAX) && sum != 0.0; }

}  // namespace swd
