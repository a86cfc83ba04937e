/* SPDX-License-Identifier: Apache-2.0
 * How the flat model is cut: every rank owns a slice of it. Used by shard.c and main_nccl.cu. */
#ifndef SWD_EXAMPLE_SLICE_H
#define SWD_EXAMPLE_SLICE_H
#include "swd/swd.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct tensor {
  int64_t first, count; /* in the flat model; ascending, without gaps */
  int decays;
} tensor;

typedef struct slice {
  int64_t total;        /* elements of the model */
  int64_t size;         /* elements of a slice; the last ones may be shorter, or empty */
  int64_t first, count; /* of this rank's slice */
} slice;

slice slice_of(const tensor* tensors, int tensor_count, int rank, int ranks);

/* What the slice holds of each tensor; room for tensor_count. Returns how many. */
int64_t slice_segments(slice own, const tensor* tensors, int tensor_count, swd_segment* segments);

#ifdef __cplusplus
}
#endif
#endif
