// SPDX-License-Identifier: Apache-2.0
// What this host's memory gives to plain loops: the denominator of every ratio. The loops move the bytes of a pass and
// compute next to nothing. They get what the library's loops get: software prefetch, all vector registers (this file
// is built for the machine it runs on), the same thread pool. How far to prefetch and how to cut the work among the
// threads are variants; measure.cpp takes the fastest, so that a ratio of 1 cannot be had by a poor roof.
#include "roof_cpu.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "kernels/cpu/cores.h"
#include "kernels/cpu/team.h"

namespace swd::bench {
namespace {

constexpr int kCacheLine = 64;
constexpr int64_t kUnit = 256;  // what is left of an array beyond a multiple of it is not touched

// A variant is a choice of each: elements between prefetches; how many bytes ahead they go; the elements that a thread
// takes at a time, 0 for one contiguous share each; and, where the loop only reads, whether it follows one stream or
// four that are kApart bytes apart, as memory serves several pages at once faster than one after another.
constexpr int64_t kBlock[] = {64, 256};
constexpr int kAhead[] = {0, 1024, 4096};
constexpr int64_t kGrain[] = {0, 4096 * 16, 4096 * 256};
constexpr int kBlocks = 2, kAheads = 3, kGrains = 3;
constexpr int64_t kManyStreams = 4, kApart = 16384;

// Always zero, but the compiler must not know: values stay what they are, and nothing can be left out.
volatile uint32_t keep_nothing = 0;
volatile uint64_t sink;
constexpr int64_t kSums = 64;  // side by side, so that no addition waits for another

template <int64_t kElements, class T>
inline void prefetch(const T* block, int ahead) {
  if (ahead == 0) return;
  uintptr_t at = reinterpret_cast<uintptr_t>(block) + static_cast<uintptr_t>(ahead);
  for (uintptr_t line = 0; line < kElements * sizeof(T); line += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + line));
  }
}

// kStreams runs of kElements at once: from g, from g + kApart bytes, and so on.
template <int64_t kStreams, class Grad, int64_t kElements>
inline void read_blocks(const Grad* g, int ahead, uint32_t* sums) {
  for (int64_t stream = 0; stream < kStreams; ++stream) {
    const Grad* block = g + stream * (kApart / static_cast<int64_t>(sizeof(Grad)));
    prefetch<kElements>(block, ahead);
    for (int64_t row = 0; row < kElements; row += kSums) {
      for (int64_t i = 0; i < kSums; ++i) sums[i] += block[row + i];
    }
  }
}

template <class Grad, int64_t kElements, int64_t kStreams>
void read(const RoofArrays& arrays, int ahead, int64_t begin, int64_t end) {
  const Grad* g = static_cast<const Grad*>(arrays.grad);
  constexpr int64_t kRun = kApart / static_cast<int64_t>(sizeof(Grad));
  uint32_t sums[kSums] = {};
  for (; kStreams > 1 && begin + kStreams * kRun <= end; begin += kStreams * kRun) {
    for (int64_t at = 0; at < kRun; at += kElements)
      read_blocks<kStreams, Grad, kElements>(g + begin + at, ahead, sums);
  }
  for (; begin + kElements <= end; begin += kElements) read_blocks<1, Grad, kElements>(g + begin, ahead, sums);
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
Loop loop_of_block(RoofKind kind, const RoofArrays& arrays, bool many_streams) {
  bool narrow = arrays.grad_bytes == 2, copies = arrays.copy_bytes == 2;
  if (kind == RoofKind::kMemcpy) return copy_array;
  if (kind == RoofKind::kRead && many_streams) {
    return narrow ? read<uint16_t, kElements, kManyStreams> : read<uint32_t, kElements, kManyStreams>;
  }
  if (kind == RoofKind::kRead) return narrow ? read<uint16_t, kElements, 1> : read<uint32_t, kElements, 1>;
  if (copies) return narrow ? mix<uint16_t, true, kElements> : mix<uint32_t, true, kElements>;
  return narrow ? mix<uint16_t, false, kElements> : mix<uint32_t, false, kElements>;
}

const cpu::Team& team_of(int threads) {
  static std::map<int, std::unique_ptr<cpu::Team>> teams;
  std::unique_ptr<cpu::Team>& team = teams[threads];
  if (!team) team = std::make_unique<cpu::Team>(threads);
  return *team;
}

}  // namespace

int core_count() { return std::min(cpu::cores_of_this_thread().count, cpu::default_threads()); }

int roof_variants_cpu(RoofKind kind) {
  int cut_and_ahead = kGrains * kAheads * kBlocks;
  return kind == RoofKind::kMemcpy ? kGrains : kind == RoofKind::kRead ? 2 * cut_and_ahead : cut_and_ahead;
}

void run_roof_cpu(RoofKind kind, int variant, const RoofArrays& arrays) {
  int64_t grain = kGrain[variant % kGrains];
  int ahead = kAhead[variant / kGrains % kAheads];
  bool short_blocks = variant / kGrains / kAheads % kBlocks == 0;
  bool many_streams = variant / kGrains / kAheads / kBlocks > 0;
  static_assert(kBlock[0] < kBlock[1] && kUnit % kBlock[1] == 0, "loops are made for these blocks");
  struct Job {
    const RoofArrays& arrays;
    Loop loop;
    int ahead;
  } job{arrays,
        short_blocks ? loop_of_block<kBlock[0]>(kind, arrays, many_streams)
                     : loop_of_block<kBlock[1]>(kind, arrays, many_streams),
        ahead};
  if (grain == 0) {
    int64_t share = arrays.elements / (arrays.threads > 0 ? arrays.threads : core_count());
    grain = (share / kUnit + 1) * kUnit;
  }
  // Small jobs stay on one thread, as in the library: waking another takes longer than the work.
  if (arrays.elements <= kGrain[1]) grain = kGrain[1];
  auto body = [](const void* context, int64_t begin, int64_t end) {
    const Job& work = *static_cast<const Job*>(context);
    work.loop(work.arrays, work.ahead, begin, end);
  };
  team_of(arrays.threads).run(0, arrays.elements, {grain, grain}, body, &job);
}

}  // namespace swd::bench
