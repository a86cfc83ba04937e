// SPDX-License-Identifier: Apache-2.0
// cp.async, mbarrier and cp.async.bulk double buffering.
#include <cuda_pipeline.h>

#include <cuda/barrier>
#include <cuda/ptx>

#include "common.h"

__global__ void cpAsync(const float4* x, float4* y, int n) {
  __shared__ float4 buf[2][128];
  int t = threadIdx.x, tiles = n / 128, st = 0;
  int first = blockIdx.x, step = gridDim.x;
  if (first < tiles) __pipeline_memcpy_async(&buf[0][t], &x[first * 128 + t], 16);
  __pipeline_commit();
  for (int i = first; i < tiles; i += step, st ^= 1) {
    if (i + step < tiles) __pipeline_memcpy_async(&buf[st ^ 1][t], &x[(i + step) * 128 + t], 16);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    float4 v = buf[st][127 - t];
    __syncthreads();
    y[i * 128 + t] = make_float4(v.x * 2, v.y, v.z, v.w);
  }
}
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
using barrier = cuda::barrier<cuda::thread_scope_block>;
namespace ptx = cuda::ptx;
__global__ void bulk(const float* x, float* y, int tiles) {
  constexpr int T = 1024;
  __shared__ alignas(128) float buf[2][T];
  __shared__ alignas(128) float outb[T];
  __shared__ uint64_t bar[2];
  int t = threadIdx.x;
  if (t == 0) {
    ptx::mbarrier_init(&bar[0], 1);
    ptx::mbarrier_init(&bar[1], 1);
    ptx::fence_proxy_async(ptx::space_shared);
  }
  __syncthreads();
  auto issue = [&](int i, int s) {
    ptx::mbarrier_arrive_expect_tx(ptx::sem_release, ptx::scope_cta, ptx::space_shared, &bar[s], T * 4);
    ptx::cp_async_bulk(ptx::space_cluster, ptx::space_global, buf[s], x + (size_t)i * T, T * 4, &bar[s]);
  };
  int phase[2] = {0, 0}, s = 0;
  if (t == 0 && blockIdx.x < tiles) issue(blockIdx.x, 0);
  for (int i = blockIdx.x; i < tiles; i += gridDim.x, s ^= 1) {
    if (t == 0 && i + gridDim.x < tiles) issue(i + gridDim.x, s ^ 1);
    while (!ptx::mbarrier_try_wait_parity(&bar[s], phase[s])) {
    }
    phase[s] ^= 1;
    for (int k = t; k < T; k += blockDim.x) outb[k] = buf[s][k] * 3.f;
    ptx::fence_proxy_async(ptx::space_shared);
    __syncthreads();
    if (t == 0) {
      ptx::cp_async_bulk(ptx::space_global, ptx::space_shared, y + (size_t)i * T, outb, T * 4);
      ptx::cp_async_bulk_commit_group();
      ptx::cp_async_bulk_wait_group_read(ptx::n32_t<0>());
    }
    __syncthreads();
  }
}
__global__ void blockBarrier(int* o) {
  __shared__ barrier b;
  __shared__ int v[64];
  if (threadIdx.x == 0) init(&b, blockDim.x);
  __syncthreads();
  for (int k = 0; k < 5; k++) {
    v[threadIdx.x] = threadIdx.x * (k + 1);
    b.arrive_and_wait();
    o[threadIdx.x] = v[(threadIdx.x + 7) % 64];
    b.arrive_and_wait();
  }
}
#else
__global__ void bulk(const float*, float*, int) {}
__global__ void blockBarrier(int*) {}
#endif

int main() {
  int n = 128 * 37;
  std::vector<float4> x(n), y(n);
  for (int i = 0; i < n; i++) x[i] = make_float4(i, 1, 2, 3);
  auto *dx = upload(x), *dy = upload(y);
  cpAsync<<<5, 128>>>(dx, dy, n);
  CU(cudaDeviceSynchronize());
  y = download(dy, n);
  for (int i = 0; i < n; i++) CHECK(y[i].x == 2.f * (i / 128 * 128 + 127 - i % 128));
#ifdef SM90
  int tiles = 23;
  std::vector<float> a(tiles * 1024), b(tiles * 1024);
  for (size_t i = 0; i < a.size(); i++) a[i] = (float)i;
  auto *da = upload(a), *db = upload(b);
  bulk<<<4, 128>>>(da, db, tiles);
  CU(cudaDeviceSynchronize());
  b = download(db, b.size());
  for (size_t i = 0; i < a.size(); i++) CHECK(b[i] == a[i] * 3.f);
  int* o;
  CU(cudaMalloc(&o, 256));
  blockBarrier<<<1, 64>>>(o);
  CU(cudaDeviceSynchronize());
  auto r = download(o, 64);
  for (int i = 0; i < 64; i++) CHECK(r[i] == (i + 7) % 64 * 5);
#endif
  printf("bulk ok\n");
  return 0;
}
