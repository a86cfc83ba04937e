// SPDX-License-Identifier: Apache-2.0
// saxpy with tails, vector loads, __device__/__constant__ variables, shuffles,
// divergence, function calls, recursion, local memory, switch tables.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "common.h"

__constant__ float cbias[4] = {1.f, 2.f, 3.f, 4.f};
__device__ int counter = 5;
__device__ float table[8];

__global__ void saxpy(int n, float a, const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i] + cbias[i & 3];
  if (i == 0) atomicAdd(&counter, 1);
}
__global__ void vec4(const float4* x, float4* y, int n4) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n4; i += gridDim.x * blockDim.x) {
    float4 v = x[i];
    y[i] = make_float4(v.x + 1, v.y * 2, v.z - 3, v.w / 4);
  }
}
__global__ void half2k(const __half2* x, __half2* y, const __nv_bfloat162* a, __nv_bfloat162* b, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    y[i] = __hfma2(x[i], __float2half2_rn(2.f), __float2half2_rn(1.f));
    b[i] = __hadd2(__hmul2(a[i], a[i]), __float2bfloat162_rn(0.5f));
  }
}
__global__ void shuffles(int* out) {
  int l = threadIdx.x & 31;
  int v = l * 10;
  out[threadIdx.x * 6 + 0] = __shfl_sync(~0u, v, 3);
  out[threadIdx.x * 6 + 1] = __shfl_up_sync(~0u, v, 2);
  out[threadIdx.x * 6 + 2] = __shfl_down_sync(~0u, v, 2, 16);
  out[threadIdx.x * 6 + 3] = __shfl_xor_sync(~0u, v, 5);
  out[threadIdx.x * 6 + 4] = (int)__ballot_sync(~0u, l % 3 == 0);
  out[threadIdx.x * 6 + 5] = (int)__match_any_sync(~0u, l / 8);
}
__global__ void divergent(const int* x, int* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int v = x[i], s = 0;
  while (v > 1) {  // Collatz: every lane has its own trip count
    v = (v & 1) ? 3 * v + 1 : v / 2;
    s++;
    if (s > 1000) break;
  }
  switch (i % 7) {
    case 0:
      s += 100;
      break;
    case 1:
      s ^= 55;
      break;
    case 2:
      s = s * 3 + 1;
      break;
    case 3:
      s -= 7;
      break;
    case 4:
      s <<= 2;
      break;
    case 5:
      s = ~s;
      break;
    default:
      s += i;
  }
  y[i] = s;
}
__device__ __noinline__ int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__device__ __noinline__ float2 pairOp(float2 a, float b, const float* arr, int k) {
  return make_float2(a.x * b + arr[k & 7], a.y - b);
}
typedef int (*fptr)(int);
__device__ int f1(int x) { return x + 1; }
__device__ int f2(int x) { return x * 2; }
__device__ fptr fps[2] = {f1, f2};
__global__ void calls(int* o, float2* p) {
  int i = threadIdx.x;
  float arr[8];
  for (int k = 0; k < 8; k++) arr[k] = (float)(k * i);
  o[i] = fib(i % 11);
  p[i] = pairOp(make_float2(i, 2 * i), 3.f, arr, i);
  o[i + 64] = fps[i % 2](i);
}
struct Big {
  int v[20];
};
__global__ void byValue(Big b, int* o, const __grid_constant__ Big c) {
  o[threadIdx.x] = b.v[threadIdx.x % 20] + c.v[(threadIdx.x + 1) % 20];
}
#if !defined(SM75)
__global__ void warpSpecial(unsigned* o) {
  unsigned l = threadIdx.x & 31;
  o[threadIdx.x] = __reduce_add_sync(~0u, l) + __popc(__activemask());
  unsigned m = l < 20 ? 0xfffffu : 0xfff00000u;
  o[threadIdx.x + 32] = __reduce_max_sync(m, l);
}

