// SPDX-License-Identifier: Apache-2.0
// Pass 1 over chunks, in the order of sum_order.h. Included by loops.inl, inside its unnamed namespace.

// The same lanes in fp64. NaN is made one NaN, because machines differ in its payload.
template <class Source>
Partial sum_carefully(const Source& source, int count) {
  double x[kLanes] = {};
  int64_t bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    float element = value(source, i);
    x[i % kLanes] += exact_term(source, element);
    bad += is_finite(element) ? 0 : 1;
  }
  for (int stride = kLanes / 2; stride > 0; stride /= 2) {
    for (int i = 0; i < stride; ++i) x[i] += x[i + stride];
  }
  return Partial{x[0] == x[0] ? x[0] : not_a_number(), static_cast<double>(bad)};
}

template <class Source>
inline bool all_zero(const Source& source, int count) {
  uint32_t seen = 0;
  for (int64_t i = 0; i < count; ++i) seen |= float_bits(magnitude(value(source, i)));
  return seen == 0;
}

// Adds the terms of elements [begin, begin + kCount) to runs that lie side by side.
template <size_t kCount, class Source>
inline void add_terms(const Source& source, int64_t begin, float* run) {
  for (int64_t i = 0; i < static_cast<int64_t>(kCount); ++i) run[i] += run_term(source, value(source, begin + i));
}
template <size_t kCount, class T>
inline void add_terms(const GradSquares<T>& source, int64_t begin, float* run) {
  alignas(kCacheLine) float room[kCount];
  auto* grad = in_bulk(source.x + begin, kCount, room);
  for (int64_t i = 0; i < static_cast<int64_t>(kCount); ++i) run[i] += run_term(source, to_float(grad[i]));
}

template <size_t kCount>  // a block, or a part of one, at a time: its scale is a constant then
inline void add_terms(const Moments<Block8>& source, int64_t begin, float* run) {
  constexpr int64_t kPart = kCount < kScaleBlock ? kCount : kScaleBlock;
  for (int64_t at = 0; at < static_cast<int64_t>(kCount); at += kPart) {
    BlockScale scale = scale_at(source, begin + at);
    for (int64_t i = at; i < at + kPart; ++i) run[i] += decode_second(source.code[begin + i], scale);
  }
}

// Adds the terms of `count` elements row by row.
template <class Source>
inline void add_rows(const Source& source, int count, float* lanes) {
  int64_t whole = count - count % kBlock;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    prefetch_block(source, begin);
    add_terms<kBlock>(source, begin, lanes + begin % kLanes);
  }
  float* rest = lanes + whole % kLanes;
  for (int64_t i = 0; i < count - whole; ++i) rest[i] += run_term(source, value(source, whole + i));
}

// Where a chunk prefetches: four streams, because memory serves several pages at once faster than one page after
// another. Stream k covers a quarter of the chunk that comes k + 1 later; those after it bring the other quarters.
constexpr int kStreams = 4;
struct Ahead {
  uintptr_t stream[kStreams];
};

// `following`: chunks that come behind this one in memory. What is not there is not worth its bytes; prefetched instead
// is the chunk itself, which costs nothing.
template <class T>
inline Ahead ahead_of(const T* chunk, int64_t following) {
  constexpr uintptr_t kChunkBytes = sizeof(T[kChunk]), kQuarter = kChunkBytes / kStreams;
  Ahead ahead;
  for (int k = 0; k < kStreams; ++k) {
    uintptr_t later = k < following ? static_cast<uintptr_t>(k) + 1 : 0;
    ahead.stream[k] =
        reinterpret_cast<uintptr_t>(chunk) + later * kChunkBytes + static_cast<uintptr_t>(kStreams - 1 - k) * kQuarter;
  }
  return ahead;
}

// Adds the terms of a whole chunk to the runs of their lanes. A strip of lanes goes down all rows with its sums in
// registers, which is why the rows are unrolled: with 64 lanes gcc puts them back into memory, with 16 there are too
// few sums to hide an addition. Hardware prefetchers do not follow such steps, so every line is prefetched: it is half
// as fast again from memory as row by row (2 cores of an AMD EPYC, Zen 1).
template <class T, class Source>
inline void add_strips(const Source& source, const T* array, int64_t following, float* lanes) {
  constexpr int kStrip = 32;
  constexpr uintptr_t kLines = sizeof(T[kStrip]) / kCacheLine;  // of a strip in one row
  Ahead ahead = ahead_of(array, following);
  uintptr_t line = 0;
  for (int strip = 0; strip < kLanes; strip += kStrip) {
    float run[kStrip] = {};
#pragma GCC unroll 16
    for (int row = 0; row < kRun; ++row) {
      for (uintptr_t i = 0; i < kLines; ++i, ++line) {
        __builtin_prefetch(reinterpret_cast<const void*>(ahead.stream[line % kStreams] + line / kStreams * kCacheLine));
      }
      add_terms<kStrip>(source, row * kLanes + strip, run);
    }
    for (int i = 0; i < kStrip; ++i) lanes[strip + i] = run[i];
  }
}

