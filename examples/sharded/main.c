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

#include "shard.h"

enum { kFeatures = 64, kClasses = 8, kSamples = 240, kWeights = kFeatures * kClasses, kTotal = kWeights + kClasses };

static const tensor kTensors[] = {{0, kWeights, 1}, {kWeights, kClasses, 0}};

static float x[kSamples][kFeatures];
static int label[kSamples];

static float uniform(void) { /* -0.5 .. 0.5, the same numbers on every rank */
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / 16777216.0f - 0.5f;
}

/* Points around one centre per class. */
static void make_data(void) {
  float centre[kClasses][kFeatures];
  for (int c = 0; c < kClasses; ++c) {
    for (int f = 0; f < kFeatures; ++f) centre[c][f] = uniform();
  }
  for (int i = 0; i < kSamples; ++i) {
    label[i] = i % kClasses;
    for (int f = 0; f < kFeatures; ++f) x[i][f] = centre[label[i]][f] + 2.0f * uniform();
  }
}

/* This rank's samples' part of the mean cross entropy of softmax(W x + b), and of its gradient. */
static double loss_and_gradient(world ranks, const float* param, float* grad) {
  double loss = 0.0;
  memset(grad, 0, kTotal * sizeof *grad);
  for (int i = ranks.rank; i < kSamples; i += ranks.size) {
    double score[kClasses], sum = 0.0;
    for (int c = 0; c < kClasses; ++c) {
      score[c] = param[kWeights + c];
      for (int f = 0; f < kFeatures; ++f) score[c] += (double)param[c * kFeatures + f] * x[i][f];
      sum += exp(score[c]);
    }
    loss += (log(sum) - score[label[i]]) / kSamples;
    for (int c = 0; c < kClasses; ++c) {
      float slope = (float)((exp(score[c]) / sum - (c == label[i])) / kSamples);
      for (int f = 0; f < kFeatures; ++f) grad[c * kFeatures + f] += slope * x[i][f];
      grad[kWeights + c] += slope;
    }
  }
  world_sum(&loss, 1);
  return loss;
}

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
  make_data();

  shard s;
  shard_create(&s, ranks, kTensors, sizeof kTensors / sizeof *kTensors);
  if (argc > 4) shard_load(&s, argv[4]);
  /* Whole parameters and gradients, padded to slices of equal size. */
  size_t padded = (size_t)s.slice * (size_t)ranks.size * sizeof(float);
  float *param = calloc(1, padded), *grad = calloc(1, padded);
  if (!param || !grad) return 1;

  swd_group group = SWD_GROUP_INIT;
  group.lr = 0.02;
  group.weight_decay = 1e-3;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;
  args.max_grad_norm = 0.5; /* of the whole model: the record carries the norm of all slices */
  for (int step = 0; step < steps; ++step) {
    world_gather(s.param, (size_t)s.slice * sizeof *s.param, param);
    loss_and_gradient(ranks, param, grad);
    world_reduce_scatter(grad, s.grad, (int)s.slice);
    shard_step(&s, &args);
  }
  world_gather(s.param, (size_t)s.slice * sizeof *s.param, param);
  double loss = loss_and_gradient(ranks, param, grad);
  swd_stats stats;
  check(swd_stats_fetch(s.plan, s.buffers.workspace, &stats, sizeof stats, NULL, NULL));
  check_agreement(&s, &stats);
  if (argc > 3) shard_save(&s, argv[3]);
  if (ranks.rank == 0) {
    printf("loss %.6f   gradient norm %.6f   vbar %.6e   steps %llu\n", loss, stats.grad_norm, stats.vbar,
           (unsigned long long)stats.steps_applied);
  }
  free(param);
  free(grad);
  shard_destroy(&s);
  world_finish();
  return stats.result == SWD_RESULT_APPLIED && isfinite(loss) ? 0 : 1;
}
