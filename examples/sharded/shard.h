/* SPDX-License-Identifier: Apache-2.0
 * One rank's slice of the optimizer: parameters, moments and state of elements first .. first + count - 1 of the flat
 * model. Used by main.c. */
#ifndef SWD_EXAMPLE_SHARD_H
#define SWD_EXAMPLE_SHARD_H
#include "swd/swd.h"
#include "world.h"

typedef struct tensor {
  int64_t first, count; /* in the flat model; ascending, without gaps */
  int decays;
} tensor;

typedef struct shard {
  world ranks;
  int64_t total;        /* elements of the model */
  int64_t slice;        /* elements of a slice; the last ones may be shorter, or empty */
  int64_t first, count; /* of this rank's slice */
  int64_t segment_count;
  swd_plan* plan;
  swd_buffers buffers;
  float *param, *grad, *exp_avg, *exp_avg_sq; /* slice elements each */
} shard;

void check(swd_status status);
void shard_create(shard* s, world ranks, const tensor* tensors, int tensor_count);
void shard_destroy(shard* s);

/* One step of all ranks together, on the gradients in s->grad. */
void shard_step(shard* s, const swd_step_args* args);

/* Rank 0 writes one file for the model; any number of ranks can read it back. */
void shard_save(const shard* s, const char* path);
void shard_load(shard* s, const char* path);

#endif
