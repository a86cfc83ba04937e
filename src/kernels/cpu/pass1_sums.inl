// SPDX-License-Identifier: Apache-2.0
// Pass 1 over chunks, in the order of sum_order.h. Included by loops.inl, inside its unnamed namespace.
//
// A source says what is summed. Overloads give its value i in fp32, what the fp32 run adds of a value, its exact term.

template <class T>
struct GradSquares {
  const T* grad;
};
template <class T>
inline float value(const GradSquares<T>& source, int64_t i) {
  return to_float(source.grad[i]);
}
template <class T>
inline float run_term(const GradSquares<T>&, float g) {
  return run_square(g);
}
// What run_square leaves out is below any fp16 number but 0.
inline float run_term(const GradSquares<F16>&, float g) { return g * g; }
template <class T>
inline double exact_term(const GradSquares<T>&, float g) {
  return static_cast<double>(g) * static_cast<double>(g);
}
template <class T>
inline void prefetch_block(const GradSquares<T>& source, int64_t i) {
  prefetch(source.grad + i, kSumAhead);
}

struct Moments {
  const float* v;
};
inline float value(const Moments& source, int64_t i) { return source.v[i]; }
inline float run_term(const Moments&, float v) { return v; }
inline double exact_term(const Moments&, float v) { return static_cast<double>(v); }
inline void prefetch_block(const Moments& source, int64_t i) { prefetch(source.v + i, kSumAhead); }

// What max_exp_avg_sq will be after this step. Members of vbar have no L2 decay, so the parameter is not needed.
template <class T>
struct MaxedMoments {
  const T* grad;
  const float* v;
  const float* v_max;
  Coefficients c;
};
template <class T>
inline float value(const MaxedMoments<T>& source, int64_t i) {
  float g = scaled_gradient(source.c, to_float(source.grad[i]), 0.0f);
  return larger(source.v_max[i], second_moment(source.c, g, source.v[i]));
}
template <class T>
inline float run_term(const MaxedMoments<T>&, float v) {
  return v;
}
template <class T>
inline double exact_term(const MaxedMoments<T>&, float v) {
  return static_cast<double>(v);
}
template <class T>
inline void prefetch_block(const MaxedMoments<T>& source, int64_t i) {
  prefetch(source.grad + i, kUpdateAhead);
  prefetch(source.v + i, kUpdateAhead);
  prefetch(source.v_max + i, kUpdateAhead);
}

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

// Adds kBlock terms to the runs of their lanes.
template <class Source>
inline void add_block(const Source& source, int64_t begin, float* run) {
  for (int64_t i = 0; i < kBlock; ++i) run[i] += run_term(source, value(source, begin + i));
}
template <class T>
inline void add_block(const GradSquares<T>& source, int64_t begin, float* run) {
  alignas(kCacheLine) float room[kBlock];
  auto* grad = in_bulk(source.grad + begin, kBlock, room);
  for (int64_t i = 0; i < kBlock; ++i) run[i] += run_term(source, to_float(grad[i]));
}

template <class Source>
inline Partial sum_chunk(const Source& source, int count) {
  alignas(kCacheLine) float lanes[kLanes] = {};
  int64_t whole = count - count % kBlock;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    prefetch_block(source, begin);
    add_block(source, begin, lanes + begin % kLanes);
  }
  float* rest = lanes + whole % kLanes;
  for (int64_t i = 0; i < count - whole; ++i) rest[i] += run_term(source, value(source, whole + i));
  double sum = fold_lanes(lanes);
  bool careful = sum == 0.0 ? !all_zero(source, count) : needs_care(sum);
  return careful ? sum_carefully(source, count) : Partial{sum, 0.0};
}

// A sum of one chunk has no tree; the caller of the loops finds it where it belongs in the end.
template <class Source>
inline void sum_into(const Pass& pass, const SegmentInfo& info, int64_t local, const Source& source, Partial* alone) {
  Partial* leaf = info.chunks > 1 ? pass.ws.values + info.first_value + local : alone;
  *leaf = sum_chunk(source, count_of(info, local));
}

template <class T>
void sum_squares(const Pass& pass, int64_t first, int64_t end) {
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
void sum_maxed(const Pass& pass, int64_t first, int64_t end) {
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

void sum_moments(const Pass& pass, int64_t first, int64_t end) {
  for (int64_t chunk = first; chunk < end; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    if (info.decay == SWD_DECAY_L2) continue;
    int64_t local = chunk - info.first_chunk;
    Partial alone{0.0, 0.0};
    sum_into(pass, info, local, Moments{array_of<const float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local)}, &alone);
    if (info.chunks == 1) pass.segment_states[segment].exp_avg_sq_sum = alone.sum;
  }
}
