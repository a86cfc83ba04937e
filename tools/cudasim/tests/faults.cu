// SPDX-License-Identifier: Apache-2.0
// Fault injection by name and index, call counts.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "common.h"

__global__ void fill(int* p) { p[threadIdx.x] = threadIdx.x; }

static cudaError_t work() {
  int* p = nullptr;
  cudaError_t e = cudaMalloc(&p, 128);
  if (e) return e;
  fill<<<1, 32>>>(p);
  e = cudaGetLastError();
  int host[32];
  if (!e) e = cudaMemcpy(host, p, 128, cudaMemcpyDeviceToHost);
  if (!e && host[31] != 31) e = cudaErrorAssert;
  setenv("CUDASIM_FAIL", "", 1);
  cudaFree(p);
  return e;
}

int main() {
  auto count = (unsigned long long (*)(const char*))dlsym(RTLD_DEFAULT, "cudasimCallCount");
  CHECK(count != nullptr);
  CHECK(work() == cudaSuccess);
  CHECK(count("cudaMalloc") == 1 && count("cudaLaunchKernel") == 1 && count("cudaDeviceSynchronize") == 0);
  setenv("CUDASIM_FAIL", "cudaMalloc:1", 1);
  CHECK(work() == cudaErrorMemoryAllocation);
  cudaGetLastError();
  setenv("CUDASIM_FAIL", "cudaLaunchKernel:1:719", 1);
  CHECK(work() == cudaErrorLaunchFailure);
  setenv("CUDASIM_FAIL", "cudaMemcpy:2", 1);
  CHECK(work() == cudaSuccess);
  int failures = 0;
  for (int k = 1;; k++) {
    setenv("CUDASIM_FAIL", ("any:" + std::to_string(k)).c_str(), 1);
    if (work() == cudaSuccess) break;
    cudaGetLastError();
    failures++;
  }
  CHECK(failures == 3);
  int devices = -1;
  setenv("CUDASIM_FAIL", "cudaGetDeviceCount:1:35", 1);
  CHECK(cudaGetDeviceCount(&devices) == cudaErrorInsufficientDriver && devices == -1);
  CHECK(cudaGetLastError() == cudaErrorInsufficientDriver);
  CHECK(cudaGetDeviceCount(&devices) == cudaSuccess && devices == 1);
  setenv("CUDASIM_FAIL", "cudaDeviceGetAttribute:1", 1);
  CHECK(cudaDeviceGetAttribute(&devices, cudaDevAttrMultiProcessorCount, 0) == cudaErrorUnknown);
  cudaGetLastError();
  CHECK(count("cudaGetDeviceCount") == 2);
  printf("ok\n");
}
