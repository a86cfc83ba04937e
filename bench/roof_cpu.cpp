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
#include "roof_mix.h"

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

// An unsigned number of so many bytes; of none one byte, that is not there.
template <int kBytes>
using Word = std::conditional_t<kBytes == 4, uint32_t, std::conditional_t<kBytes == 2, uint16_t, uint8_t>>;

// The arrays at one element.
template <class M>
struct Arrays {
  const Word<M::kGrad>* g;
  Word<M::kParam>* p;
  Word<M::kRemainder>* rest;
  Word<M::kMoment>* m;
  Word<M::kMoment>* v;
  Word<M::kCopy>* copy;
};

template <class M, int64_t kElements>
__attribute__((noinline)) void mix_block(const Arrays<M>& a, uint32_t mask) {
  const auto* __restrict g = a.g;
  auto* __restrict p = a.p, * __restrict m = a.m, * __restrict v = a.v;
  auto* __restrict rest = a.rest;
  auto* __restrict copy = a.copy;
  for (int64_t i = 0; i < kElements; ++i) {
    uint32_t x = g[i] & mask;
    p[i] = static_cast<Word<M::kParam>>(p[i] ^ x);
    m[i] = static_cast<Word<M::kMoment>>(m[i] ^ x);
    v[i] = static_cast<Word<M::kMoment>>(v[i] ^ x);
    if constexpr (M::kRemainder > 0) rest[i] = static_cast<Word<M::kRemainder>>(rest[i] ^ x);
    if constexpr (M::kCopy > 0) copy[i] = static_cast<uint16_t>(p[i] >> 16);
  }
}

template <class T, class Pointer>
T* at(Pointer* base, int64_t element) {
  return base ? static_cast<T*>(base) + element : nullptr;
}

template <class M, int64_t kElements>
void mix(const RoofArrays& arrays, int ahead, int64_t begin, int64_t end) {
  uint32_t mask = keep_nothing;
  for (; begin + kElements <= end; begin += kElements) {
    Arrays<M> a = {at<const Word<M::kGrad>>(arrays.grad, begin),     at<Word<M::kParam>>(arrays.param, begin),
                   at<Word<M::kRemainder>>(arrays.remainder, begin), at<Word<M::kMoment>>(arrays.exp_avg, begin),
                   at<Word<M::kMoment>>(arrays.exp_avg_sq, begin),   at<Word<M::kCopy>>(arrays.param_copy, begin)};
    prefetch<kElements>(a.p, ahead);
    prefetch<kElements>(a.g, ahead);
    prefetch<kElements>(a.m, ahead);
    prefetch<kElements>(a.v, ahead);
    if constexpr (M::kRemainder > 0) prefetch<kElements>(a.rest, ahead);
    mix_block<M, kElements>(a, mask);
  }
}

void copy_array(const RoofArrays& arrays, int, int64_t begin, int64_t end) {
  int64_t width = dtype_bytes(arrays.dtypes.moment);
  std::memcpy(static_cast<char*>(arrays.exp_avg_sq) + begin * width,
              static_cast<const char*>(arrays.exp_avg) + begin * width, static_cast<size_t>((end - begin) * width));
}

using Loop = void (*)(const RoofArrays&, int ahead, int64_t begin, int64_t end);

template <int64_t kElements>
Loop loop_of_block(RoofKind kind, const RoofArrays& arrays, bool many_streams) {
  bool narrow = dtype_bytes(arrays.dtypes.grad) == 2;
  if (kind == RoofKind::kMemcpy) return copy_array;
  if (kind == RoofKind::kRead && many_streams) {
    return narrow ? read<uint16_t, kElements, kManyStreams> : read<uint32_t, kElements, kManyStreams>;
  }
  if (kind == RoofKind::kRead) return narrow ? read<uint16_t, kElements, 1> : read<uint32_t, kElements, 1>;
  Loop loop = nullptr;
  visit_mix(arrays.dtypes, [&](auto bytes) { loop = mix<decltype(bytes), kElements>; });
  return loop;
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
