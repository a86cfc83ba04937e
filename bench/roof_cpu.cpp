// SPDX-License-Identifier: Apache-2.0
// What this host's memory gives to plain loops: the denominator of every ratio. The loops move the bytes of a pass and
// compute next to nothing. They get what the library's loops get: software prefetch, all vector registers (this file
// is built for the machine it runs on), the same thread pool. How far to prefetch and how to cut the work among the
// threads are variants; measure.cpp takes the fastest, so that a ratio of 1 cannot be had by a poor roof.
#include "roof_cpu.h"

#include <sched.h>

#include <cstring>
#include <map>
#include <memory>

#include "kernels/cpu/pool.h"

namespace swd::bench {
namespace {

constexpr int kCacheLine = 64;
constexpr int64_t kUnit = 256;  // what is left of an array beyond a multiple of it is not touched

// A variant is a choice of each: elements between prefetches; how many bytes ahead they go; and the elements that a
// thread takes at a time, 0 for one contiguous share each.
constexpr int64_t kBlock[] = {64, 256};
constexpr int kAhead[] = {0, 1024, 4096};
constexpr int64_t kGrain[] = {0, 4096 * 16};
constexpr int kBlocks = 2, kAheads = 3, kGrains = 2;

// Always zero, but the compiler must not know: values stay what they are, and nothing can be left out.
volatile uint32_t keep_nothing = 0;
volatile uint64_t sink;

template <int64_t kElements, class T>
inline void prefetch(const T* block, int ahead) {
  if (ahead == 0) return;
  uintptr_t at = reinterpret_cast<uintptr_t>(block) + static_cast<uintptr_t>(ahead);
  for (uintptr_t line = 0; line < kElements * sizeof(T); line += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + line));
  }
}

template <class Grad, int64_t kElements>
void read(const RoofArrays& arrays, int ahead, int64_t begin, int64_t end) {
  const Grad* g = static_cast<const Grad*>(arrays.grad);
  constexpr int64_t kSums = 64;
  uint32_t sums[kSums] = {};
  for (; begin + kElements <= end; begin += kElements) {
    prefetch<kElements>(g + begin, ahead);
    for (int64_t row = 0; row < kElements; row += kSums) {
      for (int64_t i = 0; i < kSums; ++i) sums[i] += g[begin + row + i];
    }
  }
  uint64_t sum = 0;
  for (uint32_t x : sums) sum += x;
  sink = sum;
}

template <class Grad, bool kCopy, int64_t kElements>
__attribute__((noinline)) void mix_block(uint32_t* __restrict p, const Grad* __restrict g, uint32_t* __restrict m,
                                         uint32_t* __restrict v, uint16_t* __restrict copy, uint32_t mask) {
  for (int64_t i = 0; i < kElements; ++i) {
    uint32_t x = g[i] & mask;
    p[i] ^= x;
    m[i] ^= x;
    v[i] ^= x;
    if constexpr (kCopy) copy[i] = static_cast<uint16_t>(p[i] >> 16);
  }
}

template <class Grad, bool kCopy, int64_t kElements>
void mix(const RoofArrays& arrays, int ahead, int64_t begin, int64_t end) {
  auto* p = static_cast<uint32_t*>(arrays.param);
  auto* g = static_cast<const Grad*>(arrays.grad);
  auto* m = static_cast<uint32_t*>(arrays.exp_avg);
  auto* v = static_cast<uint32_t*>(arrays.exp_avg_sq);
  auto* copy = static_cast<uint16_t*>(arrays.param_copy);
  uint32_t mask = keep_nothing;
  for (; begin + kElements <= end; begin += kElements) {
    prefetch<kElements>(p + begin, ahead);
    prefetch<kElements>(g + begin, ahead);
    prefetch<kElements>(m + begin, ahead);
    prefetch<kElements>(v + begin, ahead);
    mix_block<Grad, kCopy, kElements>(p + begin, g + begin, m + begin, v + begin, kCopy ? copy + begin : nullptr, mask);
  }
}

void copy_array(const RoofArrays& arrays, int, int64_t begin, int64_t end) {
  std::memcpy(static_cast<float*>(arrays.exp_avg_sq) + begin, static_cast<const float*>(arrays.exp_avg) + begin,
              static_cast<size_t>(end - begin) * sizeof(float));
}

using Loop = void (*)(const RoofArrays&, int ahead, int64_t begin, int64_t end);

template <int64_t kElements>
Loop loop_of_block(RoofKind kind, const RoofArrays& arrays) {
  bool narrow = arrays.grad_bytes == 2, copies = arrays.copy_bytes == 2;
  if (kind == RoofKind::kMemcpy) return copy_array;
  if (kind == RoofKind::kRead) return narrow ? read<uint16_t, kElements> : read<uint32_t, kElements>;
  if (copies) return narrow ? mix<uint16_t, true, kElements> : mix<uint32_t, true, kElements>;
  return narrow ? mix<uint16_t, false, kElements> : mix<uint32_t, false, kElements>;
}

cpu::Pool& pool_of(int threads) {
  static std::map<int, std::unique_ptr<cpu::Pool>> pools;
  std::unique_ptr<cpu::Pool>& pool = pools[threads];
  if (!pool) pool = std::make_unique<cpu::Pool>(threads);
  return *pool;
}

}  // namespace

int core_count() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int roof_variants_cpu(RoofKind kind) { return kind == RoofKind::kMemcpy ? kGrains : kGrains * kAheads * kBlocks; }

void run_roof_cpu(RoofKind kind, int variant, const RoofArrays& arrays) {
  int64_t grain = kGrain[variant % kGrains];
  bool short_blocks = variant / kGrains / kAheads == 0;
  static_assert(kBlock[0] < kBlock[1] && kUnit % kBlock[1] == 0, "loops are made for these blocks");
  struct Job {
    const RoofArrays& arrays;
    Loop loop;
    int ahead;
  } job{arrays, short_blocks ? loop_of_block<kBlock[0]>(kind, arrays) : loop_of_block<kBlock[1]>(kind, arrays),
        kAhead[variant / kGrains % kAheads]};
  if (grain == 0) {  // small jobs stay on one thread, as in the library: waking another takes longer than the work
    int64_t share = arrays.elements / (arrays.threads > 0 ? arrays.threads : core_count());
    grain = arrays.elements > kGrain[1] ? (share / kUnit + 1) * kUnit : kGrain[1];
  }
  auto body = [](void* context, int64_t begin, int64_t end) {
    const Job& work = *static_cast<const Job*>(context);
    work.loop(work.arrays, work.ahead, begin, end);
  };
  pool_of(arrays.threads).run(arrays.elements, grain, body, &job);
}

}  // namespace swd::bench
