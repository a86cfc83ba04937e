/* SPDX-License-Identifier: Apache-2.0
 * The slice of a rank, its step and its checkpoint. Used by main.c. */
#include "shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_ROOM 64 /* doubles; the record of this version has 16 */

void check(swd_status status) {
  if (status == SWD_OK) return;
  fprintf(stderr, "%s: %s\n", swd_status_name(status), swd_error_detail());
  exit(1);
}

static void* zeros(uint64_t bytes) {
  void* memory = calloc(1, bytes ? bytes : 1);
  if (!memory) exit(1);
  return memory;
}

static swd_plan* create_plan(shard* s, const tensor* tensors, int tensor_count) {
  swd_segment* segments = zeros((uint64_t)tensor_count * sizeof *segments);
  s->segment_count = slice_segments(s->own, tensors, tensor_count, segments);
  swd_decay decay = SWD_DECAY_SCHEDULED;
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.flags = SWD_PLAN_INDEXED;
  args.segments = segments;
  args.segment_count = s->segment_count;
  args.decay_modes = &decay;
  args.group_count = 1;
  args.threads = 1; /* the ranks share the machine's cores */
  swd_plan* plan;
  check(swd_plan_create(&args, &plan));
  free(segments);
  return plan;
}

void shard_create(shard* s, world ranks, const tensor* tensors, int tensor_count) {
  memset(s, 0, sizeof *s);
  s->ranks = ranks;
  s->own = slice_of(tensors, tensor_count, ranks.rank, ranks.size);
  s->plan = create_plan(s, tensors, tensor_count);
  uint64_t bytes = (uint64_t)s->own.size * sizeof(float);
  swd_buffers buffers = SWD_BUFFERS_INIT;
  buffers.param = s->param = zeros(bytes);
  buffers.grad = s->grad = zeros(bytes);
  buffers.exp_avg = s->exp_avg = zeros(bytes);
  buffers.exp_avg_sq = s->exp_avg_sq = zeros(bytes);
  check(swd_state_size(s->plan, &buffers.state_bytes));
  check(swd_workspace_size(s->plan, &buffers.workspace_bytes));
  buffers.state = zeros(buffers.state_bytes);
  buffers.workspace = zeros(buffers.workspace_bytes);
  check(swd_workspace_init(s->plan, buffers.workspace, buffers.workspace_bytes, NULL));
  s->buffers = buffers;
}

void shard_destroy(shard* s) {
  free(s->param);
  free(s->grad);
  free(s->exp_avg);
  free(s->exp_avg_sq);
  free(s->buffers.state);
  free(s->buffers.workspace);
  check(swd_plan_destroy(s->plan));
}

void shard_step(shard* s, const swd_step_args* args) {
  double record[RECORD_ROOM];
  uint64_t doubles;
  check(swd_record_size(s->plan, &doubles));
  if (doubles > RECORD_ROOM) exit(1);
  check(swd_reduce(s->plan, &s->buffers, args, SWD_PHASE_GRAD, 0, s->segment_count, NULL));
  check(swd_fold(s->plan, &s->buffers, args, SWD_PHASE_GRAD, record, doubles, NULL));
  world_sum(record, (int)doubles);
  check(swd_decide(s->plan, &s->buffers, args, SWD_PHASE_GRAD, record, doubles, NULL));
  check(swd_update(s->plan, &s->buffers, args, NULL));
}

/* ---- Checkpoint: three arrays of `total` floats, the number of blobs, then size and bytes of each blob -------------
 */

static void transfer(size_t done, size_t wanted, const char* path) {
  if (done == wanted) return;
  fprintf(stderr, "%s: cannot be read or written as a whole\n", path);
  exit(1);
}

void shard_save(const shard* s, const char* path) {
  int size = s->ranks.size;
  const float* arrays[] = {s->param, s->exp_avg, s->exp_avg_sq};
  uint64_t slice_bytes = (uint64_t)s->own.size * sizeof(float), own = 0, *sizes = zeros((uint64_t)size * sizeof *sizes);
  check(swd_state_blob_size(s->plan, &own));
  world_gather(&own, sizeof own, sizes);
  uint64_t largest = 0;
  for (int r = 0; r < size; ++r) largest = sizes[r] > largest ? sizes[r] : largest;
  unsigned char *blob = zeros(largest), *blobs = zeros((uint64_t)size * largest);
  check(swd_state_export(s->plan, s->buffers.state, s->buffers.state_bytes, blob, own));
  world_gather(blob, largest, blobs);
  FILE* file = s->ranks.rank == 0 ? fopen(path, "wb") : NULL;
  if (s->ranks.rank == 0) transfer(file != NULL, 1, path);
  float* whole = zeros((uint64_t)size * slice_bytes);
  for (int i = 0; i < 3; ++i) {
    world_gather(arrays[i], slice_bytes, whole);
    if (file) transfer(fwrite(whole, sizeof *whole, (size_t)s->own.total, file), (size_t)s->own.total, path);
  }
  int64_t count = size;
  if (file) transfer(fwrite(&count, sizeof count, 1, file), 1, path);
  for (int r = 0; file && r < size; ++r) {
    transfer(fwrite(&sizes[r], sizeof sizes[r], 1, file), 1, path);
    transfer(fwrite(blobs + (uint64_t)r * largest, 1, sizes[r], file), sizes[r], path);
  }
  if (file) transfer(fclose(file) == 0, 1, path);
  free(whole);
  free(blobs);
  free(blob);
  free(sizes);
}

void shard_load(shard* s, const char* path) {
  float* arrays[] = {s->param, s->exp_avg, s->exp_avg_sq};
  FILE* file = fopen(path, "rb");
  transfer(file != NULL, 1, path);
  float* whole = zeros((uint64_t)s->own.total * sizeof *whole);
  for (int i = 0; i < 3; ++i) {
    transfer(fread(whole, sizeof *whole, (size_t)s->own.total, file), (size_t)s->own.total, path);
    memcpy(arrays[i], whole + s->own.first, (uint64_t)s->own.count * sizeof *whole);
  }
  int64_t count;
  transfer(fread(&count, sizeof count, 1, file), 1, path);
  void** blobs = zeros((uint64_t)count * sizeof *blobs);
  uint64_t* sizes = zeros((uint64_t)count * sizeof *sizes);
  for (int64_t r = 0; r < count; ++r) {
    transfer(fread(&sizes[r], sizeof sizes[r], 1, file), 1, path);
    blobs[r] = zeros(sizes[r]);
    transfer(fread(blobs[r], 1, sizes[r], file), sizes[r], path);
  }
  check(swd_state_import(s->plan, (const void* const*)blobs, sizes, count, s->buffers.state, s->buffers.state_bytes));
  for (int64_t r = 0; r < count; ++r) free(blobs[r]);
  free(blobs);
  free(sizes);
  free(whole);
  fclose(file);
}
