// SPDX-License-Identifier: Apache-2.0
// Relocatable device code: a function, a variable and a kernel in two objects.
#include "common.h"

__device__ int shared_value = 11;
extern __device__ int twice(int x);
extern __global__ void other(int* o);
static __global__ void first(int* o) { o[threadIdx.x] = twice(threadIdx.x) + shared_value; }

int main() {
  int* o;
  CU(cudaMalloc(&o, 256));
  first<<<1, 64>>>(o);
  auto r = download(o, 64);
  for (int i = 0; i < 64; i++) CHECK(r[i] == 2 * i + 11);
  other<<<1, 64>>>(o);
  r = download(o, 64);
  for (int i = 0; i < 64; i++) CHECK(r[i] == i + 11);
  printf("rdc ok\n");
  return 0;
}
