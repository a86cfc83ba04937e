// SPDX-License-Identifier: Apache-2.0
// swd_state_load and swd_state_store over chunks: between fp32 arrays and what the plan stores. Included by loops.inl,
// inside its unnamed namespace.

// Half a step, as BlockBits has it for a step.
struct NearestBits {
  template <int kBits>
  uint32_t param(Split<kBits> kind, int64_t) const {
    return nearest_param(kind);
  }
  uint32_t first(int64_t) const { return kNearestHalf; }
  uint32_t second(int64_t) const { return kNearestHalf; }
};

template <class Array>
inline void load_chunk(const Array& to, const float* from, int64_t count) {
  alignas(kCacheLine) float room[kStoredBlock];
  for (int64_t at = 0; at < count; at += kStoredBlock) {
    int64_t part = count - at < kStoredBlock ? count - at : kStoredBlock;
    memcpy(room, from + at, static_cast<size_t>(part) * sizeof(float));
    encode(to, at, part, 1.0f, room, NearestBits{});
  }
}
inline void load_chunk(const WideArray& to, const float* from, int64_t count) {
  memcpy(to.x, from, static_cast<size_t>(count) * sizeof(float));
}

template <class Array>
inline void store_chunk(const Array& from, float* to, int64_t count, float unit) {
  for (int64_t at = 0; at < count; at += kStoredBlock) {
    decode(from, at, count - at < kStoredBlock ? count - at : kStoredBlock, unit, to + at);
  }
}
inline void store_chunk(const WideArray& from, float* to, int64_t count, float) {
  memcpy(to, from.x, static_cast<size_t>(count) * sizeof(float));
}

// One of the plan's arrays; `unit`: of its second moments.
template <class Array, bool kStores>
inline void convert_chunk(const Pass& pass, int array, int buffer, int64_t segment, int64_t local, float unit) {
  float* other = fp32_of(pass, array, segment);
  if (!other) return;
  other += local * kChunk;
  Array stored;
  locate(pass, buffer, segment, local, stored);
  int64_t count = count_of(pass.ws.segments[segment], local);
  if constexpr (kStores) {
    store_chunk(stored, other, count, unit);
  } else {
    load_chunk(stored, other, count);
  }
}

// Only the second moment needs the state: it is there where exp_avg_sq is.
template <class Param, class Moment, bool kStores>
void convert(const void* context, int64_t first, int64_t end) {
  const Pass& pass = *static_cast<const Pass*>(context);
  for (int64_t chunk = first; chunk < end; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    int64_t local = chunk - pass.ws.segments[segment].first_chunk;
    bool has_unit = pass.plan.narrow && pass.fp32[kFp32ExpAvgSq];
    float unit = has_unit ? static_cast<float>(unit_of(pass.segment_states[segment])) : 1.0f;
    convert_chunk<typename ParamArray<Param>::type, kStores>(pass, kFp32Param, SWD_BUFFER_PARAM, segment, local, 1.0f);
    convert_chunk<typename MomentArray<Moment, false>::type, kStores>(pass, kFp32ExpAvg, SWD_BUFFER_EXP_AVG, segment,
                                                                      local, 1.0f);
    convert_chunk<typename MomentArray<Moment, true>::type, kStores>(pass, kFp32ExpAvgSq, SWD_BUFFER_EXP_AVG_SQ,
                                                                     segment, local, unit);
  }
}