template <class T>
inline void add_chunk(const GradSquares<T>& source, int64_t following, float* lanes) {
  add_strips(source, source.x, following, lanes);
}
template <class T>
inline void add_chunk(const Moments<T>& source, int64_t following, float* lanes) {
  add_strips(source, source.x, following, lanes);
}
inline void add_chunk(const Moments<Block8>& source, int64_t, float* lanes) { add_rows(source, kChunk, lanes); }
template <class T>  // three arrays: row by row
inline void add_chunk(const MaxedMoments<T>& source, int64_t, float* lanes) {
  add_rows(source, kChunk, lanes);
}

template <class Source>
inline Partial sum_chunk(const Source& source, int count, int64_t following) {
  alignas(kCacheLine) float lanes[kLanes] = {};
  if (count == kChunk) {
    add_chunk(source, following, lanes);
  } else {
    add_rows(source, count, lanes);
  }
  double sum = fold_lanes(lanes);
  bool careful = sum == 0.0 ? !all_zero(source, count) : needs_care(sum);
  return careful ? sum_carefully(source, count) : Partial{sum, 0.0};
}

// A sum of one chunk has no tree; the caller of the loops finds it where it belongs in the end. In the flat layout the
// next segment usually lies behind this one.
template <class Source>
inline void sum_into(const Pass& pass, const SegmentInfo& info, int64_t local, const Source& source, Partial* alone) {
  Partial* leaf = info.chunks > 1 ? pass.ws.values + info.first_value + local : alone;
  int64_t following = pass.plan.flags & SWD_PLAN_LIST ? info.chunks - 1 - local : kStreams;
  *leaf = sum_chunk(source, count_of(info, local), following);
}

template <class T>
void sum_squares(const void* context, int64_t first, int64_t end) {
  const Pass& pass = *static_cast<const Pass*>(context);
  for (int64_t chunk = first; chunk < end; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    if (!has_gradient(pass, segment)) continue;
    int64_t local = chunk - info.first_chunk;
    Partial alone{0.0, 0.0};
    sum_into(pass, info, local, GradSquares<T>{array_of<const T>(pass, SWD_BUFFER_GRAD, segment, local)}, &alone);
    if (info.chunks > 1) continue;
    pass.ws.scratch[segment].q = alone.sum;
    pass.ws.scratch[segment].bad = alone.also;
  }
}

template <class T>
void sum_maxed(const void* context, int64_t first, int64_t end) {
  const Pass& pass = *static_cast<const Pass*>(context);
  const Header& header = *pass.ws.header;
  for (int64_t chunk = first; chunk < end; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    SegmentScratch& scratch = pass.ws.scratch[segment];
    if (!takes_part(scratch, header.epoch) || !in_vbar(info)) continue;
    int64_t local = chunk - info.first_chunk;
    MaxedMoments<T> source{array_of<const T>(pass, SWD_BUFFER_GRAD, segment, local),
                           array_of<const float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local),
                           array_of<const float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment, local),
                           coefficients(header.decision, info, scratch, pass.ws.groups[info.group])};
    Partial alone{0.0, 0.0};
    sum_into(pass, info, local, source, &alone);
    if (info.chunks == 1) scratch.max_sum = alone.sum;
  }
}

template <class T>
inline Moments<T> moments_of(const Pass& pass, int64_t segment, int64_t local, const T*) {
  return {array_of<const T>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local)};
}
inline Moments<Block8> moments_of(const Pass& pass, int64_t segment, int64_t local, const Block8*) {
  const uint8_t* scales = scales_of(pass, SWD_BUFFER_EXP_AVG_SQ_SCALE, segment) + local * kScalesPerChunk;
  return {array_of<const uint8_t>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local), scales};
}

template <class T>
void sum_moments(const void* context, int64_t first, int64_t end) {
  const Pass& pass = *static_cast<const Pass*>(context);
  for (int64_t chunk = first; chunk < end; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    if (info.decay == SWD_DECAY_L2) continue;
    int64_t local = chunk - info.first_chunk;
    Partial alone{0.0, 0.0};
    sum_into(pass, info, local, moments_of(pass, segment, local, static_cast<const T*>(nullptr)), &alone);
    if (info.chunks == 1) pass.segment_states[segment].exp_avg_sq_sum = alone.sum;
  }
}
