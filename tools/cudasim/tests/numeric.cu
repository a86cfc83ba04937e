// SPDX-License-Identifier: Apache-2.0
// f16/bf16/fp8 conversions compared exhaustively with host code, IEEE
// exactness of add/mul/div/sqrt/fma on random bit patterns, integer operations.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cfenv>

#include "common.h"

static float bf(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static uint32_t fb(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}
static double bd(uint64_t u) {
  double f;
  memcpy(&f, &u, 8);
  return f;
}
static bool same(float a, float b) { return fb(a) == fb(b) || (a != a && b != b); }
static bool same(double a, double b) { return !memcmp(&a, &b, 8) || (a != a && b != b); }

__global__ void cvtAll(const uint32_t* in, int n, uint16_t* h, uint16_t* b, uint16_t* hz, uint8_t* e4, uint8_t* e5) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float f = __uint_as_float(in[i]);
  h[i] = __half_as_ushort(__float2half_rn(f));
  hz[i] = __half_as_ushort(__float2half_rz(f));
  b[i] = __bfloat16_as_ushort(__float2bfloat16_rn(f));
  e4[i] = __nv_cvt_float_to_fp8(f, __NV_SATFINITE, __NV_E4M3);
  e5[i] = __nv_cvt_float_to_fp8(f, __NV_SATFINITE, __NV_E5M2);
}
__global__ void upAll(float* h, float* b, float* e4, float* e5) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  h[i] = __half2float(__ushort_as_half((unsigned short)i));
  b[i] = __bfloat162float(__ushort_as_bfloat16((unsigned short)i));
  if (i < 256) {
    e4[i] = __half2float(__half(__nv_cvt_fp8_to_halfraw((__nv_fp8_storage_t)i, __NV_E4M3)));
    e5[i] = __half2float(__half(__nv_cvt_fp8_to_halfraw((__nv_fp8_storage_t)i, __NV_E5M2)));
  }
}
__global__ void ieee(const uint32_t* a, const uint32_t* b, const uint32_t* c, float* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = __uint_as_float(a[i]), y = __uint_as_float(b[i]), z = __uint_as_float(c[i]);
  o[i * 12 + 0] = __fadd_rn(x, y);
  o[i * 12 + 1] = __fmul_rn(x, y);
  o[i * 12 + 2] = __fdiv_rn(x, y);
  o[i * 12 + 3] = __fsqrt_rn(x);
  o[i * 12 + 4] = __fmaf_rn(x, y, z);
  o[i * 12 + 5] = __fadd_rz(x, y);
  o[i * 12 + 6] = __fmul_ru(x, y);
  o[i * 12 + 7] = __fdiv_rd(x, y);
  o[i * 12 + 8] = __fmaf_rz(x, y, z);
  o[i * 12 + 9] = __frcp_rn(x);
  o[i * 12 + 10] = fminf(x, y);
  o[i * 12 + 11] = fmaxf(x, y);
}
__global__ void ieeed(const uint64_t* a, const uint64_t* b, const uint64_t* c, double* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  double x = __longlong_as_double(a[i]), y = __longlong_as_double(b[i]), z = __longlong_as_double(c[i]);
  o[i * 6 + 0] = __dadd_rn(x, y);
  o[i * 6 + 1] = __dmul_rn(x, y);
  o[i * 6 + 2] = __ddiv_rn(x, y);
  o[i * 6 + 3] = __dsqrt_rn(x);
  o[i * 6 + 4] = __fma_rn(x, y, z);
  o[i * 6 + 5] = __dadd_ru(x, y);
}
__global__ void halfOps(uint16_t* o, const uint16_t* a, const uint16_t* b, const uint16_t* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  __half x = __ushort_as_half(a[i]), y = __ushort_as_half(b[i]), z = __ushort_as_half(c[i]);
  o[i * 4] = __half_as_ushort(__hadd_rn(x, y));
  o[i * 4 + 1] = __half_as_ushort(__hmul_rn(x, y));
  o[i * 4 + 2] = __half_as_ushort(__hfma(x, y, z));
#if __CUDA_ARCH__ >= 800 || !defined(__CUDA_ARCH__)
  __nv_bfloat16 p = __ushort_as_bfloat16(a[i]), q = __ushort_as_bfloat16(b[i]), r = __ushort_as_bfloat16(c[i]);
  o[i * 4 + 3] = __bfloat16_as_ushort(__hfma(p, q, r));
#endif
}
__global__ void ints(const int* a, const int* b, long long* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int x = a[i], y = b[i];
  unsigned ux = x, uy = y;
  long long lx = ((long long)x << 20) ^ y, ly = ((long long)y << 17) ^ x;
  long long* p = o + i * 20;
  p[0] = y ? x / (y == -1 ? 1 : y) : 0;
  p[1] = uy ? ux % uy : 0;
  p[2] = ly ? lx / ly : 0;
  p[3] = __mulhi(x, y);
  p[4] = __umulhi(ux, uy);
  p[5] = __popc(ux) + __clz(x) * 100 + __ffs(x) * 10000;
  p[6] = __brev(ux);
  p[7] = __byte_perm(ux, uy, 0x3715);
  p[8] = __funnelshift_l(ux, uy, x & 31);
  p[9] = __funnelshift_rc(ux, uy, y & 63);
  p[10] = __mul64hi(lx, ly);
  p[11] = (long long)__brevll((unsigned long long)lx);
  p[12] = __clzll(lx) + __popcll(ly);
  p[13] = __dp4a(x, y, 7);
  p[14] = (long long)__float2int_rn((float)x * 1e-3f) + __float2uint_rz((float)(ux >> 3));
  p[15] = (long long)(double)lx + (long long)__ll2float_rn(ly);
  p[16] = lx >> (y & 63);
  p[17] = __usad(ux, uy, 3) + __sad(x >> 1, y >> 1, 5);
  p[18] = (lx * ly) ^ (x < y ? ~0ll : 1);
  p[19] = __vadd2(ux, uy) ^ __vmaxs2(ux, uy);
}

