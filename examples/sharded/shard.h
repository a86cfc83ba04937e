/* SPDX-License-Identifier: Apache-2.0
 * One rank's part of the optimizer: parameters, moments and state of its slice of the flat model. Used by main.c. */
#ifndef SWD_EXAMPLE_SHARD_H
#define SWD_EXAMPLE_SHARD_H
#include "slice.h"
#include "world.h"

typedef struct shard {
  world ranks;
  slice own;
  int64_t segment_count;
  swd_plan* plan;
  swd_buffers buffers;
  float *param, *grad, *exp_avg, *exp_avg_sq; /* own.size elements each */
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
