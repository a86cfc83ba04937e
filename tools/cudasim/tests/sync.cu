// SPDX-License-Identifier: Apache-2.0
// Last-block reduction, cooperative grid sync, spin locks, named barriers,
// atomics, >48 KB dynamic shared memory, histogram, clusters.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "common.h"
namespace cg = cooperative_groups;

__device__ unsigned ticket = 0;
__global__ void lastBlock(const float* x, int n, volatile double* part, double* out) {
  __shared__ double sh[256];
  __shared__ bool last;
  double s = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
  sh[threadIdx.x] = s;
  __syncthreads();
  for (int k = 128; k > 0; k >>= 1) {
    if (threadIdx.x < k) sh[threadIdx.x] += sh[threadIdx.x + k];
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    part[blockIdx.x] = sh[0];
    __threadfence();
    last = atomicInc(&ticket, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    double t = 0;
    for (int b = 0; b < gridDim.x; b++) t += part[b];
    *out = t;
  }
}
__global__ void coop(float* x, double* part, double* out, int n) {
  cg::grid_group g = cg::this_grid();
  cg::thread_block b = cg::this_thread_block();
  auto tile = cg::tiled_partition<32>(b);
  double s = 0;
  for (int i = g.thread_rank(); i < n; i += g.size()) s += x[i];
  s = cg::reduce(tile, s, cg::plus<double>());
  __shared__ double w[32];
  if (tile.thread_rank() == 0) w[tile.meta_group_rank()] = s;
  b.sync();
  if (b.thread_rank() == 0) {
    double t = 0;
    for (int i = 0; i < tile.meta_group_size(); i++) t += w[i];
    part[blockIdx.x] = t;
  }
  g.sync();
  if (g.thread_rank() == 0) {
    double t = 0;
    for (int i = 0; i < gridDim.x; i++) t += part[i];
    *out = t;
  }
  g.sync();
  for (int i = g.thread_rank(); i < n; i += g.size()) x[i] /= (float)*out;
}
__device__ int lockWord = 0;
__global__ void spinLock(int* c) {  // every lane takes the lock: needs independent thread scheduling
  bool done = false;
  while (!done) {
    if (atomicCAS(&lockWord, 0, 1) == 0) {
      int v = *(volatile int*)c;
      *(volatile int*)c = v + 1;
      __threadfence();
      atomicExch(&lockWord, 0);
      done = true;
    }
  }
}
__device__ int lockWord2 = 0;
__global__ void spinLock2(int* c) {  // the naive form, deadlocks without forward progress of lanes
  while (atomicCAS(&lockWord2, 0, 1) != 0) {
  }
  int v = *(volatile int*)c;
  *(volatile int*)c = v + 1;
  __threadfence();
  atomicExch(&lockWord2, 0);
}
__global__ void named(int* o) {  // producer / consumer warps with named barriers
  __shared__ int buf[64];
  int t = threadIdx.x;
  if (t < 64) {
    buf[t] = t * 3;
    asm volatile("bar.arrive 1, 128;");
  } else {
    asm volatile("bar.sync 1, 128;");
    o[t - 64] = buf[t - 64];
  }
}
__global__ void bred(int* o) {
  int t = threadIdx.x;
  o[t * 3] = __syncthreads_count(t % 3 == 0);
  o[t * 3 + 1] = __syncthreads_and(t < 1000);
  o[t * 3 + 2] = __syncthreads_or(t == 77);
}
__global__ void histo(const unsigned char* x, int n, unsigned* h) {
  __shared__ unsigned sh[256];
  sh[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&sh[x[i]], 1u);
  __syncthreads();
  atomicAdd(&h[threadIdx.x], sh[threadIdx.x]);
}
__global__ void atomics(float* f, double* d, int* i, unsigned long long* u) {
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  atomicMax(i, (int)(blockIdx.x * blockDim.x + threadIdx.x));
  atomicMin(i + 1, -(int)threadIdx.x);
  atomicXor(i + 2, 1 << (threadIdx.x & 31));
  atomicAdd(u, 1ull << 33);
  atomicInc((unsigned*)i + 3, 9);
}
__global__ void bigShared(float* o, int n) {
  extern __shared__ float sm[];
  for (int i = threadIdx.x; i < n; i += blockDim.x) sm[i] = (float)i;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) o[i] = sm[n - 1 - i];
}
#if __CUDA_ARCH__ >= 900 || !defined(__CUDA_ARCH__)
__global__ void __cluster_dims__(4, 1, 1) clusterK(int* o) {
  __shared__ int v;
  cg::cluster_group c = cg::this_cluster();
  if (threadIdx.x == 0) v = blockIdx.x * 100;
  c.sync();
  int* remote = c.map_shared_rank(&v, (c.block_rank() + 1) % 4);
  if (threadIdx.x == 0) o[blockIdx.x] = *remote;
  c.sync();
}
#else
__global__ void clusterK(int*) {}
#endif

