// SPDX-License-Identifier: Apache-2.0
// What this device's memory gives to plain streaming kernels: the denominator of every ratio. They move the bytes of a
// pass with 16-byte accesses, several independent loads in flight and streaming hints, and compute next to nothing.
// Block size and unrolling are variants; measure.cpp takes the fastest.
#include <cuda_runtime_api.h>

#include "roof_cuda.h"

namespace swd::bench {
namespace {

constexpr int kThreads[] = {256, 512};
constexpr int kThreadChoices = 2;
constexpr int kUnrolls[] = {1, 2, 4};
constexpr int kUnrollChoices = 3;

__device__ unsigned int sink;

// `mask` is zero, but the compiler does not know: values stay what they are, and nothing can be left out.
template <int kUnroll>
__global__ void read_kernel(const uint4* data, int64_t vectors, unsigned int mask) {
  int64_t stride = int64_t{blockDim.x} * kUnroll;
  unsigned int seen = 0;
  for (int64_t at = blockIdx.x * stride + threadIdx.x; at < vectors; at += gridDim.x * stride) {
    uint4 x[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      int64_t i = at + u * int64_t{blockDim.x};
      x[u] = i < vectors ? __ldcs(data + i) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) seen |= x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
  }
  if (seen & mask) sink = seen;
}

__device__ uint4 widen(uint4 g) { return g; }
__device__ uint4 widen(uint2 g) { return uint4{g.x & 0xFFFFu, g.x >> 16, g.y & 0xFFFFu, g.y >> 16}; }

__device__ void keep(uint4& a, uint4 g, unsigned int mask) {
  a.x ^= g.x & mask;
  a.y ^= g.y & mask;
  a.z ^= g.z & mask;
  a.w ^= g.w & mask;
}

// Four elements at a time: Grad is uint4 (fp32) or uint2 (16 bits).
template <class Grad, bool kCopy, int kUnroll>
__global__ void mix_kernel(uint4* p, const Grad* g, uint4* m, uint4* v, uint2* copy, int64_t vectors,
                           unsigned int mask) {
  int64_t stride = int64_t{blockDim.x} * kUnroll;
  for (int64_t at = blockIdx.x * stride + threadIdx.x; at < vectors; at += gridDim.x * stride) {
    uint4 pp[kUnroll], mm[kUnroll], vv[kUnroll];
    Grad gg[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      int64_t i = at + u * int64_t{blockDim.x};
      if (i >= vectors) continue;
      gg[u] = __ldcs(g + i);
      pp[u] = __ldcs(p + i);
      mm[u] = __ldcs(m + i);
      vv[u] = __ldcs(v + i);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      int64_t i = at + u * int64_t{blockDim.x};
      if (i >= vectors) continue;
      uint4 x = widen(gg[u]);
      keep(pp[u], x, mask);
      keep(mm[u], x, mask);
      keep(vv[u], x, mask);
      __stcs(p + i, pp[u]);
      __stcs(m + i, mm[u]);
      __stcs(v + i, vv[u]);
      if (kCopy) __stcs(copy + i, uint2{pp[u].x, pp[u].z});
    }
  }
}

struct Launch {
  int threads;
  int blocks;
  cudaStream_t stream;
};

template <int kUnroll>
void launch_read(const RoofArrays& a, const Launch& at) {
  int64_t vectors = a.elements * a.grad_bytes / 16;
  read_kernel<kUnroll><<<at.blocks, at.threads, 0, at.stream>>>(static_cast<const uint4*>(a.grad), vectors, 0);
}

template <class Grad, bool kCopy, int kUnroll>
void launch_mix_of(const RoofArrays& a, const Launch& at) {
  mix_kernel<Grad, kCopy, kUnroll><<<at.blocks, at.threads, 0, at.stream>>>(
      static_cast<uint4*>(a.param), static_cast<const Grad*>(a.grad), static_cast<uint4*>(a.exp_avg),
      static_cast<uint4*>(a.exp_avg_sq), static_cast<uint2*>(a.param_copy), a.elements / 4, 0);
}

template <int kUnroll>
void launch_mix(const RoofArrays& a, const Launch& at) {
  bool narrow = a.grad_bytes == 2, copies = a.copy_bytes == 2;
  if (narrow && copies) launch_mix_of<uint2, true, kUnroll>(a, at);
  if (narrow && !copies) launch_mix_of<uint2, false, kUnroll>(a, at);
  if (!narrow && copies) launch_mix_of<uint4, true, kUnroll>(a, at);
  if (!narrow && !copies) launch_mix_of<uint4, false, kUnroll>(a, at);
}

template <int kUnroll>
void launch(RoofKind kind, const RoofArrays& arrays, const Launch& at) {
  if (kind == RoofKind::kRead) launch_read<kUnroll>(arrays, at);
  if (kind == RoofKind::kMix) launch_mix<kUnroll>(arrays, at);
}

// Enough blocks for every multiprocessor to be full, and no more than there is work for.
int block_count(int64_t elements, int threads, int unroll) {
  int processors = 0, resident = 0;
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
  cudaDeviceGetAttribute(&resident, cudaDevAttrMaxThreadsPerMultiProcessor, 0);
  int64_t full = int64_t{processors} * (resident / threads);
  int64_t work = elements / (int64_t{4} * threads * unroll) + 1;
  return static_cast<int>(work < full ? work : full);
}

}  // namespace

int roof_variants_cuda(RoofKind kind) { return kind == RoofKind::kMemcpy ? 1 : kThreadChoices * kUnrollChoices; }

int run_roof_cuda(RoofKind kind, int variant, const RoofArrays& arrays, void* stream) {
  auto queue = static_cast<cudaStream_t>(stream);
  if (kind == RoofKind::kMemcpy) {
    return cudaMemcpyAsync(arrays.exp_avg_sq, arrays.exp_avg, static_cast<size_t>(arrays.elements) * sizeof(float),
                           cudaMemcpyDeviceToDevice, queue);
  }
  int threads = kThreads[variant / kUnrollChoices], unroll = kUnrolls[variant % kUnrollChoices];
  Launch at{threads, block_count(arrays.elements, threads, unroll), queue};
  if (unroll == 1) launch<1>(kind, arrays, at);
  if (unroll == 2) launch<2>(kind, arrays, at);
  if (unroll == 4) launch<4>(kind, arrays, at);
  return cudaGetLastError();
}

}  // namespace swd::bench
