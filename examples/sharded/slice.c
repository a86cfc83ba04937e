/* SPDX-License-Identifier: Apache-2.0 */
#include "slice.h"

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

slice slice_of(const tensor* tensors, int tensor_count, int rank, int ranks) {
  slice own;
  own.total = tensors[tensor_count - 1].first + tensors[tensor_count - 1].count;
  own.size = (own.total + ranks - 1) / ranks;
  own.first = at_most(own.total, rank * own.size);
  own.count = at_most(own.size, own.total - own.first);
  return own;
}

/* `index` says where a segment lies in the model: it makes the segments of all ranks, and of runs with other numbers of
 * ranks, fit together in a checkpoint. */
int64_t slice_segments(slice own, const tensor* tensors, int tensor_count, swd_segment* segments) {
  int64_t segment_count = 0;
  for (int k = 0; k < tensor_count; ++k) {
    int64_t from = at_least(tensors[k].first, own.first);
    int64_t to = at_most(tensors[k].first + tensors[k].count, own.first + own.count);
    if (from >= to) continue;
    swd_segment* segment = &segments[segment_count++];
    segment->offset = from - own.first;
    segment->count = to - from;
    segment->index = from;
    segment->group = 0;
    segment->flags = tensors[k].decays ? 0 : SWD_SEGMENT_NO_DECAY;
  }
  return segment_count;
}
