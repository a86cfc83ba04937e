// SPDX-License-Identifier: Apache-2.0
// The same streams by the bulk copy engine of sm_90: tiles of each array into shared memory, several stages deep, and
// out again by bulk stores. fp32 without a copy only. Launched by roof_cuda.cu, which makes sure of the architecture:
// elsewhere the kernel is empty.
#pragma once
#include "roof_loops.cuh"

namespace swd::bench {

using Fp32Mix = Mix<4, 4, 0, 4, 0>;

#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void wait_for(const uint64_t* barrier, unsigned int parity) {
  unsigned int done = 0;
  while (!done) {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
  }
}

__device__ __forceinline__ void bulk_load(uint32_t to, const char* from, int bytes, uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}

__device__ __forceinline__ void bulk_store(char* to, uint32_t from, int bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(from), "r"(bytes)
               : "memory");
}

// One thread of a block moves all of its tiles.
template <int kBytes, int kStages, bool kWrites>
__device__ void bulk_tiles(const MixArrays<Fp32Mix>& a, char* buffer, uint64_t* full, int64_t tiles) {
  constexpr int kArrays = kWrites ? 4 : 1;
  for (int s = 0; s < kStages; ++s) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&full[s])) : "memory");
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  const char* from[4] = {reinterpret_cast<const char*>(a.g), reinterpret_cast<const char*>(a.p),
                         reinterpret_cast<const char*>(a.m), reinterpret_cast<const char*>(a.v)};
  char* to[4] = {nullptr, reinterpret_cast<char*>(a.p), reinterpret_cast<char*>(a.m), reinterpret_cast<char*>(a.v)};
  auto place = [&](int s, int array) { return shared_address(buffer + (s * kArrays + array) * kBytes); };
  auto fetch = [&](int64_t tile, int s) {
    uint32_t barrier = shared_address(&full[s]);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(kArrays * kBytes)
                 : "memory");
    for (int k = 0; k < kArrays; ++k) bulk_load(place(s, k), from[k] + tile * kBytes, kBytes, barrier);
  };
  int64_t next = blockIdx.x;
  for (int s = 0; s < kStages && next < tiles; ++s, next += gridDim.x) fetch(next, s);
  unsigned int parity = 0;
  int stage = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    wait_for(&full[stage], parity);
    if (kWrites) {
      for (int k = 1; k < kArrays; ++k) bulk_store(to[k] + tile * kBytes, place(stage, k), kBytes);
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
      // All stores but these have read their buffers, so the stage before this one is free.
      asm volatile("cp.async.bulk.wait_group.read 1;" ::: "memory");
    }
    if (tile != blockIdx.x && next < tiles) {
      fetch(next, (stage + kStages - 1) % kStages);
      next += gridDim.x;
    }
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
  if (kWrites) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}
#endif

template <int kBytes, int kStages, bool kWrites>
__global__ void __launch_bounds__(32) bulk_kernel(MixArrays<Fp32Mix> a, int64_t vectors, unsigned int mask) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) char buffer[];  // stages of all arrays
  __shared__ uint64_t full[kStages];
  constexpr int64_t kTile = kBytes / 16;
  int64_t tiles = vectors / kTile;
  if (threadIdx.x == 0) bulk_tiles<kBytes, kStages, kWrites>(a, buffer, full, tiles);
  if (blockIdx.x != tiles % gridDim.x) return;
  for (int64_t i = tiles * kTile + threadIdx.x; i < vectors; i += blockDim.x) {
    if (kWrites) {
      mix_row<Fp32Mix, Hint::kStream, 1>(a, i, mask);
    } else {
      unsigned int seen = read_row<Hint::kStream, 1>(a.g, i);
      if (seen & mask) sink = seen;
    }
  }
#endif
}

}  // namespace swd::bench
