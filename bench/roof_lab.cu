// SPDX-License-Identifier: Apache-2.0
// roof_lab [log2 elements]: which streaming loop is fastest on this device: reads of one array, and 4 reads : 3 writes.
// One line per variant: GB/s and share of the theoretical peak (memory clock x bus width). A lab for roof_cuda.cu.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#define CHECK(x)                                                                         \
  do {                                                                                   \
    cudaError_t e_ = (x);                                                                \
    if (e_ != cudaSuccess) {                                                             \
      fprintf(stderr, "%s:%d %s: %s\n", __FILE__, __LINE__, #x, cudaGetErrorString(e_)); \
      exit(1);                                                                           \
    }                                                                                    \
  } while (0)

enum class Op { kCs, kCa, kNoAllocate };

template <Op kOp>
__device__ __forceinline__ uint4 load(const uint4* p) {
  uint4 x;
  if constexpr (kOp == Op::kCs) return __ldcs(p);
  if constexpr (kOp == Op::kCa) return *p;
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(p));
  return x;
}
template <Op kOp>
__device__ __forceinline__ void store(uint4* p, uint4 x) {
  if constexpr (kOp == Op::kCa)
    *p = x;
  else
    __stcs(p, x);
}

__device__ unsigned int sink;

// Tiles of blockDim * kUnroll vectors, whole ones only (sizes are powers of two).
template <Op kOp, int kUnroll>
__global__ void read_kernel(const uint4* __restrict__ a, int64_t tiles, unsigned mask) {
  unsigned seen = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const uint4* at = a + tile * blockDim.x * kUnroll + threadIdx.x;
    uint4 x[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) x[u] = load<kOp>(at + u * blockDim.x);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) seen |= x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
  }
  if (seen & mask) sink = seen;
}

template <Op kOp, int kUnroll, bool kReverse>
__global__ void mix_kernel(uint4* p, const uint4* g, uint4* m, uint4* v, int64_t tiles, unsigned mask) {
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    int64_t tile = kReverse ? tiles - 1 - t : t;
    int64_t at = tile * blockDim.x * kUnroll + threadIdx.x;
    uint4 pp[kUnroll], gg[kUnroll], mm[kUnroll], vv[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      int64_t i = at + u * blockDim.x;
      gg[u] = load<kOp>(g + i);
      pp[u] = load<kOp>(p + i);
      mm[u] = load<kOp>(m + i);
      vv[u] = load<kOp>(v + i);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      int64_t i = at + u * blockDim.x;
      unsigned k = gg[u].x & mask;
      pp[u].x ^= k, mm[u].x ^= k, vv[u].x ^= k;
      store<kOp>(p + i, pp[u]);
      store<kOp>(m + i, mm[u]);
      store<kOp>(v + i, vv[u]);
    }
  }
}

#if defined(ROOF_LAB_BULK)
// The bulk copy engine: tiles of kBytes of each array into shared memory, kStages deep, and out again by bulk stores.
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
__device__ __forceinline__ void wait_parity(uint64_t* bar, unsigned parity) {
  asm volatile(
      "{\n.reg .pred P1;\nL_%=:\nmbarrier.try_wait.parity.shared::cta.b64 P1, [%0], %1;\n@P1 bra.uni D_%=;\n"
      "bra.uni L_%=;\nD_%=:\n}" ::"r"(shared_address(bar)),
      "r"(parity)
      : "memory");
}
template <int kBytes, int kStages, bool kWrites>
__global__ void __launch_bounds__(32) bulk_kernel(char* p, const char* g, char* m, char* v, int64_t tiles) {
  extern __shared__ __align__(128) char buffer[];  // [stage][array][kBytes]
  __shared__ uint64_t full[kStages];
  constexpr int kArrays = kWrites ? 4 : 1;
  if (threadIdx.x != 0) return;
  for (int s = 0; s < kStages; ++s) asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(&full[s])));
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  const char* from[4] = {g, p, m, v};
  char* to[4] = {nullptr, p, m, v};
  auto fetch = [&](int64_t tile, int s) {
    uint32_t bar = shared_address(&full[s]);
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(bar), "r"(kArrays * kBytes) : "memory");
    for (int a = 0; a < kArrays; ++a)
      asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                       shared_address(buffer + (s * kArrays + a) * kBytes)),
                   "l"(from[a] + tile * kBytes), "r"(kBytes), "r"(bar)
                   : "memory");
  };
  int64_t next = blockIdx.x;
  for (int s = 0; s < kStages && next < tiles; ++s, next += gridDim.x) fetch(next, s);
  unsigned phase = 0;
  int s = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    wait_parity(&full[s], phase);
    if (kWrites) {
      for (int a = 1; a < 4; ++a)
        asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to[a] + tile * kBytes),
                     "r"(shared_address(buffer + (s * kArrays + a) * kBytes)), "r"(kBytes)
                     : "memory");
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    }
    // The buffer of the stage before this one is free once its stores have read it.
    int previous = (s + kStages - 1) % kStages;
    if (kWrites) asm volatile("cp.async.bulk.wait_group.read 1;" ::: "memory");
    if (tile != blockIdx.x && next < tiles) {
      fetch(next, previous);
      next += gridDim.x;
    }
    if (++s == kStages) s = 0, phase ^= 1;
  }
  if (kWrites) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}
