// SPDX-License-Identifier: Apache-2.0
// SWD_PLAN_TAKE_COPY on the CPU: what others wrote into the copies of a chunk's parameters, before it is updated.
// Included by loops.inl, inside its unnamed namespace.

// Whether each copy is the rounding of its parameter, which nearly all are: one look at a block, and no choice for each
// element. A NaN may say no where it is.
template <class Copy>
__attribute__((noinline, flatten)) bool all_rounded(const float* __restrict p, const Copy* __restrict copy,
                                                    int64_t count) {
  uint32_t differs = 0;
  for (int64_t i = 0; i < count; ++i) differs |= static_cast<uint32_t>(round_to(p[i], Copy{}).bits ^ copy[i].bits);
  return differs == 0;
}
#ifdef __F16C__  // the integer code of dtype.h takes three times as long
inline bool all_rounded(const float* p, const F16* copy, int64_t count) {
  int64_t whole = count - count % 8;
  __m128i differs = _mm_setzero_si128();
  for (int64_t i = 0; i < whole; i += 8) {
    __m128i rounded = _mm256_cvtps_ph(_mm256_loadu_ps(p + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m128i there = _mm_loadu_si128(reinterpret_cast<const __m128i*>(copy + i));
    differs = _mm_or_si128(differs, _mm_xor_si128(rounded, there));
  }
  return _mm_testz_si128(differs, differs) != 0 && all_rounded<F16>(p + whole, copy + whole, count - whole);
}
#endif

// Elements [begin, end) of a chunk, which the update then finds in the cache.
template <class NarrowRow>
inline void take_copies(const NarrowRow&, int, int) {}
template <class Grad, class Copy>
inline void take_copies(const Arrays<Grad, Copy>& at, int begin, int end) {
  if constexpr (sizeof(Copy) == 2) {
    for (int block = begin; block < end; block += kBlock) {
      int block_end = end - block < kBlock ? end : block + kBlock;
      if (all_rounded(at.p + block, at.copy + block, block_end - block)) continue;
      for (int i = block; i < block_end; ++i) at.p[i] = take_copy(at.p[i], at.copy[i]);
    }
  }
}
