// SPDX-License-Identifier: Apache-2.0
// Streaming kernels that move the bytes of a pass and compute next to nothing: a read of one array, and the reads and
// writes of an update. Every value stays what it is. Launched by roof_cuda.cu.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <type_traits>

#include "roof_mix.h"

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

template <Hint kHint, class Vector>
__device__ __forceinline__ Vector load(const Vector* from) {
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

// Four elements of so many bytes; of none four bytes, that are not there.
template <int kBytes>
using Vector = std::conditional_t<kBytes == 4, uint4, std::conditional_t<kBytes == 2, uint2, unsigned int>>;

__device__ __forceinline__ unsigned int& first_of(uint4& x) { return x.x; }
__device__ __forceinline__ unsigned int& first_of(uint2& x) { return x.x; }
__device__ __forceinline__ unsigned int& first_of(unsigned int& x) { return x; }

template <class M>
struct MixArrays {
  Vector<M::kParam>* p;
  const Vector<M::kGrad>* g;
  Vector<M::kMoment>* m;
  Vector<M::kMoment>* v;
  Vector<M::kRemainder>* rest;
  Vector<M::kCopy>* copy;
};

template <class M, Hint kHint, int kUnroll>
__device__ __forceinline__ void mix_row(const MixArrays<M>& a, int64_t at, unsigned int mask) {
  Vector<M::kParam> p[kUnroll];
  Vector<M::kMoment> m[kUnroll], v[kUnroll];
  Vector<M::kRemainder> rest[kUnroll];
  Vector<M::kGrad> g[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    int64_t i = at + u * int64_t{blockDim.x};
    g[u] = load<kHint>(a.g + i);
    p[u] = load<kHint>(a.p + i);
    m[u] = load<kHint>(a.m + i);
    v[u] = load<kHint>(a.v + i);
    if constexpr (M::kRemainder > 0) rest[u] = load<kHint>(a.rest + i);
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    int64_t i = at + u * int64_t{blockDim.x};
    unsigned int bit = (g[u].x ^ g[u].y) & mask;
    first_of(p[u]) ^= bit;
    first_of(m[u]) ^= bit;
    first_of(v[u]) ^= bit;
    store<kHint>(a.p + i, p[u]);
    store<kHint>(a.m + i, m[u]);
    store<kHint>(a.v + i, v[u]);
    if constexpr (M::kRemainder > 0) {
      first_of(rest[u]) ^= bit;
      store<kHint>(a.rest + i, rest[u]);
    }
    if constexpr (M::kCopy > 0) store<kHint>(a.copy + i, uint2{p[u].x, p[u].z});
  }
}

template <class M, Hint kHint, int kUnroll>
__global__ void mix_kernel(MixArrays<M> a, int64_t vectors, bool reversed, unsigned int mask) {
  int64_t tile = int64_t{blockDim.x} * kUnroll, tiles = vectors / tile;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    mix_row<M, kHint, kUnroll>(a, (reversed ? tiles - 1 - t : t) * tile + threadIdx.x, mask);
  }
  if (blockIdx.x != tiles % gridDim.x) return;
  for (int64_t i = tiles * tile + threadIdx.x; i < vectors; i += blockDim.x) {
    mix_row<M, kHint, 1>(a, i, mask);
  }
}

}  // namespace swd::bench
