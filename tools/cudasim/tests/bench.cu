// SPDX-License-Identifier: Apache-2.0
// Throughput of the simulator itself.
#include <chrono>
#include <cub/cub.cuh>

#include "common.h"

__global__ void saxpy(int n, float a, const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}
__global__ void alu(float* o, int k) {
  float v = threadIdx.x, w = 1.000001f;
  for (int i = 0; i < k; i++) {
    v = v * w + 0.5f;
    w = w * v - v;
    v = fminf(v, w);
  }
  o[blockIdx.x * blockDim.x + threadIdx.x] = v;
}
__global__ void adam(float4* p, const float4* g, float4* m, float4* v, int n4, float lr, float b1, float b2,
                     float eps) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n4; i += gridDim.x * blockDim.x) {
    float4 P = p[i], G = g[i], M = m[i], V = v[i];
    float* pp = &P.x;
    const float* gg = &G.x;
    float* mm = &M.x;
    float* vv = &V.x;
#pragma unroll
    for (int k = 0; k < 4; k++) {
      mm[k] = b1 * mm[k] + (1 - b1) * gg[k];
      vv[k] = b2 * vv[k] + (1 - b2) * gg[k] * gg[k];
      pp[k] -= lr * mm[k] / (sqrtf(vv[k]) + eps);
    }
    p[i] = P;
    m[i] = M;
    v[i] = V;
  }
}
__global__ void reduce(const float* x, double* o, int n) {
  using BR = cub::BlockReduce<double, 256>;
  __shared__ typename BR::TempStorage ts;
  double s = 0;
  for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) s += (double)x[i] * x[i];
  s = BR(ts).Sum(s);
  if (threadIdx.x == 0) atomicAdd(o, s);
}
template <class F>
void timeIt(const char* name, double elems, F f) {
  auto t0 = std::chrono::steady_clock::now();
  f();
  CU(cudaDeviceSynchronize());
  double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
  printf("%-8s %.3f s, %.1f M elements/s\n", name, s, elems / s * 1e-6);
}
int main() {
  int n = 1 << 23;
  float *x, *y, *z, *w;
  double* o;
  CU(cudaMalloc(&x, n * 4));
  CU(cudaMalloc(&y, n * 4));
  CU(cudaMalloc(&z, n * 4));
  CU(cudaMalloc(&w, n * 4));
  CU(cudaMalloc(&o, 8));
  CU(cudaMemset(x, 0, n * 4));
  CU(cudaMemset(y, 0, n * 4));
  CU(cudaMemset(z, 0, n * 4));
  CU(cudaMemset(w, 0, n * 4));
  CU(cudaMemset(o, 0, 8));
  CU(cudaDeviceSynchronize());
  timeIt("saxpy", n, [&] { saxpy<<<n / 256, 256>>>(n, 2.f, x, y); });
  timeIt("alu", 1024 * 256 * 100, [&] { alu<<<1024, 256>>>(x, 100); });
  timeIt("adam", n,
         [&] { adam<<<1024, 256>>>((float4*)x, (float4*)y, (float4*)z, (float4*)w, n / 4, 1e-3f, .9f, .999f, 1e-8f); });
  timeIt("reduce", n, [&] { reduce<<<512, 256>>>(x, o, n); });
  return 0;
}
