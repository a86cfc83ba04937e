// SPDX-License-Identifier: Apache-2.0
// Streaming kernels that move the bytes of a pass and compute next to nothing: a read of one array, and the reads and
// writes of an update. Every value stays what it is. Launched by roof_cuda.cu.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

namespace swd::bench {

enum class Hint { kStream, kNone, kNoAllocate };

__device__ unsigned int sink;

template <Hint kHint>
__device__ __forceinline__ uint4 load(const uint4* from) {
  if constexpr (kHint == Hint::kStream) return __ldcs(from);
  if constexpr (kHint == Hint::kNone) return *from;
  uint4 x;
#if __CUDA_ARCH__ >= 800
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
#else
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
#endif
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(from));
  return x;
}

template <Hint kHint>
__device__ __forceinline__ uint2 load(const uint2* from) {
  if constexpr (kHint == Hint::kNone) return *from;
  return __ldcs(from);
}

template <Hint kHint, class Vector>
__device__ __forceinline__ void store(Vector* to, Vector x) {
  if constexpr (kHint == Hint::kNone) {
    *to = x;
  } else {
    __stcs(to, x);
  }
}

// `mask` is zero in all of these, but the compiler does not know: values stay what they are, and nothing is left out.
template <Hint kHint, int kUnroll>
__device__ __forceinline__ unsigned int read_row(const uint4* data, int64_t at) {
  uint4 x[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) x[u] = load<kHint>(data + at + u * int64_t{blockDim.x});
  unsigned int seen = 0;
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) seen |= x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
  return seen;
}

// Whole tiles of blockDim * kUnroll vectors without a test of their bounds; one block takes the rest, vector by vector.
template <Hint kHint, int kUnroll>
__global__ void read_kernel(const uint4* data, int64_t vectors, unsigned int mask) {
  int64_t tile = int64_t{blockDim.x} * kUnroll, tiles = vectors / tile;
  unsigned int seen = 0;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x)
    seen |= read_row<kHint, kUnroll>(data, t * tile + threadIdx.x);
  if (blockIdx.x == tiles % gridDim.x) {
    for (int64_t i = tiles * tile + threadIdx.x; i < vectors; i += blockDim.x) seen |= read_row<kHint, 1>(data, i);
  }
  if (seen & mask) sink = seen;
}

// Four elements a vector: Grad is uint4 (fp32) or uint2 (16 bits); a copy has 16 bits.
template <class Grad>
struct MixArrays {
  uint4* p;
  const Grad* g;
  uint4* m;
  uint4* v;
  uint2* copy;
};

template <class Grad, bool kCopy, Hint kHint, int kUnroll>
__device__ __forceinline__ void mix_row(const MixArrays<Grad>& a, int64_t at, unsigned int mask) {
  uint4 p[kUnroll], m[kUnroll], v[kUnroll];
  Grad g[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    int64_t i = at + u * int64_t{blockDim.x};
    g[u] = load<kHint>(a.g + i);
    p[u] = load<kHint>(a.p + i);
    m[u] = load<kHint>(a.m + i);
    v[u] = load<kHint>(a.v + i);
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    int64_t i = at + u * int64_t{blockDim.x};
    unsigned int bit = (g[u].x ^ g[u].y) & mask;
    p[u].x ^= bit;
    m[u].x ^= bit;
    v[u].x ^= bit;
    store<kHint>(a.p + i, p[u]);
    store<kHint>(a.m + i, m[u]);
    store<kHint>(a.v + i, v[u]);
    if (kCopy) store<kHint>(a.copy + i, uint2{p[u].x, p[u].z});
  }
}

template <class Grad, bool kCopy, Hint kHint, int kUnroll>
__global__ void mix_kernel(MixArrays<Grad> a, int64_t vectors, bool reversed, unsigned int mask) {
  int64_t tile = int64_t{blockDim.x} * kUnroll, tiles = vectors / tile;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    mix_row<Grad, kCopy, kHint, kUnroll>(a, (reversed ? tiles - 1 - t : t) * tile + threadIdx.x, mask);
  }
  if (blockIdx.x != tiles % gridDim.x) return;
  for (int64_t i = tiles * tile + threadIdx.x; i < vectors; i += blockDim.x) {
    mix_row<Grad, kCopy, kHint, 1>(a, i, mask);
  }
}

}  // namespace swd::bench