#endif

struct Lab {
  int64_t bytes;  // of one array
  char *p, *g, *m, *v;
  cudaStream_t stream;
  int sms;
  double peak;
  double best[2] = {0, 0};

  template <class F>
  void time(int kind, const std::string& name, F launch) {
    cudaEvent_t a, b;
    CHECK(cudaEventCreate(&a));
    CHECK(cudaEventCreate(&b));
    for (int i = 0; i < 3; ++i) launch();
    CHECK(cudaGetLastError());
    CHECK(cudaStreamSynchronize(stream));
    std::vector<float> t;
    int reps = getenv("ROOF_LAB_REPS") ? atoi(getenv("ROOF_LAB_REPS")) : 15;
    for (int i = 0; i < reps; ++i) {
      launch();  // queued ahead, so that the timed one starts without the host
      CHECK(cudaEventRecord(a, stream));
      launch();
      CHECK(cudaEventRecord(b, stream));
      CHECK(cudaEventSynchronize(b));
      float ms;
      CHECK(cudaEventElapsedTime(&ms, a, b));
      t.push_back(ms);
    }
    std::sort(t.begin(), t.end());
    double rate = static_cast<double>(bytes) * (kind ? 7 : 1) / t[t.size() / 2] * 1e-6;
    best[kind] = std::max(best[kind], rate);
    printf("%-5s %-42s %8.1f GB/s  %5.1f %%  (min %.4f med %.4f max %.4f ms)\n", kind ? "mix" : "read", name.c_str(),
           rate, 100 * rate / peak, t.front(), t[t.size() / 2], t.back());
    fflush(stdout);
    CHECK(cudaEventDestroy(a));
    CHECK(cudaEventDestroy(b));
  }

  template <Op kOp, int kUnroll>
  void plain(const char* op, int threads, bool persistent) {
    int64_t tiles = bytes / 16 / (threads * kUnroll);
    auto grid = [&](auto kernel) {  // 0: a block does not fit
      int resident = 0;
      CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, threads, 0));
      return static_cast<unsigned>(persistent || !resident ? std::min<int64_t>(tiles, int64_t{sms} * resident) : tiles);
    };
    std::string name = std::string(op) + " threads " + std::to_string(threads) + " unroll " + std::to_string(kUnroll) +
                       (persistent ? " persistent" : " one-shot");
    auto V = [](char* x) { return reinterpret_cast<uint4*>(x); };
    auto reads = read_kernel<kOp, kUnroll>;
    unsigned n = grid(reads);
    if (n) time(0, name, [&] { reads<<<n, threads, 0, stream>>>(V(g), tiles, 0); });
    if constexpr (kUnroll <= 4) {
      auto k = mix_kernel<kOp, kUnroll, false>;
      n = grid(k);
      if (n) time(1, name, [&] { k<<<n, threads, 0, stream>>>(V(p), V(g), V(m), V(v), tiles, 0); });
      if (persistent && kUnroll == 2) {
        auto r = mix_kernel<kOp, kUnroll, true>;
        n = grid(r);
        if (n) time(1, name + " reverse", [&] { r<<<n, threads, 0, stream>>>(V(p), V(g), V(m), V(v), tiles, 0); });
      }
    }
  }
