/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const tensor model_tensors[kTensors] = {{0, kWeights, 1}, {kWeights, kClasses, 0}};

static float uniform(void) { /* -0.5 .. 0.5, the same numbers on every rank */
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / 16777216.0f - 0.5f;
}

void make_samples(samples* out) {
  float centre[kClasses][kFeatures];
  for (int c = 0; c < kClasses; ++c) {
    for (int f = 0; f < kFeatures; ++f) centre[c][f] = uniform();
  }
  for (int i = 0; i < kSamples; ++i) {
    out->label[i] = i % kClasses;
    for (int f = 0; f < kFeatures; ++f) out->x[i][f] = centre[out->label[i]][f] + 2.0f * uniform();
  }
}

double loss_and_gradient(const samples* all, int rank, int ranks, const float* param, float* grad) {
  double loss = 0.0;
  memset(grad, 0, kTotal * sizeof *grad);
  for (int i = rank; i < kSamples; i += ranks) {
    double score[kClasses], sum = 0.0;
    for (int c = 0; c < kClasses; ++c) {
      score[c] = param[kWeights + c];
      for (int f = 0; f < kFeatures; ++f) score[c] += (double)param[c * kFeatures + f] * all->x[i][f];
      sum += exp(score[c]);
    }
    loss += (log(sum) - score[all->label[i]]) / kSamples;
    for (int c = 0; c < kClasses; ++c) {
      float slope = (float)((exp(score[c]) / sum - (c == all->label[i])) / kSamples);
      for (int f = 0; f < kFeatures; ++f) grad[c * kFeatures + f] += slope * all->x[i][f];
      grad[kWeights + c] += slope;
    }
  }
  return loss;
}

swd_step_args training_args(swd_group* group) {
  swd_group weights = SWD_GROUP_INIT;
  weights.lr = 0.02;
  weights.weight_decay = 1e-3;
  *group = weights;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = group;
  args.group_count = 1;
  args.max_grad_norm = 0.5; /* of the whole model: the record carries the norm of all slices */
  return args;
}

void print_result(double loss, const swd_stats* stats) {
  printf("loss %.6f   gradient norm %.6f   vbar %.6e   steps %llu\n", loss, stats->grad_norm, stats->vbar,
         (unsigned long long)stats->steps_applied);
}
