// SPDX-License-Identifier: Apache-2.0
// Every checker must fire. usage: detect <case>; exit code 0 when the expected
// error was returned. run.sh also checks the diagnostic text.
#include <cassert>
#include <string>

#include "common.h"

__global__ void write1(int* p, int i) { p[i] = 1; }
__global__ void read1(const int* p, int i, int* o) { *o = p[i]; }
__global__ void mis(char* p) { *(int*)(p + 1) = 3; }
__global__ void sharedOob(int* o, int i) {
  __shared__ int s[32];
  s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  o[threadIdx.x] = s[threadIdx.x + i];
}
__global__ void deadlock(int* o, int k) {
  if (threadIdx.x < 32)
    asm volatile("bar.sync 1, 64;");
  else
    asm volatile("bar.sync 2, 64;");
  *o = k;
}
__global__ void livelock(volatile int* p) {
  while (*p == 0) {
  }
}
__global__ void sharedRace(int* o) {
  __shared__ int s[64];
  s[threadIdx.x] = threadIdx.x;
  o[threadIdx.x] = s[63 - threadIdx.x];  // no barrier
}
__global__ void warpRace(int* o) {
  __shared__ volatile int s[32];
  s[threadIdx.x] = threadIdx.x;
  o[threadIdx.x] = s[31 - threadIdx.x];  // no __syncwarp
}
__global__ void noSharedRace(int* o) {
  __shared__ int s[64];
  for (int k = 0; k < 3; k++) {
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    int v = s[63 - threadIdx.x];
    v += __shfl_xor_sync(~0u, v, 1);
    __syncthreads();
    o[threadIdx.x] = v;
  }
  s[threadIdx.x] = 1;
  __syncwarp();
  o[threadIdx.x] += s[threadIdx.x ^ 1];
}
__global__ void histoRace(int* o, int barrier) {  // atomics, then reads by other warps
  __shared__ int h[32];
  if (threadIdx.x < 32) h[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(&h[threadIdx.x % 32], 1);
  if (barrier) __syncthreads();
  o[threadIdx.x] = h[(threadIdx.x + 1) % 32];
}
__global__ void sharedLock(int* o) {  // a lock in shared memory with fences
  __shared__ int lock, v;
  if (threadIdx.x == 0) lock = v = 0;
  __syncthreads();
  bool done = false;
  while (!done) {
    if (atomicCAS(&lock, 0, 1) == 0) {
      __threadfence_block();
      v = v + 1;
      __threadfence_block();
      atomicExch(&lock, 0);
      done = true;
    }
    __syncwarp(__activemask());
  }
  __syncthreads();
  o[threadIdx.x] = v;
}
// op 0: prefetch.global, 1: generic, 2: bulk of 64 bytes
__global__ void prefetch(const char* p, int op) {
  if (op == 0) asm volatile("prefetch.global.L2 [%0+-8];" ::"l"(p + threadIdx.x * 4));
  if (op == 1) asm volatile("prefetch.L1 [%0];" ::"l"(p + threadIdx.x * 4));
  if (op == 2) asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"(64));
}
__global__ void prefetchShared() {
  __shared__ int s[32];
  asm volatile("prefetch.L1 [%0];" ::"l"(s + threadIdx.x));
}
__device__ unsigned cnt;
__global__ void globalRace(int* x) { x[0] = blockIdx.x; }
__global__ void lastBlockNoFence(int* x, int* o, int fence) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    x[blockIdx.x] = blockIdx.x;
    if (fence) __threadfence();
    last = atomicAdd(&cnt, 1) == gridDim.x - 1;
    if (last) {
      int s = 0;
      for (int i = 0; i < gridDim.x; i++) s += x[i];
      *o = s;
    }
  }
}
__global__ void markBlock(int* p) { p[blockIdx.x] = 1 + (int)blockIdx.x; }
__global__ void doAssert(int v) { assert(v == 3); }
__global__ void doPrintf() { printf("hello %d %s %.2f %lld %c%%\n", threadIdx.x, "text", 1.5, 123456789012ll, 'x'); }
__global__ void doTrap() { asm volatile("trap;"); }
__global__ void nullk(int* p) { *p = 1; }
__global__ void localOob(int* o, int i) {
  int a[4] = {1, 2, 3, 4};
  a[i] = 7;
  o[0] = a[(i + 1) & 3];
}
__global__ void hostPtr(int* p) { *p = 5; }

