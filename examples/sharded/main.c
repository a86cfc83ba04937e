/* SPDX-License-Identifier: Apache-2.0
 * Sharded training: data-parallel ranks, each of which owns a slice of parameters, moments and optimizer state (ZeRO,
 * FSDP). The ranks step alike because they sum one record of eight doubles between the two passes.
 *
 *   swd_sharded RANKS STEPS [SAVE [LOAD]]               over fork and shared memory
 *   mpiexec -n RANKS swd_sharded_mpi 0 STEPS [SAVE [LOAD]]
 *
 * LOAD may come from a run with another number of ranks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "shard.h"

/* Ranks that do not step alike train different models without anyone noticing: look, once in a while. */
static void check_agreement(const shard* s, const swd_stats* stats) {
  swd_stats* all = malloc((size_t)s->ranks.size * sizeof *all);
  if (!all) exit(1);
  world_gather(stats, sizeof *stats, all);
  for (int r = 1; r < s->ranks.size; ++r) {
    if (memcmp(&all[r], &all[0], sizeof *all) == 0) continue;
    fprintf(stderr, "ranks 0 and %d decided differently\n", r);
    exit(1);
  }
  free(all);
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: swd_sharded RANKS STEPS [SAVE [LOAD]]\n");
    return 2;
  }
  world ranks = world_start(&argc, &argv, atoi(argv[1]));
  int steps = atoi(argv[2]);
  static samples data;
  make_samples(&data);

  shard s;
  shard_create(&s, ranks, model_tensors, kTensors);
  if (argc > 4) shard_load(&s, argv[4]);
  /* Whole parameters and gradients, padded to slices of equal size. */
  size_t padded = (size_t)s.own.size * (size_t)ranks.size * sizeof(float);
  float *param = calloc(1, padded), *grad = calloc(1, padded);
  if (!param || !grad) return 1;

  swd_group group;
  swd_step_args args = training_args(&group);
  for (int step = 0; step < steps; ++step) {
    world_gather(s.param, (size_t)s.own.size * sizeof *s.param, param);
    loss_and_gradient(&data, ranks.rank, ranks.size, param, grad);
    world_reduce_scatter(grad, s.grad, (int)s.own.size);
    shard_step(&s, &args);
  }
  world_gather(s.param, (size_t)s.own.size * sizeof *s.param, param);
  double loss = loss_and_gradient(&data, ranks.rank, ranks.size, param, grad);
  world_sum(&loss, 1);
  swd_stats stats;
  check(swd_stats_fetch(s.plan, s.buffers.workspace, &stats, sizeof stats, NULL, NULL));
  check_agreement(&s, &stats);
  if (argc > 3) shard_save(&s, argv[3]);
  if (ranks.rank == 0) print_result(loss, &stats);
  free(param);
  free(grad);
  shard_destroy(&s);
  world_finish();
  return stats.result == SWD_RESULT_APPLIED && isfinite(loss) ? 0 : 1;
}
