// SPDX-License-Identifier: Apache-2.0
// Pass 2 over chunks of any kind, and the copy of parameters by itself. Included by loops.inl, inside its unnamed
// namespace.

// Arrays or NarrowArrays; update_blocks knows both.
template <class Row, bool kAmsgrad>
inline auto row_arrays_of(const Pass& pass, int64_t segment, int64_t local) {
  if constexpr (Row::kPlain) {
    return arrays_of<typename Row::grad, typename Row::copy, kAmsgrad>(pass, segment, local);
  } else {
    return narrow_arrays_of<typename Row::grad, typename Row::param, typename Row::moment, kAmsgrad>(pass, segment,
                                                                                                     local);
  }
}

// Called only where the step applies. Commits the counter and the running sum with a segment's first chunk.
// Norms: an item of a chunk is a leaf of their tree; items beyond the chunk's end hold 0.
template <class Row, bool kAmsgrad, bool kNorms>
void update(const void* context, int64_t first, int64_t end_chunk) {
  const Pass& pass = *static_cast<const Pass*>(context);
  const Header& header = *pass.ws.header;
  constexpr int kStride = kNorms ? kItem : kChunk;
  for (int64_t chunk = first; chunk < end_chunk; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    const SegmentScratch& scratch = pass.ws.scratch[segment];
    Partial* leaves = pass.ws.norm_values + chunk * kItemsPerChunk;
    for (int item = 0; kNorms && item < kItemsPerChunk; ++item) leaves[item] = Partial{0.0, 0.0};
    if (!takes_part(scratch, header.epoch)) continue;
    int64_t local = chunk - info.first_chunk;
    if (local == 0) {
      pass.segment_states[segment].step = scratch.step;
      pass.segment_states[segment].exp_avg_sq_sum = next_sum(scratch, header.decision.s_squared);
      if (pass.plan.narrow) pass.segment_states[segment].exp_avg_sq_unit = pass.ws.narrow[segment].unit_after;
    }
    Coefficients c = coefficients(header.decision, info, scratch, pass.ws.groups[info.group]);
    auto at = row_arrays_of<Row, kAmsgrad>(pass, segment, local);
    int count = count_of(info, local);
    for (int begin = 0; begin < count; begin += kStride) {
      NormLanes norms;
      if constexpr (kNorms) norms = {};
      int end = begin + kStride < count ? begin + kStride : count;
      if (pass.plan.flags & SWD_PLAN_TAKE_COPY) take_copies(at, begin, end);
      if (is_plain(c)) update_blocks<kAmsgrad, kNorms, true>(at, c, begin, end, norms);
      if (!is_plain(c)) update_blocks<kAmsgrad, kNorms, false>(at, c, begin, end, norms);
      if constexpr (kNorms) leaves[begin / kItem] = Partial{fold_lanes(norms.param), fold_lanes(norms.lost)};
    }
  }
}

// What swd_copy_params does: the parameters as a step would have written them.
template <class Copy>
void copy_params(const void* context, int64_t first, int64_t end) {
  const Pass& pass = *static_cast<const Pass*>(context);
  for (int64_t chunk = first; sizeof(Copy) == 2 && chunk < end; ++chunk) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    int64_t local = chunk - info.first_chunk;
    const float* p = array_of<const float>(pass, SWD_BUFFER_PARAM, segment, local);
    Copy* copy = array_of<Copy>(pass, SWD_BUFFER_PARAM_COPY, segment, local);
    int count = count_of(info, local);
    for (int i = 0; i < count; ++i) copy[i] = round_to(p[i], Copy{});
  }
}
