// SPDX-License-Identifier: Apache-2.0
// Without PTX a launch reports cudaErrorNoKernelImageForDevice.
#include "common.h"
__global__ void k(int* o) { *o = 1; }
int main() {
  int* o;
  CU(cudaMalloc(&o, 4));
  k<<<1, 1>>>(o);
  CHECK(cudaGetLastError() == cudaErrorNoKernelImageForDevice);
  printf("sassonly ok\n");
  return 0;
}
