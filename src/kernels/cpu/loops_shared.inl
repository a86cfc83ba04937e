// SPDX-License-Identifier: Apache-2.0
// What the loops of both passes share: prefetching, fp16 in bulk, where a chunk lies, the fold of its lanes.
// Included by loops.inl, inside its unnamed namespace.

constexpr int kCacheLine = 64;
// Elements between prefetches. A block costs a call that loads its constants in pass 2, and a pass over part of the
// lanes in pass 1: with 64 elements the 16-bit gradients of pass 1 take a fifth longer.
constexpr int kBlock = 256;
// Bytes that are prefetched ahead in each array. Worth a quarter of the time where hardware prefetchers stop at the end
// of a page; where they do not, it costs nothing that can be measured.
constexpr int kSumAhead = 4096;
constexpr int kUpdateAhead = 1024;
static_assert(kLanes % kBlock == 0, "a block stays within a row of lanes");

// Integer arithmetic, because the address may lie behind the array: a prefetch there is ignored.
template <int kCount = kBlock, class T>
inline void prefetch(const T* block, int64_t ahead) {
  uintptr_t at = reinterpret_cast<uintptr_t>(block) + static_cast<uintptr_t>(ahead);
  for (uintptr_t line = 0; line < kCount * sizeof(T); line += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(at + line));
  }
}

// A block of gradients in the form the inner loop reads best: as it is, or, where the machine converts fp16, as fp32 in
// `room`. The integer code of dtype.h takes ten instructions a vector, which would bound pass 1; the machine's gives
// the same values, NaN payloads apart.
template <class T>
inline const T* in_bulk(const T* grad, int64_t, float*) {
  return grad;
}
#ifdef __F16C__
inline const float* in_bulk(const F16* grad, int64_t count, float* room) {
#ifdef __AVX512F__  // as wide as the loads that follow: a load that spans two stores has to wait for both
  constexpr int64_t kWide = 16;
  auto convert = [](const F16* from, float* to) {  // under a mask, because gcc warns of its own header otherwise
    _mm512_storeu_ps(to, _mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
  };
#else
  constexpr int64_t kWide = 8;
  auto convert = [](const F16* from, float* to) {
    _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  };
#endif
  int64_t whole = count - count % kWide;
  for (int64_t i = 0; i < whole; i += kWide) convert(grad + i, room + i);
  for (int64_t i = whole; i < count; ++i) room[i] = to_float(grad[i]);
  return room;
}
#endif

// First element of chunk `local` of a segment in one of its arrays.
template <class T>
inline T* array_of(const Pass& pass, int buffer, int64_t segment, int64_t local) {
  return swd::array_of<T>(pass, buffer, segment) + local * kChunk;
}

inline int count_of(const SegmentInfo& info, int64_t local) {
  int64_t left = info.count - local * kChunk;
  return left < kChunk ? static_cast<int>(left) : kChunk;
}

inline double fold_two(const float* lanes) {
  return static_cast<double>(lanes[0]) + static_cast<double>(lanes[kLanes / 2]);
}

// The first three strides at once, in registers.
__attribute__((noinline)) double fold_lanes(const float* lanes) {
  constexpr int kRow = kLanes / 8;
  double x[kRow];
  for (int i = 0; i < kRow; ++i) {
    const float* lane = lanes + i;
    x[i] = (fold_two(lane) + fold_two(lane + 2 * kRow)) + (fold_two(lane + kRow) + fold_two(lane + 3 * kRow));
  }
  for (int stride = kRow / 2; stride > 0; stride /= 2) {
    for (int i = 0; i < stride; ++i) x[i] += x[i + stride];
  }
  return x[0];
}