int main() {
  int n = 50000;
  std::vector<float> x(n);
  double want = 0;
  for (int i = 0; i < n; i++) x[i] = (float)(mix(i) % 512), want += x[i];
  float* dx = upload(x);
  double *part, *out;
  CU(cudaMalloc(&part, 1024 * 8));
  CU(cudaMalloc(&out, 8));
  for (int rep = 0; rep < 2; rep++) {
    lastBlock<<<40, 256>>>(dx, n, part, out);
    CHECK(download(out, 1)[0] == want);
  }
  {
    int nb;
    CU(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&nb, coop, 256, 0));
    CHECK(nb >= 1);
    void* args[] = {&dx, &part, &out, &n};
    CU(cudaLaunchCooperativeKernel(coop, dim3(64), dim3(256), args, 0, 0));
    CU(cudaDeviceSynchronize());
    CHECK(download(out, 1)[0] == want);
    CHECK(download(dx, 1)[0] == x[0] / (float)want);
    CHECK(cudaLaunchCooperativeKernel(coop, dim3(100000), dim3(256), args, 0, 0) == cudaErrorCooperativeLaunchTooLarge);
    CHECK(cudaGetLastError() == cudaErrorCooperativeLaunchTooLarge);
    CHECK(cudaGetLastError() == cudaSuccess);
  }
  int* c;
  CU(cudaMalloc(&c, 4));
  CU(cudaMemset(c, 0, 4));
  spinLock<<<4, 64>>>(c);
  CU(cudaDeviceSynchronize());
  CHECK(download(c, 1)[0] == 256);
  spinLock2<<<2, 64>>>(c);
  CU(cudaDeviceSynchronize());
  CHECK(download(c, 1)[0] == 256 + 128);
  int* o;
  CU(cudaMalloc(&o, 4096));
  named<<<1, 128>>>(o);
  auto r = download(o, 64);
  for (int i = 0; i < 64; i++) CHECK(r[i] == i * 3);
  bred<<<1, 100>>>(o);
  r = download(o, 300);
  for (int i = 0; i < 100; i++) CHECK(r[i * 3] == 34 && r[i * 3 + 1] != 0 && r[i * 3 + 2] != 0);
  std::vector<unsigned char> b(10000);
  std::vector<unsigned> h(256), hw(256);
  for (size_t i = 0; i < b.size(); i++) b[i] = (unsigned char)mix(i), hw[b[i]]++;
  auto* db = upload(b);
  auto* dh = upload(h);
  histo<<<5, 256>>>(db, (int)b.size(), dh);
  CHECK(download(dh, 256) == hw);
  float* f;
  double* d;
  int* ii;
  unsigned long long* u;
  CU(cudaMalloc(&f, 4));
  CU(cudaMalloc(&d, 8));
  CU(cudaMalloc(&ii, 16));
  CU(cudaMalloc(&u, 8));
  CU(cudaMemset(f, 0, 4));
  CU(cudaMemset(d, 0, 8));
  CU(cudaMemset(ii, 0, 16));
  CU(cudaMemset(u, 0, 8));
  atomics<<<10, 100>>>(f, d, ii, u);
  CU(cudaDeviceSynchronize());
  CHECK(download(f, 1)[0] == 500.f && download(d, 1)[0] == 250.);
  auto iv = download(ii, 4);
  CHECK(iv[0] == 999 && iv[1] == -99 && iv[3] == 0);
  CHECK(download(u, 1)[0] == 1000ull << 33);
  int m = 40000;
  float* o2;
  CU(cudaMalloc(&o2, m * 4));
  bigShared<<<1, 256, m * 4>>>(o2, m);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CU(cudaFuncSetAttribute(bigShared, cudaFuncAttributeMaxDynamicSharedMemorySize, m * 4));
  bigShared<<<1, 256, m * 4>>>(o2, m);
  CU(cudaDeviceSynchronize());
  auto rv = download(o2, m);
  for (int i = 0; i < m; i++) CHECK(rv[i] == (float)(m - 1 - i));
#ifdef SM90
  clusterK<<<8, 32>>>(o);
  CU(cudaDeviceSynchronize());
  r = download(o, 8);
  for (int i = 0; i < 8; i++) CHECK(r[i] == (i / 4 * 4 + (i + 1) % 4) * 100);
#endif
  printf("sync ok\n");
  return 0;
}
