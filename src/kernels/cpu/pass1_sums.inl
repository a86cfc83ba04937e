// SPDX-License-Identifier: Apache-2.0
// Pass 1 over chunks, in the order of sum_order.h. Included by loops.inl, inside its unnamed namespace.

// The same lanes in fp64. NaN is made one NaN, because machines differ in its payload.
template <class Source>
Partial sum_carefully(const Source& source, int64_t begin, int count) {
  double x[kLanes] = {};
  int64_t bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    float element = value(source, begin + i);
    x[i % kLanes] += exact_term(source, element);
    bad += is_finite(element) ? 0 : 1;
  }
  for (int stride = kLanes / 2; stride > 0; stride /= 2) {
    for (int i = 0; i < stride; ++i) x[i] += x[i + stride];
  }
  return Partial{x[0] == x[0] ? x[0] : not_a_number(), static_cast<double>(bad)};
}

template <class Source>
inline bool all_zero(const Source& source, int64_t begin, int count) {
  uint32_t seen = 0;
  for (int64_t i = 0; i < count; ++i) seen |= float_bits(magnitude(value(source, begin + i)));
  return seen == 0;
}

// Adds the terms of elements [begin, begin + kCount) to runs that lie side by side, and nowhere in what is summed.
template <size_t kCount, class Source>
inline void add_terms(const Source& source, int64_t begin, float* __restrict run) {
  for (int64_t i = 0; i < static_cast<int64_t>(kCount); ++i) run[i] += run_term(source, value(source, begin + i));
}
template <size_t kCount, class T>
inline void add_terms(const GradSquares<T>& source, int64_t begin, float* __restrict run) {
  alignas(kCacheLine) float room[kCount];
  auto* grad = in_bulk(source.x + begin, kCount, room);
  for (int64_t i = 0; i < static_cast<int64_t>(kCount); ++i) run[i] += run_term(source, to_float(grad[i]));
}

template <size_t kCount>  // a block, or a part of one, at a time: its scale is a constant then
inline void add_terms(const Moments<Block8>& source, int64_t begin, float* __restrict run) {
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

// Memory serves several pages at once faster than one page after another, so where a source is one array, four whole
// chunks that follow each other are read side by side, a turn of each after the other. Hardware prefetchers follow such
// streams, but stop at the end of a page: hence the short distance that is prefetched besides. It pays to prefetch
// right before each turn: requests that come in bunches, this machine drops (2 cores of an AMD EPYC, Zen 1).
constexpr int kStreams = 4;
constexpr int kTurn = 32;        // elements; with 16 gcc does not make vector code of the loop in add_terms
constexpr int kTurnAhead = 512;  // bytes

// Adds the terms of four chunks to their lanes. Not inlined, so that tests/counted/vectors.py finds it.
template <class T, class Source>
__attribute__((noinline)) void add_turns(const Source& source, const T* array, float* lanes) {
  constexpr int64_t kElementsAhead = kTurnAhead / sizeof(T), kBytesBehind = (kStreams - 1) * sizeof(T[kChunk]);
  for (int64_t turn = 0; turn < kChunk; turn += kTurn) {
    // Behind the end of a stream lies what the next one has read: there, what comes after all four.
    int64_t ahead = kTurnAhead + (turn + kElementsAhead < kChunk ? 0 : kBytesBehind);
#pragma GCC unroll 4
    for (int64_t stream = 0; stream < kStreams; ++stream) {
      int64_t begin = stream * kChunk + turn;
      prefetch<kTurn>(array + begin, ahead);
      add_terms<kTurn>(source, begin, lanes + stream * kLanes + turn % kLanes);
    }
  }
}

// The sum of a chunk whose terms are in its lanes.
template <class Source>
inline Partial end_chunk(const Source& source, int64_t begin, int count, const float* lanes) {
  double sum = fold_lanes(lanes);
  bool careful = sum == 0.0 ? !all_zero(source, begin, count) : needs_care(sum);
  return careful ? sum_carefully(source, begin, count) : Partial{sum, 0.0};
}

// Sums four chunks. A fold reads nothing: meanwhile comes what the next four begin with.
template <class T, class Source>
inline void sum_streams(const Source& source, const T* array, Partial* sums) {
  alignas(kCacheLine) float lanes[kStreams * kLanes] = {};
  add_turns(source, array, lanes);
  for (int64_t stream = 0; stream < kStreams; ++stream) {
    prefetch(array + (kStreams + stream) * kChunk, kTurnAhead);
    sums[stream] = end_chunk(source, stream * kChunk, kChunk, lanes + stream * kLanes);
  }
}

// Sums chunk `local` of a segment, to which `source` points, and three more where there are four whole ones among the
// next `most`. Says how many it was. A sum of one chunk has no tree; the caller of the loops finds it where it belongs
// in the end.
template <class Source>
inline int64_t sum_into(const Pass& pass, const SegmentInfo& info, int64_t local, int64_t most, const Source& source,
                        Partial* alone) {
  Partial* leaf = info.chunks > 1 ? pass.ws.values + info.first_value + local : alone;
  if constexpr (kIsOneArray<Source>) {
    if (most >= kStreams && info.count - local * kChunk >= kStreams * kChunk) {
      sum_streams(source, source.x, leaf);
      return kStreams;
    }
  }
  alignas(kCacheLine) float lanes[kLanes] = {};
  int count = count_of(info, local);
  add_rows(source, count, lanes);
  *leaf = end_chunk(source, 0, count, lanes);
  return 1;
}

template <class T>
void sum_squares(const void* context, int64_t first, int64_t end) {
  const Pass& pass = *static_cast<const Pass*>(context);
  for (int64_t chunk = first, done; chunk < end; chunk += done) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    done = 1;
    if (!has_gradient(pass, segment)) continue;
    int64_t local = chunk - info.first_chunk;
    Partial alone{0.0, 0.0};
    GradSquares<T> source{array_of<const T>(pass, SWD_BUFFER_GRAD, segment, local)};
    done = sum_into(pass, info, local, end - chunk, source, &alone);
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
    if (!has_max(info, scratch, header.epoch)) continue;
    int64_t local = chunk - info.first_chunk;
    MaxedMoments<T> source{array_of<const T>(pass, SWD_BUFFER_GRAD, segment, local),
                           array_of<const float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local),
                           array_of<const float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment, local),
                           coefficients(header.decision, info, scratch, pass.ws.groups[info.group])};
    Partial alone{0.0, 0.0};
    sum_into(pass, info, local, 1, source, &alone);
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
  for (int64_t chunk = first, done; chunk < end; chunk += done) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    done = 1;
    if (info.decay == SWD_DECAY_L2) continue;
    int64_t local = chunk - info.first_chunk;
    Partial alone{0.0, 0.0};
    Moments<T> source = moments_of(pass, segment, local, static_cast<const T*>(nullptr));
    done = sum_into(pass, info, local, end - chunk, source, &alone);
    if (info.chunks == 1) pass.segment_states[segment].exp_avg_sq_sum = alone.sum;
  }
}
