// SPDX-License-Identifier: Apache-2.0
// Math functions, Thrust and CUB algorithms, cooperative groups, cuRAND device
// code, several host threads.
#include <cooperative_groups.h>
#include <cooperative_groups/scan.h>
#include <curand_kernel.h>
#include <thrust/count.h>
#include <thrust/device_vector.h>
#include <thrust/extrema.h>
#include <thrust/functional.h>
#include <thrust/host_vector.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/transform.h>
#include <thrust/unique.h>

#include <algorithm>
#include <cub/cub.cuh>
#include <cuda/atomic>
#include <thread>

#include "common.h"

namespace cg = cooperative_groups;
struct Tf {
  __host__ __device__ int operator()(int x) const { return (int)((long long)x * 7919 % 1000); }
};
struct Lt10 {
  __host__ __device__ bool operator()(int x) const { return x < 10; }
};
struct M3 {
  __host__ __device__ bool operator()(int x) const { return x % 3 == 0; }
};
struct Ls {
  __host__ __device__ bool operator()(int a, int b) const { return a < b; }
};

__global__ void mathK(float* o, int n) {
  int i = threadIdx.x + blockIdx.x * blockDim.x;
  if (i >= n) return;
  float x = fmaf(i, 0.04f, -20.f);
  o[i * 8] = sinf(x);
  o[i * 8 + 1] = expf(x * 0.5f);
  o[i * 8 + 2] = logf(fabsf(x) + 1e-3f);
  o[i * 8 + 3] = powf(fabsf(x), 1.7f);
  o[i * 8 + 4] = (float)erf((double)x * 0.1);
  o[i * 8 + 5] = tanhf(x);
  o[i * 8 + 6] = (float)exp((double)x);
  o[i * 8 + 7] = (float)pow(fabs((double)x), 0.3);
}
static void math() {
  int n = 1000;
  std::vector<float> h(n * 8);
  float* d = upload(h);
  mathK<<<8, 128>>>(d, n);
  h = download(d, n * 8);
  for (int i = 0; i < n; i++) {
    float x = fmaf(i, 0.04f, -20.f);
    double w[8] = {sin((double)x), exp(x * 0.5), log(fabs(x) + 1e-3), pow(fabs(x), 1.7),
                   erf(x * 0.1),   tanh(x),      exp((double)x),      pow(fabs((double)x), 0.3)};
    for (int j = 0; j < 8; j++) CHECK(fabs(h[i * 8 + j] - w[j]) <= fabs(w[j]) * 3e-6 + 2e-6);
  }
}
static void threads() {
  std::vector<std::thread> t;
  for (int q = 0; q < 4; q++)
    t.emplace_back([] {
      cudaStream_t s;
      CU(cudaStreamCreate(&s));
      float* d;
      CU(cudaMalloc(&d, 32 * 256));
      for (int i = 0; i < 20; i++) {
        mathK<<<1, 256, 0, s>>>(d, 256);
        CU(cudaStreamSynchronize(s));
      }
      CU(cudaFree(d));
      CU(cudaStreamDestroy(s));
    });
  for (auto& x : t) x.join();
}
static void thrustMany() {
  int n = 30000;
  thrust::device_vector<int> a(n);
  thrust::sequence(a.begin(), a.end());
  thrust::transform(a.begin(), a.end(), a.begin(), Tf());
  thrust::device_vector<int> v = a;
  thrust::sort_by_key(a.begin(), a.end(), v.begin(), thrust::greater<int>());
  thrust::host_vector<int> h = a;
  for (int i = 1; i < n; i++) CHECK(h[i - 1] >= h[i]);
  CHECK(thrust::unique(a.begin(), a.end()) - a.begin() == 1000);
  CHECK(thrust::count_if(v.begin(), v.end(), Lt10()) == 300);
  CHECK(*thrust::max_element(v.begin(), v.end()) == 999);
}
static void cubMore() {
  int n = 50000;
  std::vector<int> h(n);
  for (int i = 0; i < n; i++) h[i] = (int)((unsigned)i * 2654435761u >> 20);
  int* d = upload(h);
  int *o, *c, *num;
  CU(cudaMalloc(&o, n * 4));
  CU(cudaMalloc(&c, 4 * 4096));
  CU(cudaMalloc(&num, 4));
  void* t = nullptr;
  size_t b = 0;
  CU(cub::DeviceHistogram::HistogramEven(t, b, d, c, 4097, 0, 4096, n));
  CU(cudaMalloc(&t, b));
  CU(cub::DeviceHistogram::HistogramEven(t, b, d, c, 4097, 0, 4096, n));
  std::vector<int> w(4096);
  for (int x : h) w[x]++;
  CHECK(download(c, 4096) == w);
  t = nullptr;
  CU(cub::DeviceSelect::If(t, b, d, o, num, n, M3()));
  CU(cudaMalloc(&t, b));
  CU(cub::DeviceSelect::If(t, b, d, o, num, n, M3()));
  CHECK(download(num, 1)[0] == std::count_if(h.begin(), h.end(), M3()));
  t = nullptr;
  CU(cub::DeviceMergeSort::SortKeys(t, b, d, n, Ls()));
  CU(cudaMalloc(&t, b));
  CU(cub::DeviceMergeSort::SortKeys(t, b, d, n, Ls()));
  std::sort(h.begin(), h.end());
  CHECK(download(d, n) == h);
  t = nullptr;
  std::vector<int> off = {0, 100, 100, 5000, 50000};
  int* doff = upload(off);
  CU(cub::DeviceSegmentedReduce::Sum(t, b, d, o, 4, doff, doff + 1));
  CU(cudaMalloc(&t, b));
  CU(cub::DeviceSegmentedReduce::Sum(t, b, d, o, 4, doff, doff + 1));
  auto so = download(o, 4);
  for (int s = 0; s < 4; s++) {
    int q = 0;
    for (int i = off[s]; i < off[s + 1]; i++) q += h[i];
    CHECK(so[s] == q);
  }
}
__global__ void cgK(int* o) {
  auto b = cg::this_thread_block();
  auto t = cg::tiled_partition<16>(b);
  int v = t.thread_rank();
  o[b.thread_rank()] = cg::exclusive_scan(t, v, cg::plus<int>());
  if (threadIdx.x % 3 == 0) {
    auto a = cg::coalesced_threads();
    o[b.thread_rank()] += 1000 * a.size();
  }
  b.sync();
#if __CUDA_ARCH__ >= 800
  auto big = cg::tiled_partition<128>(b);
  big.sync();
#endif
  cuda::atomic_ref<int, cuda::thread_scope_device> r(o[256]);
  r.fetch_add(1, cuda::memory_order_relaxed);
}
static void cgScan() {
  int* d;
  CU(cudaMalloc(&d, 2000));
  CU(cudaMemset(d, 0, 2000));
  cgK<<<1, 256>>>(d);
  auto h = download(d, 257);
  for (int i = 0; i < 256; i++) CHECK(h[i] % 1000 == (i % 16) * (i % 16 - 1) / 2);
  CHECK(h[256] == 256);
}
__global__ void rnd(float* o) {
  curandStatePhilox4_32_10_t s;
  curand_init(1234, threadIdx.x, 0, &s);
  float4 v = curand_normal4(&s);
  o[threadIdx.x] = v.x + v.y + v.z + v.w;
  curandState x;
  curand_init(7, threadIdx.x, 3, &x);
  o[threadIdx.x] += curand_uniform(&x);
}
static void curand() {
  float* d;
  CU(cudaMalloc(&d, 256));
  rnd<<<1, 64>>>(d);
  for (float f : download(d, 64)) CHECK(std::isfinite(f));
}
int main() {
  math();
  threads();
  thrustMany();
  cubMore();
  cgScan();
  curand();
  printf("algorithms ok\n");
  return 0;
}