int main() {
  fesetround(FE_TONEAREST);
  {  // float -> small formats on special and random patterns
    std::vector<uint32_t> in;
    for (uint32_t i = 0; i < 65536; i++) {
      in.push_back(i << 16);
      in.push_back((uint32_t)mix(i));
      // around every half value and midpoints
      float f = __half2float(__half(__half_raw{(unsigned short)i}));
      in.push_back(fb(f) + 0x1000);
      in.push_back(fb(f) + 0xfff);
      in.push_back(fb(f) + 0x1001);
    }
    int n = (int)in.size();
    auto* d = upload(in);
    uint16_t *h, *b, *hz;
    uint8_t *e4, *e5;
    CU(cudaMalloc(&h, n * 2));
    CU(cudaMalloc(&b, n * 2));
    CU(cudaMalloc(&hz, n * 2));
    CU(cudaMalloc(&e4, n));
    CU(cudaMalloc(&e5, n));
    cvtAll<<<(n + 255) / 256, 256>>>(d, n, h, b, hz, e4, e5);
    CU(cudaDeviceSynchronize());
    auto H = download(h, n), B = download(b, n), HZ = download(hz, n);
    auto E4 = download(e4, n), E5 = download(e5, n);
    for (int i = 0; i < n; i++) {
      float f = bf(in[i]);
      uint16_t wh, wb, wz;
      __half t = __float2half_rn(f), tz = __float2half_rz(f);
      __nv_bfloat16 u = __float2bfloat16_rn(f);
      memcpy(&wh, &t, 2);
      memcpy(&wb, &u, 2);
      memcpy(&wz, &tz, 2);
      CHECK(H[i] == wh && B[i] == wb && HZ[i] == wz);
      CHECK(E4[i] == __nv_cvt_float_to_fp8(f, __NV_SATFINITE, __NV_E4M3));
      CHECK(E5[i] == __nv_cvt_float_to_fp8(f, __NV_SATFINITE, __NV_E5M2));
    }
    float *fh, *fbb, *f4, *f5;
    CU(cudaMalloc(&fh, 65536 * 4));
    CU(cudaMalloc(&fbb, 65536 * 4));
    CU(cudaMalloc(&f4, 1024));
    CU(cudaMalloc(&f5, 1024));
    upAll<<<256, 256>>>(fh, fbb, f4, f5);
    auto FH = download(fh, 65536), FB = download(fbb, 65536), F4 = download(f4, 256), F5 = download(f5, 256);
    for (int i = 0; i < 65536; i++) {
      CHECK(same(FH[i], __half2float(__half(__half_raw{(unsigned short)i}))));
      CHECK(same(FB[i], bf((uint32_t)i << 16)));
    }
    for (int i = 0; i < 256; i++) {
      CHECK(same(F4[i], __half2float(__half(__nv_cvt_fp8_to_halfraw((__nv_fp8_storage_t)i, __NV_E4M3)))));
      CHECK(same(F5[i], __half2float(__half(__nv_cvt_fp8_to_halfraw((__nv_fp8_storage_t)i, __NV_E5M2)))));
    }
  }
  {
    int n = 200000;
    std::vector<uint32_t> a(n), b(n), c(n);
    for (int i = 0; i < n; i++) {
      a[i] = (uint32_t)mix(i * 3);
      b[i] = (uint32_t)mix(i * 3 + 1);
      c[i] = (uint32_t)mix(i * 3 + 2);
      if (i % 4 == 1) {
        b[i] = (b[i] & 0x807fffff) | (a[i] & 0x7f800000);
      }
      if (i % 4 == 2) {
        a[i] &= 0x80ffffff;
      }  // subnormals and small
      if (i % 4 == 3) {
        c[i] = fb(-bf(a[i]) * bf(b[i])) + (c[i] & 3);
      }  // cancellation in fma
    }
    auto *da = upload(a), *db = upload(b), *dc = upload(c);
    float* o;
    CU(cudaMalloc(&o, (size_t)n * 48));
    ieee<<<(n + 127) / 128, 128>>>(da, db, dc, o, n);
    auto r = download(o, (size_t)n * 12);
    for (int i = 0; i < n; i++) {
      volatile float x = bf(a[i]), y = bf(b[i]), z = bf(c[i]);
      const float* p = &r[(size_t)i * 12];
      CHECK(same(p[0], x + y));
      CHECK(same(p[1], x * y));
      CHECK(same(p[2], x / y));
      CHECK(same(p[3], sqrtf(x)));
      CHECK(same(p[4], fmaf(x, y, z)));
      CHECK(same(p[9], 1.f / x));
      float mn = x != x ? y : y != y ? x : x < y ? x : y, mx = x != x ? y : y != y ? x : x > y ? x : y;
      CHECK(same(p[10], mn) || (x == 0 && y == 0));
      CHECK(same(p[11], mx) || (x == 0 && y == 0));
      volatile float t;
      fesetround(FE_TOWARDZERO);
      t = x + y;
      float w5 = t;
      fesetround(FE_UPWARD);
      t = x * y;
      float w6 = t;
      fesetround(FE_DOWNWARD);
      t = x / y;
      float w7 = t;
      fesetround(FE_TOWARDZERO);
      t = fmaf(x, y, z);
      float w8 = t;
      fesetround(FE_TONEAREST);
      CHECK(same(p[5], w5));
      CHECK(same(p[6], w6));
      CHECK(same(p[7], w7));
      CHECK(same(p[8], w8));
    }
  }
  {
    int n = 50000;
    std::vector<uint64_t> a(n), b(n), c(n);
    for (int i = 0; i < n; i++) {
      a[i] = mix(i * 3);
      b[i] = mix(i * 3 + 1);
      c[i] = mix(i * 3 + 2);
      if (i & 1) b[i] = (b[i] & 0x800fffffffffffffull) | (a[i] & 0x7ff0000000000000ull);
    }
    auto *da = upload(a), *db = upload(b), *dc = upload(c);
    double* o;
    CU(cudaMalloc(&o, (size_t)n * 48));
    ieeed<<<(n + 127) / 128, 128>>>(da, db, dc, o, n);
    auto r = download(o, (size_t)n * 6);
    for (int i = 0; i < n; i++) {
      volatile double x = bd(a[i]), y = bd(b[i]), z = bd(c[i]);
      const double* p = &r[(size_t)i * 6];
      CHECK(same(p[0], x + y));
      CHECK(same(p[1], x * y));
      CHECK(same(p[2], x / y));
      CHECK(same(p[3], sqrt(x)));
      CHECK(same(p[4], fma(x, y, z)));
      fesetround(FE_UPWARD);
      volatile double t = x + y;
      double w = t;
      fesetround(FE_TONEAREST);
      CHECK(same(p[5], w));
    }
  }
  {
    int n = 100000;
    std::vector<uint16_t> a(n), b(n), c(n);
    for (int i = 0; i < n; i++) {
      a[i] = (uint16_t)mix(i * 3);
      b[i] = (uint16_t)mix(i * 3 + 1);
      c[i] = (uint16_t)mix(i * 3 + 2);
    }
    auto *da = upload(a), *db = upload(b), *dc = upload(c);
    uint16_t* o;
    CU(cudaMalloc(&o, (size_t)n * 8));
    halfOps<<<(n + 127) / 128, 128>>>(o, da, db, dc, n);
    auto r = download(o, (size_t)n * 4);
    auto up = [](uint16_t h) { return __half2float(__half(__half_raw{h})); };
    auto isn = [](uint16_t h) { return (h & 0x7fff) > 0x7c00; };
    auto dn = [](double v) {
      __half h = __double2half(v);
      uint16_t u;
      memcpy(&u, &h, 2);
      return u;
    };
    for (int i = 0; i < n; i++) {
      const uint16_t* p = &r[(size_t)i * 4];
      uint16_t w0 = dn((double)up(a[i]) + up(b[i])), w1 = dn((double)up(a[i]) * up(b[i]));
      CHECK(p[0] == w0 || (isn(p[0]) && isn(w0)));
      CHECK(p[1] == w1 || (isn(p[1]) && isn(w1)));
      // exact fma through long double is wide enough except for extreme cancellation ranges
      long double e = (long double)up(a[i]) * up(b[i]) + (long double)up(c[i]);
      if (e == e && fabsl(e) < 60000 && fabsl(e) > 1e-4L) {
        // nearest half by brute force over neighbours
        float g = (float)e;
        __half h = __float2half_rn(g);
        uint16_t best;
        memcpy(&best, &h, 2);
        for (int k = -1; k <= 1; k++) {
          uint16_t q = (uint16_t)(best + k);
          long double dq = fabsl((long double)up(q) - e), db2 = fabsl((long double)up(best) - e);
          if (dq < db2 || (dq == db2 && !(q & 1) && (best & 1))) best = q;
        }
        CHECK(p[2] == best);
      }
    }
  }
  {
    int n = 20000;
    std::vector<int> a(n), b(n);
    for (int i = 0; i < n; i++) {
      a[i] = (int)mix(i * 2);
      b[i] = (int)(mix(i * 2 + 1) >> (i % 33));
    }
    auto *da = upload(a), *db = upload(b);
    long long* o;
    CU(cudaMalloc(&o, (size_t)n * 160));
    ints<<<(n + 127) / 128, 128>>>(da, db, o, n);
    auto r = download(o, (size_t)n * 20);
    auto brev = [](uint64_t v, int k) {
      uint64_t q = 0;
      for (int j = 0; j < k; j++) q |= ((v >> j) & 1) << (k - 1 - j);
      return q;
    };
    for (int i = 0; i < n; i++) {
      int x = a[i], y = b[i];
      uint32_t ux = (uint32_t)x, uy = (uint32_t)y;
      int64_t lx = (int64_t)(((uint64_t)(int64_t)x << 20) ^ (uint64_t)(int64_t)y),
              ly = (int64_t)(((uint64_t)(int64_t)y << 17) ^ (uint64_t)(int64_t)x);
      const long long* p = &r[(size_t)i * 20];
      CHECK(p[0] == (y ? x / (y == -1 ? 1 : y) : 0));
      CHECK(p[1] == (uy ? ux % uy : 0));
      CHECK(p[2] == (ly ? lx / ly : 0));
      CHECK(p[3] == (int)(((int64_t)x * y) >> 32));
      CHECK(p[4] == (uint32_t)(((uint64_t)ux * uy) >> 32));
      CHECK(p[5] == __builtin_popcount(ux) + (ux ? __builtin_clz(ux) : 32) * 100 + __builtin_ffs(x) * 10000);
      CHECK(p[6] == (long long)brev(ux, 32));
      uint64_t cat = (uint64_t)uy << 32 | ux;
      uint32_t bp = 0;
      int sel[4] = {5, 1, 7, 3};
      for (int k = 0; k < 4; k++) bp |= (uint32_t)((cat >> (8 * sel[k])) & 255) << (8 * k);
      CHECK((uint32_t)p[7] == bp);
      CHECK((uint32_t)p[8] == (uint32_t)((cat << (x & 31)) >> 32));
      int s = y & 63;
      CHECK((uint32_t)p[9] == (s > 31 ? uy : (uint32_t)(cat >> s)));
      CHECK(p[10] == (long long)(((__int128)lx * ly) >> 64));
      CHECK(p[11] == (long long)brev((uint64_t)lx, 64));
      CHECK(p[12] == (lx ? __builtin_clzll((uint64_t)lx) : 64) + __builtin_popcountll((uint64_t)ly));
      int dp = 7;
      for (int k = 0; k < 4; k++) dp += (int8_t)(ux >> (8 * k)) * (int8_t)(uy >> (8 * k));
      CHECK(p[13] == dp);
      CHECK(p[14] == (long long)(int)nearbyintf((float)x * 1e-3f) + (long long)(uint32_t)(float)(ux >> 3));
      CHECK(p[16] == lx >> (y & 63));
      CHECK(p[18] == (long long)((uint64_t)lx * (uint64_t)ly ^ (x < y ? ~0ull : 1ull)));
    }
  }
  printf("numeric ok\n");
  return 0;
}
