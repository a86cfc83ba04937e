// SPDX-License-Identifier: Apache-2.0
// Pass 2 over the blocks of a chunk in fp32: loads, the formula of element.h, stores. Included by loops.inl, inside its
// unnamed namespace.

// Runs of the update norms, kItem / kLanes terms each.
struct NormLanes {
  float param[kLanes];
  float lost[kLanes];
};

template <class Grad, class Copy, bool kAmsgrad>
inline Arrays<Grad, Copy> arrays_of(const Pass& pass, int64_t segment, int64_t local) {
  Arrays<Grad, Copy> out = {};
  out.p = array_of<float>(pass, SWD_BUFFER_PARAM, segment, local);
  out.g = array_of<const Grad>(pass, SWD_BUFFER_GRAD, segment, local);
  out.m = array_of<float>(pass, SWD_BUFFER_EXP_AVG, segment, local);
  out.v = array_of<float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local);
  if constexpr (kAmsgrad) out.v_max = array_of<float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment, local);
  if constexpr (sizeof(Copy) == 2) out.copy = array_of<Copy>(pass, SWD_BUFFER_PARAM_COPY, segment, local);
  return out;
}

template <class Grad, class Copy, bool kAmsgrad>
inline void prefetch_block(const Arrays<Grad, Copy>& at, int64_t i) {
  prefetch(at.p + i, kUpdateAhead);
  prefetch(at.g + i, kUpdateAhead);
  prefetch(at.m + i, kUpdateAhead);
  prefetch(at.v + i, kUpdateAhead);
  if constexpr (kAmsgrad) prefetch(at.v_max + i, kUpdateAhead);
}

// Elements [begin, begin + count) of a chunk, within one row of lanes. The arrays are disjoint, as swd.h demands;
// compilers believe it best of parameters. Flattened, because a call left inside would keep the loop from being
// vectorised.
template <bool kAmsgrad, bool kNorms, bool kPlain, class Grad, class Copy>
__attribute__((noinline, flatten)) void update_block(float* __restrict p, const Grad* __restrict g, float* __restrict m,
                                                     float* __restrict v, float* __restrict v_max,
                                                     Copy* __restrict copy, float* __restrict param_run,
                                                     float* __restrict lost_run, const Coefficients& coefficients,
                                                     int64_t count) {
  const Coefficients c = kPlain ? as_plain(coefficients) : coefficients;
  for (int64_t i = 0; i < count; ++i) {
    Element e{p[i], m[i], v[i], 0.0f};
    if constexpr (kAmsgrad) e.v_max = v_max[i];
    float lost = update_element<kAmsgrad>(c, to_float(g[i]), e);
    p[i] = e.p;
    m[i] = e.m;
    v[i] = e.v;
    if constexpr (kAmsgrad) v_max[i] = e.v_max;
    if constexpr (sizeof(Copy) == 2) copy[i] = round_to(e.p, Copy{});
    if constexpr (kNorms) {
      param_run[i] += run_square(e.p);
      lost_run[i] += run_square(lost);
    }
  }
}

// Elements [begin, end) of a chunk: the whole chunk, or one item where norms are kept.
template <bool kAmsgrad, bool kNorms, bool kPlain, class Grad, class Copy>
inline void update_blocks(const Arrays<Grad, Copy>& at, const Coefficients& c, int64_t begin, int64_t end,
                          NormLanes& norms) {
  alignas(kCacheLine) float room[kBlock];
  for (; begin < end; begin += kBlock) {
    int64_t count = end - begin < kBlock ? end - begin : kBlock;
    prefetch_block<Grad, Copy, kAmsgrad>(at, begin);
    update_block<kAmsgrad, kNorms, kPlain>(at.p + begin, in_bulk(at.g + begin, count, room), at.m + begin, at.v + begin,
                                           kAmsgrad ? at.v_max + begin : nullptr,
                                           sizeof(Copy) == 2 ? at.copy + begin : nullptr, norms.param + begin % kLanes,
                                           norms.lost + begin % kLanes, c, count);
  }
}
