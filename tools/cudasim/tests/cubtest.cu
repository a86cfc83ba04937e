// SPDX-License-Identifier: Apache-2.0
// CUB block, warp and device algorithms.
#include <algorithm>
#include <cub/cub.cuh>

#include "common.h"

template <int T>
__global__ void blockReduce(const float* x, double* out, int n) {
  using BR = cub::BlockReduce<double, T>;
  __shared__ typename BR::TempStorage ts;
  double s = 0;
  for (int i = blockIdx.x * T + threadIdx.x; i < n; i += gridDim.x * T) s += x[i];
  double t = BR(ts).Sum(s);
  if (threadIdx.x == 0) out[blockIdx.x] = t;
}
__global__ void warpReduce(const int* x, int* out) {
  using WR = cub::WarpReduce<int>;
  __shared__ typename WR::TempStorage ts[4];
  int w = threadIdx.x / 32;
  int s = WR(ts[w]).Sum(x[threadIdx.x]);
  if (threadIdx.x % 32 == 0) out[w] = s;
}
__global__ void blockScan(const int* x, int* y) {
  using BS = cub::BlockScan<int, 128>;
  __shared__ typename BS::TempStorage ts;
  int v;
  BS(ts).ExclusiveSum(x[threadIdx.x], v);
  y[threadIdx.x] = v;
}

int main() {
  int n = 100000;
  std::vector<float> x(n);
  double want = 0;
  for (int i = 0; i < n; i++) x[i] = (float)(mix(i) % 1000) / 8, want += x[i];
  float* dx = upload(x);
  std::vector<double> o(16);
  double* dout = upload(o);
  blockReduce<256><<<16, 256>>>(dx, dout, n);
  o = download(dout, 16);
  double s = 0;
  for (double v : o) s += v;
  CHECK(s == want);
  std::vector<int> iv(n);
  for (int i = 0; i < n; i++) iv[i] = (int)(mix(i + 7) % 100);
  int* di = upload(iv);
  std::vector<int> wo(4);
  int* dw = upload(wo);
  warpReduce<<<1, 128>>>(di, dw);
  wo = download(dw, 4);
  for (int w = 0; w < 4; w++) {
    int t = 0;
    for (int k = 0; k < 32; k++) t += iv[w * 32 + k];
    CHECK(wo[w] == t);
  }
  std::vector<int> sc(n);
  int* ds = upload(sc);
  blockScan<<<1, 128>>>(di, ds);
  sc = download(ds, 128);
  for (int i = 0, t = 0; i < 128; t += iv[i], i++) CHECK(sc[i] == t);

  // device-wide
  void* tmp = nullptr;
  size_t bytes = 0;
  float* dsum;
  CU(cudaMalloc(&dsum, 4));
  CU(cub::DeviceReduce::Sum(tmp, bytes, dx, dsum, n));
  CU(cudaMalloc(&tmp, bytes));
  CU(cub::DeviceReduce::Sum(tmp, bytes, dx, dsum, n));
  float hs = download(dsum, 1)[0];
  CHECK(std::fabs(hs - want) < want * 1e-5);
  CU(cudaFree(tmp));
  tmp = nullptr;
  CU(cub::DeviceScan::InclusiveSum(tmp, bytes, di, ds, n));
  CU(cudaMalloc(&tmp, bytes));
  CU(cub::DeviceScan::InclusiveSum(tmp, bytes, di, ds, n));
  sc = download(ds, n);
  for (int i = 0, t = 0; i < n; i++) {
    t += iv[i];
    CHECK(sc[i] == t);
  }
  CU(cudaFree(tmp));
  tmp = nullptr;
  std::vector<unsigned> keys(30000);
  for (size_t i = 0; i < keys.size(); i++) keys[i] = (unsigned)mix(i);
  unsigned *dk = upload(keys), *dk2 = upload(keys);
  CU(cub::DeviceRadixSort::SortKeys(tmp, bytes, dk, dk2, (int)keys.size()));
  CU(cudaMalloc(&tmp, bytes));
  CU(cub::DeviceRadixSort::SortKeys(tmp, bytes, dk, dk2, (int)keys.size()));
  CU(cudaDeviceSynchronize());
  auto r = download(dk2, keys.size());
  std::sort(keys.begin(), keys.end());
  CHECK(r == keys);
  printf("cub ok\n");
  return 0;
}
