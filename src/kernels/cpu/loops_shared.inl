// SPDX-License-Identifier: Apache-2.0
// What the loops of both passes share: prefetching, where a chunk lies, the fold of its lanes.
// Included by loops.inl, inside its unnamed namespace.

constexpr int kCacheLine = 64;
constexpr int kBlock = 64;  // elements between prefetches
// Bytes that are prefetched ahead in each array. Worth a quarter of the time where hardware prefetchers stop at the end
// of a page; where they do not, it costs nothing that can be measured.
constexpr int kSumAhead = 4096;
constexpr int kUpdateAhead = 1024;
static_assert(kLanes % kBlock == 0, "a block stays within a row of lanes");

// Integer arithmetic, because the address may lie behind the array: a prefetch there is ignored.
template <class T>
inline void prefetch(const T* block, int ahead) {
  uintptr_t at = reinterpret_cast<uintptr_t>(block) + static_cast<uintptr_t>(ahead);
  for (uintptr_t line = 0; line < kBlock * sizeof(T); line += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + line));
  }
}

// First element of chunk `local` of a segment in one of its arrays.
template <class T>
inline T* array_of(const Pass& pass, int buffer, int64_t segment, int64_t local) {
  if (pass.plan.flags & SWD_PLAN_LIST) return static_cast<T*>(segment_pointer(pass, buffer, segment)) + local * kChunk;
  return static_cast<T*>(pass.bases[buffer]) + pass.ws.segments[segment].offset + local * kChunk;
}

inline int count_of(const SegmentInfo& info, int64_t local) {
  int64_t left = info.count - local * kChunk;
  return left < kChunk ? static_cast<int>(left) : kChunk;
}

__attribute__((noinline)) double fold_lanes(const float* lanes) {
  double x[kLanes / 2];
  for (int i = 0; i < kLanes / 2; ++i)
    x[i] = static_cast<double>(lanes[i]) + static_cast<double>(lanes[i + kLanes / 2]);
  for (int stride = kLanes / 4; stride > 0; stride /= 2) {
    for (int i = 0; i < stride; ++i) x[i] += x[i + stride];
  }
  return x[0];
}
