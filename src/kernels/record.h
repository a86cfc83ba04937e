// SPDX-License-Identifier: Apache-2.0
// From the sum of squares of a segment to the norm record, in fp64: step counters, bias corrections, the running sum S.
// Called by one warp per segment and one block per step on the device, and by the CPU backend.
#pragma once
#include "block8.h"
#include "layout.h"

namespace swd {

constexpr int kScalesPerChunk = kChunk / kScaleBlock;

// beta^t by binary exponentiation in one fixed order: resumable, and the same on host and device.
SWD_FN double power(double base, int64_t exponent) {
  double result = 1.0;
  for (uint64_t e = static_cast<uint64_t>(exponent); e != 0; e >>= 1) {
    if (e & 1u) result *= base;
    base *= base;
  }
  return result;
}

SWD_FN void* segment_pointer(const Pass& pass, int buffer, int64_t segment) {
  return pass.ws.pointers[buffer * pass.plan.segment_count + segment];
}

// Element 0 of a segment in one of its arrays: at its own pointer in a list, else at its offset from the flat base.
template <class T>
SWD_FN T* array_at(const Pass& pass, int buffer, int64_t segment, int64_t offset) {
  if (pass.plan.flags & SWD_PLAN_LIST) return static_cast<T*>(segment_pointer(pass, buffer, segment));
  return static_cast<T*>(pass.bases[buffer]) + offset;
}
template <class T>
SWD_FN T* array_of(const Pass& pass, int buffer, int64_t segment) {
  return array_at<T>(pass, buffer, segment, pass.ws.segments[segment].offset);
}

// The first block's byte of a segment, in one of the scale buffers.
SWD_FN uint8_t* scales_of(const Pass& pass, int buffer, int64_t segment) {
  if (pass.plan.flags & SWD_PLAN_LIST) return static_cast<uint8_t*>(segment_pointer(pass, buffer, segment));
  return static_cast<uint8_t*>(pass.bases[buffer]) + pass.ws.segments[segment].first_chunk * kScalesPerChunk;
}

// Element 0 of a segment in one of the caller's fp32 arrays, of swd_state_load and _store; NULL: to be left alone.
SWD_FN float* fp32_of(const Pass& pass, int array, int64_t segment) {
  float* base = static_cast<float*>(pass.fp32[array]);
  if (!base) return nullptr;
  if (!(pass.plan.flags & SWD_PLAN_LIST)) return base + pass.ws.segments[segment].offset;
  return static_cast<float*>(pass.ws.fp32_pointers[array * pass.plan.segment_count + segment]);
}

// The arrays of a plan of fp32 parameters and moments, from some element of a segment on. v_max with amsgrad, copy with
// copy_dtype.
template <class Grad, class Copy>
struct Arrays {
  float* p;
  const Grad* g;
  float* m;
  float* v;
  float* v_max;
  Copy* copy;
};

SWD_FN bool has_gradient(const Pass& pass, int64_t segment) {
  if (pass.ws.segments[segment].count == 0) return false;
  if (pass.has_grad && pass.has_grad[segment] == 0) return false;
  return !(pass.plan.flags & SWD_PLAN_LIST) || segment_pointer(pass, SWD_BUFFER_GRAD, segment);
}

// Bytes that `count` elements of a segment take in one of its buffers; 0: the plan has no such buffer.
SWD_FN uint64_t bytes_of(const PlanFacts& plan, int buffer, int64_t count) {
  bool scales = buffer == SWD_BUFFER_EXP_AVG_SCALE || buffer == SWD_BUFFER_EXP_AVG_SQ_SCALE;
  return static_cast<uint64_t>(scales ? divide_up(count, kScaleBlock) : count) * plan.element_bytes[buffer];
}

// Tensor lists: buffers of a segment that were never set, and pairs of them that share memory. Of segments with a
// gradient, which the caller has looked up.
SWD_FN double wrong_pointers(const Pass& pass, int64_t segment) {
  if (!(pass.plan.flags & SWD_PLAN_LIST)) return 0.0;
  double wrong = 0.0;
  int64_t count = pass.ws.segments[segment].count;
  for (int b = 0; b < kBufferCount; ++b) {
    uint64_t bytes = bytes_of(pass.plan, b, count);
    if (bytes == 0) continue;
    uintptr_t at = reinterpret_cast<uintptr_t>(segment_pointer(pass, b, segment));
    if (at == 0) wrong += 1.0;
    for (int other = 0; at != 0 && other < b; ++other) {
      uint64_t other_bytes = bytes_of(pass.plan, other, count);
      uintptr_t other_at = reinterpret_cast<uintptr_t>(segment_pointer(pass, other, segment));
      if (other_at != 0 && at < other_at + other_bytes && other_at < at + bytes) wrong += 1.0;
    }
  }
  return wrong;
}

// Whether pass 1 begins an epoch: the caller said so, or the last step was decided but never updated.
SWD_FN bool starts_afresh(const Pass& pass) {
  return pass.begins || (pass.phase == SWD_PHASE_GRAD && fresh_word(&pass.ws.header->armed) != kDisarmed);
}

// The epoch of what pass 1 leaves in the scratch. Where it begins one, the header follows when all of it is done.
SWD_FN uint64_t epoch_of(const Pass& pass) {
  return fresh_word(&pass.ws.header->epoch) + (starts_afresh(pass) ? 1 : 0);
}

// Of a unit in a state image: 0 is a fresh one. fp32 moments have none, and an image that says so belongs to others.
SWD_FN bool is_unit(double unit, bool narrow) {
  return unit == 0.0 || unit == 1.0 || (narrow && unit >= 0.5 && unit <= 1.0);
}

SWD_FN SegmentScratch segment_scratch(const Pass& pass, int64_t segment, const Partial& total, const swd_group& g) {
  const SegmentState& state = pass.segment_states[segment];
  bool sum_known = state.exp_avg_sq_sum >= 0.0 || state.exp_avg_sq_sum != state.exp_avg_sq_sum;
  bool sum_kept =
      sum_known && pass.ws.segments[segment].decay != SWD_DECAY_L2 && !(pass.step_flags & SWD_STEP_SKIP_NORM);
  SegmentScratch out;
  out.epoch = epoch_of(pass);
  out.max_epoch = 0;
  bool counts_on = state.step >= 0 && state.step < INT64_MAX;
  out.step = counts_on ? state.step + 1 : 1;
  out.q = total.sum;
  out.bad = total.also;
  out.sum_kept = sum_kept ? g.beta2 * state.exp_avg_sq_sum : -1.0;
  out.sum_gained = (1.0 - g.beta2) * total.sum;
  out.bias1 = 1.0 - power(g.beta1, out.step);
  out.bias2 = 1.0 - power(g.beta2, out.step);
  out.max_sum = 0.0;
  out.invalid = wrong_pointers(pass, segment) + (counts_on ? 0.0 : 1.0);
  if (!is_unit(state.exp_avg_sq_unit, pass.plan.narrow != 0)) out.invalid += 1.0;
  return out;
}

// The unit of a segment's second moments.
SWD_FN double unit_of(const SegmentState& state) { return state.exp_avg_sq_unit == 0.0 ? 1.0 : state.exp_avg_sq_unit; }

// The same for narrow moments: `step` and beta2 as segment_scratch has them. Kept in [0.5, 1]: doubling a unit is
// exact.
SWD_FN NarrowScratch narrow_scratch(const Pass& pass, int64_t segment, int64_t step, double beta2) {
  double unit = unit_of(pass.segment_states[segment]);
  NarrowScratch out;
  out.unit_after = beta2 >= 0.5 ? unit * beta2 : unit;
  if (out.unit_after < 0.5) out.unit_after *= 2.0;
  out.unit = static_cast<float>(unit);
  out.inverse_unit_after = static_cast<float>(1.0 / out.unit_after);
  out.key = rounding_key(pass.state->rounding_seed, step);
  return out;
}

// Ends pass 1 for a segment with a gradient: leaves what pass 2 needs of it. `total` is its sum of squares.
SWD_FN SegmentScratch keep_segment(const Pass& pass, int64_t segment, const Partial& total, const swd_group& g) {
  SegmentScratch scratch = segment_scratch(pass, segment, total, g);
  pass.ws.scratch[segment] = scratch;
  if (pass.plan.narrow) pass.ws.narrow[segment] = narrow_scratch(pass, segment, scratch.step, g.beta2);
  return scratch;
}

// S after the step: beta2 * S + (1 - beta2) * s^2 * Q, exact for the sum of v in real arithmetic.
SWD_FN double next_sum(const SegmentScratch& scratch, double s_squared) {
  return scratch.sum_kept < 0.0 ? -1.0 : scratch.sum_kept + s_squared * scratch.sum_gained;
}

// Whether what swd_state_rebuild made the running sum of a segment can be none.
SWD_FN bool is_damaged(const SegmentInfo& info, double sum) {
  return info.count > 0 && info.decay != SWD_DECAY_L2 && !(sum >= 0.0 && sum <= DBL_MAX);
}

SWD_FN bool in_vbar(const SegmentInfo& info) {
  return info.decay != SWD_DECAY_L2 && !(info.flags & SWD_SEGMENT_NO_VBAR);
}

// Whether a segment has a gradient in the step that is being made: pass 1 reduced it in this epoch.
SWD_FN bool takes_part(const SegmentScratch& scratch, uint64_t epoch) { return scratch.epoch == epoch; }

// Whether its v_max counts in the second round of amsgrad.
SWD_FN bool has_max(const SegmentInfo& info, const SegmentScratch& scratch, uint64_t epoch) {
  return takes_part(scratch, epoch) && in_vbar(info);
}

// Whether the second round of amsgrad sums anything: the first one decided, and did not skip the step.
SWD_FN bool max_round_runs(const Header& header) {
  return header.armed == kWaitsForMax && header.decision.result == SWD_RESULT_APPLIED;
}

// Adds what a segment with a gradient reduced to the record.
SWD_FN void add_sums(const SegmentInfo& info, const SegmentScratch& scratch, swd_norm_record& r) {
  r.bad += scratch.bad;
  r.invalid += scratch.invalid;
  r.total_sq += scratch.q;
  if (!(info.flags & SWD_SEGMENT_NO_NORM)) r.sum_sq += scratch.q;
  if (!in_vbar(info)) return;
  r.count += static_cast<double>(info.count);
  if (scratch.sum_kept < 0.0) {
    r.unknown += 1.0;
  } else {
    r.vbar_base += scratch.sum_kept / scratch.bias2;
    r.vbar_grad += scratch.sum_gained / scratch.bias2;
  }
}

// The same in the second round of amsgrad.
SWD_FN void add_max(const SegmentInfo& info, double max_sum, double bias2, swd_norm_record& r) {
  r.vbar_base += max_sum / bias2;
  r.count += static_cast<double>(info.count);
}

// Adds what segment k reduced in an epoch to the record.
SWD_FN void add_segment(const Pass& pass, int64_t k, uint64_t epoch, swd_norm_record& r) {
  const SegmentInfo& info = pass.ws.segments[k];
  const SegmentScratch& scratch = pass.ws.scratch[k];
  if (!takes_part(scratch, epoch)) return;
  if (pass.phase != SWD_PHASE_MAX) {
    add_sums(info, scratch, r);
  } else if (in_vbar(info) && scratch.max_epoch == epoch) {
    add_max(info, scratch.max_sum, scratch.bias2, r);
  }
}

// What the record gains once per rank besides its segments: the caller's found_inf. A NaN there counts too.
SWD_FN double found_inf_of(const Pass& pass) { return pass.found_inf && *pass.found_inf != 0.0f ? 1.0 : 0.0; }

}  // namespace swd
