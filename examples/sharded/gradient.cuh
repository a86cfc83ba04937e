// SPDX-License-Identifier: Apache-2.0
// loss_and_gradient() of model.c on a device, the gradient only. Used by main_nccl.cu.
#ifndef SWD_EXAMPLE_GRADIENT_CUH
#define SWD_EXAMPLE_GRADIENT_CUH
#include "model.h"

// One thread per sample of this rank: what each score adds to the loss.
__global__ void slope_kernel(const samples* all, int rank, int ranks, const float* param, float* slope) {
  int i = rank + ranks * static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= kSamples) return;
  double score[kClasses], sum = 0.0;
  for (int c = 0; c < kClasses; ++c) {
    score[c] = param[kWeights + c];
    for (int f = 0; f < kFeatures; ++f) score[c] += static_cast<double>(param[c * kFeatures + f]) * all->x[i][f];
    sum += exp(score[c]);
  }
  for (int c = 0; c < kClasses; ++c) {
    slope[i * kClasses + c] = static_cast<float>((exp(score[c]) / sum - (c == all->label[i])) / kSamples);
  }
}

// One thread per parameter, samples in order: no atomics.
__global__ void gradient_kernel(const samples* all, int rank, int ranks, const float* slope, float* grad) {
  int k = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (k >= kTotal) return;
  bool bias = k >= kWeights;
  int c = bias ? k - kWeights : k / kFeatures, f = k % kFeatures;
  float sum = 0.0f;
  for (int i = rank; i < kSamples; i += ranks) sum += slope[i * kClasses + c] * (bias ? 1.0f : all->x[i][f]);
  grad[k] = sum;
}

#endif
