// SPDX-License-Identifier: Apache-2.0
// A kernel with an instruction the simulator does not know must fail to launch
// with a clear message while other kernels of the module keep working.
#include "common.h"

__global__ void good(int* o) { *o = 42; }
__global__ void bad(int* o) {
  unsigned a = threadIdx.x, b = 0;
  asm volatile("wgmma.fence.sync.aligned;");
  *o = (int)(a + b);
}
int main() {
  int* o;
  CU(cudaMalloc(&o, 4));
  good<<<1, 1>>>(o);
  CHECK(download(o, 1)[0] == 42);
  bad<<<1, 1>>>(o);
  CHECK(cudaGetLastError() == cudaErrorInvalidPtx);
  good<<<1, 1>>>(o);
  CU(cudaDeviceSynchronize());
  printf("unsupported ok\n");
  return 0;
}