static void expect(cudaError_t want) {
  cudaError_t e = cudaDeviceSynchronize();
  if (e != want) {
    fprintf(stderr, "expected %s, got %s\n", cudaGetErrorName(want), cudaGetErrorName(e));
    exit(1);
  }
  if (want != cudaSuccess) {  // sticky: every later call fails until the device is reset
    int* q;
    CHECK(cudaMalloc(&q, 4) == want);
    CHECK(cudaGetLastError() == want);
    CHECK(cudaGetLastError() == want);
    CU(cudaDeviceReset());
    CU(cudaMalloc(&q, 4));
  }
}

int main(int argc, char** argv) {
  std::string c = argc > 1 ? argv[1] : "";
  int *p, *o;
  CU(cudaMalloc(&p, 400));
  CU(cudaMalloc(&o, 400));
  if (c == "oob") {
    write1<<<1, 1>>>(p, 100);
    expect(cudaErrorIllegalAddress);
  } else if (c == "oobneg") {
    write1<<<1, 1>>>(p, -1);
    expect(cudaErrorIllegalAddress);
  } else if (c == "prefetchbefore") {
    prefetch<<<1, 32>>>((char*)p + 4, 0);
    expect(cudaErrorIllegalAddress);
  } else if (c == "prefetchnull") {
    prefetch<<<1, 32>>>(nullptr, 1);
    expect(cudaErrorIllegalAddress);
  } else if (c == "prefetchpast") {
    prefetch<<<1, 1>>>((char*)p + 352, 2);
    expect(cudaErrorIllegalAddress);
  } else if (c == "prefetchfreed") {
    CU(cudaFree(p));
    prefetch<<<1, 1>>>((char*)p, 1);
    expect(cudaErrorIllegalAddress);
  } else if (c == "prefetchok") {
    prefetch<<<1, 32>>>((char*)p + 8, 0);
    prefetch<<<1, 32>>>((char*)p + 272, 1);
    prefetch<<<1, 1>>>((char*)p + 336, 2);
    prefetchShared<<<1, 32>>>();
    expect(cudaSuccess);
    printf("prefetchok ok\n");
  } else if (c == "uaf") {
    CU(cudaFree(p));
    write1<<<1, 1>>>(p, 0);
    expect(cudaErrorIllegalAddress);
  } else if (c == "misaligned") {
    mis<<<1, 1>>>((char*)p);
    expect(cudaErrorMisalignedAddress);
  } else if (c == "shared") {
    sharedOob<<<1, 32>>>(o, 1);
    expect(cudaErrorIllegalAddress);
  } else if (c == "null") {
    nullk<<<1, 1>>>(nullptr);
    expect(cudaErrorIllegalAddress);
  } else if (c == "hostptr") {
    int h;
    hostPtr<<<1, 1>>>(&h);
    expect(cudaErrorIllegalAddress);
  } else if (c == "local") {
    localOob<<<1, 1>>>(o, 100000);
    expect(cudaErrorIllegalAddress);
  } else if (c == "deadlock") {
    deadlock<<<1, 64>>>(o, 1);
    expect(cudaErrorLaunchTimeout);
  } else if (c == "livelock") {
    CU(cudaMemset(p, 0, 4));
    livelock<<<1, 1>>>(p);
    expect(cudaErrorLaunchTimeout);
  } else if (c == "sharedrace") {
    sharedRace<<<1, 64>>>(o);
    expect(cudaErrorLaunchFailure);
  } else if (c == "warprace") {
    warpRace<<<1, 32>>>(o);
    expect(cudaErrorLaunchFailure);
  } else if (c == "norace") {
    noSharedRace<<<4, 64>>>(o);
    expect(cudaErrorLaunchFailure);
  } else if (c == "noracesingle") {
    noSharedRace<<<1, 64>>>(o);
    expect(cudaSuccess);
  } else if (c == "historace") {
    histoRace<<<1, 64>>>(o, 0);
    expect(cudaErrorLaunchFailure);
  } else if (c == "historaceok") {
    histoRace<<<1, 64>>>(o, 1);
    expect(cudaSuccess);
  } else if (c == "sharedlock") {
    sharedLock<<<1, 96>>>(o);
    expect(cudaSuccess);
    CHECK(download(o, 1)[0] == 96);
  } else if (c == "globalrace") {
    globalRace<<<4, 1>>>(p);
    expect(cudaErrorLaunchFailure);
  } else if (c == "nofence") {
    lastBlockNoFence<<<20, 32>>>(p, o, 0);
    expect(cudaErrorLaunchFailure);
  } else if (c == "fence") {
    lastBlockNoFence<<<20, 32>>>(p, o, 1);
    expect(cudaSuccess);
    CHECK(download(o, 1)[0] == 190);
  } else if (c == "uninit") {
    read1<<<1, 1>>>(p, 3, o);
    expect(cudaErrorIllegalAddress);
  } else if (c == "init") {
    CU(cudaMemset(p, 0, 16));
    read1<<<1, 1>>>(p, 3, o);
    expect(cudaSuccess);
  } else if (c == "ends") {  // the first and last blocks of a large grid, all of a smaller one
    int *q, blocks = 100000;
    CU(cudaMalloc(&q, (size_t)blocks * 4));
    CU(cudaMemset(q, 0, (size_t)blocks * 4));
    markBlock<<<blocks, 1>>>(q);
    std::vector<int> seen = download(q, (size_t)blocks);
    for (int i = 0; i < blocks; i++) CHECK(seen[(size_t)i] == (i < 3 || i >= blocks - 3 ? 1 + i : 0));
    markBlock<<<16384, 1>>>(q);
    seen = download(q, 16384);
    for (int i = 0; i < 16384; i++) CHECK(seen[(size_t)i] == 1 + i);
  } else if (c == "poison") {
    read1<<<1, 1>>>(p, 3, o);
    expect(cudaSuccess);
    CHECK(download(o, 1)[0] == -1);
  } else if (c == "assert") {
    doAssert<<<1, 1>>>(4);
    expect(cudaErrorAssert);
  } else if (c == "printf") {
    doPrintf<<<1, 2>>>();
    expect(cudaSuccess);
  } else if (c == "trap") {
    doTrap<<<1, 1>>>();
    expect(cudaErrorLaunchFailure);
  } else if (c == "leak") {
  } else if (c == "hostderef") {
    return p[0];
  } else if (c == "badfree") {
    CHECK(cudaFree((char*)p + 16) == cudaErrorInvalidValue);
    CU(cudaFree(p));
    CHECK(cudaFree(p) == cudaErrorInvalidValue);
  } else if (c == "config") {
    write1<<<1, 2000>>>(p, 0);
    CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
    CHECK(cudaGetLastError() == cudaSuccess);  // not sticky
    write1<<<0, 1>>>(p, 0);
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
    write1<<<1, 1>>>(p, 0);
    expect(cudaSuccess);
    char buf[400];
    CHECK(cudaMemcpy(buf, p, 401, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(buf, p, 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cudaGetLastError();
    CHECK(cudaStreamSynchronize((cudaStream_t)0x1234) == cudaErrorInvalidResourceHandle);
    cudaDeviceProp pr;
    CU(cudaGetDeviceProperties(&pr, 0));
    CHECK(pr.multiProcessorCount == 132 && pr.major == 9 && pr.warpSize == 32 && pr.sharedMemPerBlockOptin == 232448);
    CHECK(cudaSetDevice(5) == cudaErrorInvalidDevice);
    CHECK(!strcmp(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress"));
    CHECK(!strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory"));
    void* big;
    CHECK(cudaMalloc(&big, (size_t)1 << 45) == cudaErrorMemoryAllocation);
    cudaFuncAttributes fa;
    CU(cudaFuncGetAttributes(&fa, sharedOob));
    CHECK(fa.sharedSizeBytes == 128 && fa.numRegs > 0 && fa.ptxVersion >= 70);
  } else {
    fprintf(stderr, "unknown case\n");
    return 2;
  }
  printf("%s ok\n", c.c_str());
  return 0;
}