#if defined(ROOF_LAB_BULK)
  template <int kBytes, int kStages, bool kWrites>
  void bulk(int per_sm) {
    auto k = bulk_kernel<kBytes, kStages, kWrites>;
    int shared = kStages * (kWrites ? 4 : 1) * kBytes;
    CHECK(cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
    time(kWrites,
         "bulk " + std::to_string(kBytes) + " B x " + std::to_string(kStages) + " stages, " + std::to_string(per_sm) +
             " per SM",
         [&] { k<<<sms * per_sm, 32, shared, stream>>>(p, g, m, v, bytes / kBytes); });
  }
#endif
};

int main(int argc, char** argv) {
  int power = argc > 1 ? atoi(argv[1]) : 28;
  Lab lab;
  lab.bytes = int64_t{4} << power;
  int clock = 0, width = 0;
  CHECK(cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, 0));
  CHECK(cudaDeviceGetAttribute(&width, cudaDevAttrGlobalMemoryBusWidth, 0));
  CHECK(cudaDeviceGetAttribute(&lab.sms, cudaDevAttrMultiProcessorCount, 0));
  lab.peak = 2.0 * clock * 1e3 * width / 8 * 1e-9;
  if (!(lab.peak > 0)) lab.peak = 1;
  printf("memory clock %d kHz, bus %d bits: peak %.1f GB/s, %d multiprocessors\n", clock, width, lab.peak, lab.sms);
  CHECK(cudaStreamCreateWithFlags(&lab.stream, cudaStreamNonBlocking));
  for (char** x : {&lab.p, &lab.g, &lab.m, &lab.v}) {
    CHECK(cudaMalloc(x, lab.bytes));
    std::vector<uint32_t> noise(1 << 20);
    uint32_t s = 1 + static_cast<uint32_t>(x - &lab.p);
    for (uint32_t& n : noise) n = s = s * 1664525u + 1013904223u;
    for (int64_t at = 0; at < lab.bytes; at += 4 << 20)
      CHECK(cudaMemcpy(*x + at, noise.data(), std::min<int64_t>(4 << 20, lab.bytes - at), cudaMemcpyHostToDevice));
  }
  lab.time(1, "(cudaMemcpy m -> v, counted x2/7)",
           [&] { cudaMemcpyAsync(lab.v, lab.m, lab.bytes, cudaMemcpyDeviceToDevice, lab.stream); });
  lab.best[1] = 0;
  for (bool persistent : {true, false}) {
    for (int threads : {256, 512, 1024}) {
      lab.plain<Op::kCs, 1>("cs", threads, persistent);
      lab.plain<Op::kCs, 2>("cs", threads, persistent);
      lab.plain<Op::kCs, 4>("cs", threads, persistent);
      lab.plain<Op::kCs, 8>("cs", threads, persistent);
    }
    lab.plain<Op::kCa, 2>("ca", 256, persistent);
    lab.plain<Op::kCa, 4>("ca", 256, persistent);
    lab.plain<Op::kNoAllocate, 2>("no_allocate L2::256B", 256, persistent);
    lab.plain<Op::kNoAllocate, 4>("no_allocate L2::256B", 256, persistent);
  }
#if defined(ROOF_LAB_BULK)
  lab.bulk<8192, 4, false>(4);
  lab.bulk<16384, 4, false>(2);
  lab.bulk<4096, 4, true>(3);
  lab.bulk<8192, 3, true>(2);
  lab.bulk<4096, 3, true>(4);
#endif
  printf("best: read %.1f GB/s %.1f %%, mix %.1f GB/s %.1f %%\n", lab.best[0], 100 * lab.best[0] / lab.peak,
         lab.best[1], 100 * lab.best[1] / lab.peak);
  return 0;
}
