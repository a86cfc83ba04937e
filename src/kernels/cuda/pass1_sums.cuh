// SPDX-License-Identifier: Apache-2.0
// What the kernels of pass 1 sum, and what becomes of it. Called by pass1_reduce.cu.
#pragma once
#include "decide.cuh"
#include "pass1_chunk.cuh"

namespace swd::cuda {

// What a kernel sums: says which segments take part, builds the source of a segment, and drops it or keeps its total
// and says what that adds to the record.
template <class T>
struct SumSquares {
  using Source = GradSquares<T>;
  __device__ static bool begins(const Launch& args) { return starts_afresh(args.pass); }
  __device__ static bool skips(const Launch& args, int64_t segment) { return !has_gradient(args.pass, segment); }
  __device__ static Source source(const Launch& args, int64_t segment) {
    return {array_of<const T>(args.pass, SWD_BUFFER_GRAD, segment)};
  }
  __device__ static void drop(const Launch& args, int64_t segment) {
    args.pass.ws.scratch[segment].epoch = 0;  // it may have had a gradient in an earlier call of this step
  }
  __device__ static void keep(const Launch& args, int64_t segment, const Partial& total, swd_norm_record& r) {
    const Pass& pass = args.pass;
    const SegmentInfo& info = pass.ws.segments[segment];
    swd_group group = group_at(args, info.group);
    add_sums(info, keep_segment(pass, segment, total, group), r);
  }
};

template <class T>
struct SumMaxed {
  using Source = MaxedMoments<T>;
  __device__ static bool begins(const Launch& args) { return starts_afresh(args.pass); }
  __device__ static bool skips(const Launch& args, int64_t segment) {
    const Pass& pass = args.pass;
    return pass.begins || !max_round_runs(*pass.ws.header) ||
           !has_max(pass.ws.segments[segment], pass.ws.scratch[segment], fresh_word(&pass.ws.header->epoch));
  }
  __device__ static Source source(const Launch& args, int64_t segment) {
    const Pass& pass = args.pass;
    const SegmentInfo& info = pass.ws.segments[segment];
    return {array_of<const T>(pass, SWD_BUFFER_GRAD, segment),
            array_of<const float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment),
            array_of<const float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment),
            coefficients(pass.ws.header->decision, info, pass.ws.scratch[segment], pass.ws.groups[info.group])};
  }
  __device__ static void drop(const Launch&, int64_t) {}
  __device__ static void keep(const Launch& args, int64_t segment, const Partial& total, swd_norm_record& r) {
    SegmentScratch& scratch = args.pass.ws.scratch[segment];
    scratch.max_sum = total.sum;
    scratch.max_epoch = args.pass.ws.header->epoch;
    add_max(args.pass.ws.segments[segment], total.sum, scratch.bias2, r);
  }
};

template <class T>  // float, Bf16 or Block8
struct SumMoments {
  using Source = Moments<T>;
  __device__ static bool begins(const Launch&) { return false; }
  __device__ static bool skips(const Launch& args, int64_t segment) {
    bool scaled = sizeof(T) > 1 || scales_of(args.pass, SWD_BUFFER_EXP_AVG_SQ_SCALE, segment) != nullptr;
    return !scaled || array_of<const T>(args.pass, SWD_BUFFER_EXP_AVG_SQ, segment) == nullptr;  // of a list
  }
  __device__ static Source source(const Launch& args, int64_t segment) {
    const Pass& pass = args.pass;
    const T* codes = array_of<const T>(pass, SWD_BUFFER_EXP_AVG_SQ, segment);
    if constexpr (sizeof(T) > 1) {
      return {codes};
    } else {
      return {reinterpret_cast<const uint8_t*>(codes), scales_of(pass, SWD_BUFFER_EXP_AVG_SQ_SCALE, segment)};
    }
  }
  // The lowest segment wins, as the largest distance from the end: 0 is none.
  __device__ static void drop(const Launch& args, int64_t segment) {
    const Pass& pass = args.pass;
    atomicMax(reinterpret_cast<unsigned long long*>(&pass.ws.header->damaged),
              static_cast<unsigned long long>(pass.plan.segment_count - segment));
  }
  __device__ static void keep(const Launch& args, int64_t segment, const Partial& total, swd_norm_record&) {
    const SegmentInfo& info = args.pass.ws.segments[segment];
    SegmentState& state = args.pass.segment_states[segment];
    double sum = total.sum;
    if constexpr (sizeof(T) != sizeof(float)) sum *= unit_of(state);
    state.exp_avg_sq_sum = info.decay == SWD_DECAY_L2 ? -1.0 : sum;
    if (is_damaged(info, sum)) drop(args, segment);
  }
};

}  // namespace swd::cuda
