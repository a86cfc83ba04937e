// SPDX-License-Identifier: Apache-2.0
// How the sources of sum_sources.h are prefetched, a block at a time, where they are read row by row. Included by
// loops.inl, inside its unnamed namespace.

template <class T>
inline void prefetch_block(const GradSquares<T>& source, int64_t i) {
  prefetch(source.x + i, kSumAhead);
}
template <class T>
inline void prefetch_block(const Moments<T>& source, int64_t i) {
  prefetch(source.x + i, kSumAhead);
}
inline void prefetch_block(const Moments<Block8>& source, int64_t i) { prefetch(source.code + i, kSumAhead); }
template <class T>
inline void prefetch_block(const MaxedMoments<T>& source, int64_t i) {
  prefetch(source.grad + i, kUpdateAhead);
  prefetch(source.v + i, kUpdateAhead);
  prefetch(source.v_max + i, kUpdateAhead);
}
