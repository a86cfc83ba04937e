// SPDX-License-Identifier: Apache-2.0
// The strict race check: a reader must have acquired what other blocks wrote. usage: acquire <case>; each faulty case
// is a right one with one synchronization taken out. Prints "ok" if the launch succeeded, else the error's name.
#include <string>

#include "common.h"

__device__ unsigned ticket;

enum { kFence = 1, kWarpSync = 2, kShuffle = 4, kBarrier = 8, kAcquire = 16 };

// Each block leaves a number and takes a ticket; the last one adds them up, by one thread or by a warp.
__global__ void lastBlock(int* parts, int* out, int how, int lanes) {
  int lane = threadIdx.x;
  unsigned got = 0;
  if (lane == 0) {
    parts[blockIdx.x] = 1;
    __threadfence();
    if (how & kAcquire)
      asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(got) : "l"(&ticket) : "memory");
    else
      got = atomicAdd(&ticket, 1);
    if (how & kFence) __threadfence();
  }
  if (how & kWarpSync) __syncwarp();
  if (how & kBarrier) __syncthreads();
  got = __shfl_sync(~0u, got, 0);
  if (got != gridDim.x - 1) return;
  if (lane >= lanes) return;
  int sum = 0;
  for (int i = lane; i < gridDim.x; i += lanes) sum += parts[i];
  atomicAdd(out, sum);
  if (lane == 0) ticket = 0;  // depends on the atomic: needs no fence
}

// One block hands a number on by a flag that the others poll.
__global__ void flag(int* data, int* ready, int* out, int acquire) {
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    *data = 7;
    asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(ready) : "memory");
  } else {
    int seen = 0;
    while (!seen) {
      if (acquire)
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(ready) : "memory");
      else
        asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(ready) : "memory");
    }
    out[blockIdx.x] = *data;
  }
}

// Lanes of a warp hand numbers on in shared memory; a shuffle between them orders no memory.
__global__ void lanes(int* out, int sync) {
  __shared__ int s[32];
  s[threadIdx.x] = threadIdx.x;
  if (sync)
    __syncwarp();
  else
    out[threadIdx.x] = __shfl_xor_sync(~0u, threadIdx.x, 1);
  out[threadIdx.x] += s[threadIdx.x ^ 1];
}

int main(int argc, char** argv) {
  std::string c = argc > 1 ? argv[1] : "";
  int *data, *out;
  CU(cudaMalloc(&data, 256));
  CU(cudaMalloc(&out, 256));
  CU(cudaMemset(data, 0, 256));
  CU(cudaMemset(out, 0, 256));
  const int blocks = 24;
  auto last = [&](int how, int lanes) { lastBlock<<<blocks, 32>>>(data, out, how, lanes); };
  if (c == "nofence")
    last(0, 1);
  else if (c == "fence")
    last(kFence, 1);
  else if (c == "acquire")
    last(kAcquire, 1);
  else if (c == "warp")
    last(kFence | kWarpSync, 32);
  else if (c == "warpnosync")
    last(kFence, 32);
  else if (c == "warpnofence")
    last(kWarpSync, 32);
  else if (c == "barrier")
    last(kAcquire | kBarrier, 32);
  else if (c == "barriernofence")
    last(kBarrier, 32);
  else if (c == "flag")
    flag<<<4, 32>>>(data, data + 32, out, 1);
  else if (c == "flagrelaxed")
    flag<<<4, 32>>>(data, data + 32, out, 0);
  else if (c == "lanes" || c == "lanesshuffle")
    lanes<<<1, 32>>>(out, c == "lanes");
  else
    return 2;
  cudaError_t e = cudaDeviceSynchronize();
  if (e == cudaSuccess && c.find("flag") && c.find("lanes")) CHECK(download(out, 1)[0] == blocks);
  printf("%s\n", e == cudaSuccess ? "ok" : cudaGetErrorName(e));
  return 0;
}