#endif
int main() {
  for (int n : {1, 31, 32, 33, 255, 1000, 4097}) {
    std::vector<float> x(n), y(n);
    for (int i = 0; i < n; i++) x[i] = i * 0.5f, y[i] = i;
    float *dx = upload(x), *dy = upload(y);
    saxpy<<<(n + 255) / 256, 256>>>(n, 3.f, dx, dy);
    CU(cudaGetLastError());
    auto r = download(dy, n);
    for (int i = 0; i < n; i++) CHECK(r[i] == std::fma(3.f, x[i], y[i]) + (float)(i % 4 + 1));
    CU(cudaFree(dx));
    CU(cudaFree(dy));
  }
  int c;
  CU(cudaMemcpyFromSymbol(&c, counter, 4));
  CHECK(c == 5 + 7);
  float tb[8] = {1, 2, 3, 4, 5, 6, 7, 8}, tb2[8];
  CU(cudaMemcpyToSymbol(table, tb, sizeof tb));
  void* ta;
  size_t ts;
  CU(cudaGetSymbolAddress(&ta, table));
  CU(cudaGetSymbolSize(&ts, table));
  CHECK(ts == 32);
  CU(cudaMemcpy(tb2, ta, 32, cudaMemcpyDeviceToHost));
  CHECK(!memcmp(tb, tb2, 32));
  {
    int n4 = 1000;
    std::vector<float4> x(n4);
    for (int i = 0; i < n4; i++) x[i] = make_float4(i, i + 1, i + 2, i + 3);
    float4 *dx = upload(x), *dy = upload(x);
    vec4<<<3, 128>>>(dx, dy, n4);
    auto r = download(dy, n4);
    for (int i = 0; i < n4; i++)
      CHECK(r[i].x == i + 1 && r[i].y == (i + 1) * 2 && r[i].z == i - 1 && r[i].w == (i + 3) / 4.f);
  }
  {
    int n = 500;
    std::vector<__half2> x(n), y(n);
    std::vector<__nv_bfloat162> a(n), b(n);
    for (int i = 0; i < n; i++) {
      x[i] = __floats2half2_rn(i * 0.25f, -i);
      a[i] = __floats2bfloat162_rn(i * 0.5f, 3.f);
    }
    auto *dx = upload(x), *dy = upload(y);
    auto *da = upload(a), *db = upload(b);
    half2k<<<2, 256>>>(dx, dy, da, db, n);
    y = download(dy, n);
    b = download(db, n);
    for (int i = 0; i < n; i++) {
      CHECK(__low2float(y[i]) == __half2float(__float2half(__low2float(x[i]) * 2 + 1)));
      CHECK(__high2float(y[i]) == __half2float(__float2half(-2.f * i + 1)));
      float sq = __bfloat162float(__float2bfloat16(__low2float(a[i]) * __low2float(a[i])));
      float want = __bfloat162float(__float2bfloat16(sq + 0.5f));
      float fused = __bfloat162float(__float2bfloat16(__low2float(a[i]) * __low2float(a[i]) + 0.5f));
      CHECK(__low2float(b[i]) == want || __low2float(b[i]) == fused);
    }
  }
  {
    std::vector<int> o(64 * 6);
    int* d = upload(o);
    shuffles<<<1, 64>>>(d);
    o = download(d, o.size());
    for (int t = 0; t < 64; t++) {
      int l = t & 31;
      CHECK(o[t * 6] == 30);
      CHECK(o[t * 6 + 1] == (l >= 2 ? (l - 2) * 10 : l * 10));
      CHECK(o[t * 6 + 2] == ((l & 15) < 14 ? (l + 2) * 10 : l * 10));
      CHECK(o[t * 6 + 3] == (l ^ 5) * 10);
      unsigned m = 0;
      for (int k = 0; k < 32; k++) m |= (unsigned)(k % 3 == 0) << k;
      CHECK((unsigned)o[t * 6 + 4] == m);
      CHECK((unsigned)o[t * 6 + 5] == 0xffu << (l / 8 * 8));
    }
  }
  {
    int n = 1000;
    std::vector<int> x(n), y(n);
    for (int i = 0; i < n; i++) x[i] = i + 1;
    int *dx = upload(x), *dy = upload(y);
    divergent<<<4, 256>>>(dx, dy, n);
    y = download(dy, n);
    for (int i = 0; i < n; i++) {
      int v = x[i], s = 0;
      while (v > 1) {
        v = (v & 1) ? 3 * v + 1 : v / 2;
        s++;
      }
      switch (i % 7) {
        case 0:
          s += 100;
          break;
        case 1:
          s ^= 55;
          break;
        case 2:
          s = s * 3 + 1;
          break;
        case 3:
          s -= 7;
          break;
        case 4:
          s <<= 2;
          break;
        case 5:
          s = ~s;
          break;
        default:
          s += i;
      }
      CHECK(y[i] == s);
    }
  }
  {
    std::vector<int> o(128);
    std::vector<float2> p(64);
    int* d = upload(o);
    float2* dp = upload(p);
    calls<<<1, 64>>>(d, dp);
    CU(cudaDeviceSynchronize());
    o = download(d, 128);
    p = download(dp, 64);
    auto fibh = [](int n) {
      int a = 0, b = 1;
      while (n--) {
        int t = a + b;
        a = b;
        b = t;
      }
      return a;
    };
    for (int i = 0; i < 64; i++) {
      CHECK(o[i] == fibh(i % 11));
      CHECK(p[i].x == i * 3.f + (i & 7) * i && p[i].y == 2 * i - 3.f);
      CHECK(o[64 + i] == (i % 2 ? i * 2 : i + 1));
    }
    Big b, c2;
    for (int i = 0; i < 20; i++) b.v[i] = i * i, c2.v[i] = 1000 * i;
    byValue<<<1, 64>>>(b, d, c2);
    o = download(d, 64);
    for (int i = 0; i < 64; i++) CHECK(o[i] == (i % 20) * (i % 20) + 1000 * ((i + 1) % 20));
  }
#if !defined(SM75)
  {
    std::vector<unsigned> o(64);
    unsigned* d = upload(o);
    warpSpecial<<<1, 32>>>(d);
    CU(cudaDeviceSynchronize());
    o = download(d, 64);
    for (int i = 0; i < 32; i++) {
      CHECK(o[i] == 496 + 32);
      CHECK(o[32 + i] == (i < 20 ? 19u : 31u));
    }
  }
#endif
  printf("basic ok\n");
  return 0;
}
