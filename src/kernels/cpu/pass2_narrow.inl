// SPDX-License-Identifier: Apache-2.0
// Pass 2 over chunks whose parameters or moments are not fp32: decoded a block at a time into fp32, updated by the loop
// that fp32 has, encoded again. Included by loops.inl, inside its unnamed namespace.

// The arrays of one chunk, from its first element on, and what its codes are rounded by.
template <class Grad, class Param, class Moment>
struct NarrowArrays {
  typename ParamArray<Param>::type p;
  typename MomentArray<Moment, false>::type m;
  typename MomentArray<Moment, true>::type v;
  const Grad* g;
  float* v_max;
  NarrowScratch narrow;  // of fp32 moments: not there, and not looked at
  uint64_t index;        // of the first element in the unsharded model
};

template <class Grad, class Param, class Moment, bool kAmsgrad>
inline NarrowArrays<Grad, Param, Moment> narrow_arrays_of(const Pass& pass, int64_t segment, int64_t local) {
  NarrowArrays<Grad, Param, Moment> out = {};
  locate(pass, SWD_BUFFER_PARAM, segment, local, out.p);
  locate(pass, SWD_BUFFER_EXP_AVG, segment, local, out.m);
  locate(pass, SWD_BUFFER_EXP_AVG_SQ, segment, local, out.v);
  out.g = array_of<const Grad>(pass, SWD_BUFFER_GRAD, segment, local);
  if constexpr (kAmsgrad) out.v_max = array_of<float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment, local);
  if constexpr (sizeof(Moment) != sizeof(float)) {
    out.narrow = pass.ws.narrow[segment];
    out.index = static_cast<uint64_t>(pass.ws.index[segment] + local * kChunk);
  }
  return out;
}

// The bits of a block's elements.
struct BlockBits {
  alignas(kCacheLine) uint32_t a[kStoredBlock];
  alignas(kCacheLine) uint32_t b[kStoredBlock];
  template <int kBits>
  uint32_t param(Split<kBits> kind, int64_t i) const {
    return param_bits(kind, RoundingBits{a[i], b[i]});
  }
  uint32_t first(int64_t i) const { return b[i] >> 16; }
  uint32_t second(int64_t i) const { return a[i] >> 16; }
};

__attribute__((noinline, flatten)) void fill(BlockBits& bits, const RoundingKey& key, uint64_t index) {
  uint32_t low = static_cast<uint32_t>(index), high = static_cast<uint32_t>(index >> 32);
  for (uint32_t i = 0; i < kStoredBlock; ++i) {
    uint32_t at = low + i, wrapped = at < low ? 1u : 0u;
    RoundingBits element = rounding_bits(key, at, high + wrapped);
    bits.a[i] = element.a;
    bits.b[i] = element.b;
  }
}

// Elements [begin, end) of a chunk; `begin` is a block's.
template <bool kAmsgrad, bool kNorms, bool kPlain, class Grad, class Param, class Moment>
inline void update_blocks(const NarrowArrays<Grad, Param, Moment>& at, const Coefficients& c, int64_t begin,
                          int64_t end, NormLanes& norms) {
  constexpr bool kRounds = sizeof(Moment) != sizeof(float);
  alignas(kCacheLine) float p_room[kStoredBlock], m_room[kStoredBlock], v_room[kStoredBlock];
  BlockBits bits;
  for (; begin < end; begin += kStoredBlock) {
    int64_t count = end - begin < kStoredBlock ? end - begin : kStoredBlock;
    float* p = decode(at.p, begin, count, 1.0f, p_room);
    float* m = decode(at.m, begin, count, 1.0f, m_room);
    float* v = decode(at.v, begin, count, at.narrow.unit, v_room);
    update_block<kAmsgrad, kNorms, kPlain, Grad, None>(p, at.g + begin, m, v, kAmsgrad ? at.v_max + begin : nullptr,
                                                       nullptr, norms.param + begin % kLanes,
                                                       norms.lost + begin % kLanes, c, count);
    if constexpr (kRounds) fill(bits, at.narrow.key, at.index + static_cast<uint64_t>(begin));
    encode(at.p, begin, count, 1.0f, p, bits);
    encode(at.m, begin, count, 1.0f, m, bits);
    encode(at.v, begin, count, at.narrow.inverse_unit_after, v, bits);
  }
}
