// SPDX-License-Identifier: Apache-2.0
// Loading and unloading a library with kernels leaves no memory behind. Built twice: with LIBRARY as the library, else
// as the program. usage: reload LIBRARY; run.sh compares nothing, the program does.
#include <dlfcn.h>
#include <malloc.h>

#include "common.h"

#ifdef LIBRARY
template <int N>
__global__ void kernel(int* p) {
  p[threadIdx.x] = N;
}
__device__ int variable = 3;
template <int... N>
static void launch(int* p) {
  (kernel<N><<<1, 32>>>(p), ...);
}
extern "C" int run() {
  int* p;
  CU(cudaMalloc(&p, 128));
  launch<1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16>(p);
  int host[32], value;
  CU(cudaMemcpy(host, p, 128, cudaMemcpyDeviceToHost));
  CU(cudaMemcpyFromSymbol(&value, variable, sizeof value));
  CU(cudaFree(p));
  return host[31] + value;
}
#else
// Heap bytes in use after `cycles` times dlopen, with or without a launch, and dlclose.
static size_t used(const char* library, int cycles, bool launches) {
  for (int i = 0; i < cycles; i++) {
    void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle);
    if (launches) CHECK(((int (*)())dlsym(handle, "run"))() == 19);
    CHECK(dlclose(handle) == 0);
  }
  return mallinfo2().uordblks;
}
int main(int argc, char** argv) {
  CHECK(argc == 2);
  for (bool launches : {false, true}) {
    size_t first = used(argv[1], 10, launches), last = used(argv[1], 50, launches);
    long each = ((long)last - (long)first) / 50;
    fprintf(stderr, "%ld bytes stay for each cycle %s launches\n", each, launches ? "with" : "without");
    CHECK(each < (launches ? 2000 : 100));  // a record of each allocation stays, for diagnostics of stale pointers
  }
  printf("reload ok\n");
}
#endif
