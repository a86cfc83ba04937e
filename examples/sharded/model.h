/* SPDX-License-Identifier: Apache-2.0
 * What the sharded examples train: softmax regression on points around one centre per class. Used by main.c and
 * main_nccl.cu. */
#ifndef SWD_EXAMPLE_MODEL_H
#define SWD_EXAMPLE_MODEL_H
#include "slice.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { kFeatures = 64, kClasses = 8, kSamples = 240, kWeights = kFeatures * kClasses, kTotal = kWeights + kClasses };
enum { kTensors = 2 };

extern const tensor model_tensors[kTensors];

typedef struct samples {
  float x[kSamples][kFeatures];
  int label[kSamples];
} samples;

/* The same on every rank. */
void make_samples(samples* out);

/* This rank's samples' part of the mean cross entropy of softmax(W x + b), and of its gradient. */
double loss_and_gradient(const samples* all, int rank, int ranks, const float* param, float* grad);

/* Hyper-parameters of the training; *group is written, and used by what is returned. */
swd_step_args training_args(swd_group* group);

void print_result(double loss, const swd_stats* stats);

#ifdef __cplusplus
}
#endif
#endif
