// SPDX-License-Identifier: Apache-2.0
// From the sum of squares of a segment to the norm record, in fp64: step counters, bias corrections, the running sum S.
// Called by one warp per segment and one block per step on the device, and by the CPU backend.
#pragma once
#include "layout.h"

namespace swd {

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

SWD_FN bool has_gradient(const Pass& pass, int64_t segment) {
  if (pass.ws.segments[segment].count == 0) return false;
  if (pass.has_grad && pass.has_grad[segment] == 0) return false;
  return !(pass.plan.flags & SWD_PLAN_LIST) || segment_pointer(pass, SWD_BUFFER_GRAD, segment);
}

// Tensor lists: pointers other than the gradient's that were never set.
SWD_FN double missing_pointers(const Pass& pass, int64_t segment, bool has_copy) {
  if (!(pass.plan.flags & SWD_PLAN_LIST)) return 0.0;
  double missing = 0.0;
  for (int b = 0; b < kBufferCount; ++b) {
    bool needed = b != SWD_BUFFER_GRAD && (b != SWD_BUFFER_PARAM_COPY || has_copy) &&
                  (b != SWD_BUFFER_MAX_EXP_AVG_SQ || (pass.plan.flags & SWD_PLAN_AMSGRAD));
    if (needed && !segment_pointer(pass, b, segment)) missing += 1.0;
  }
  return missing;
}

// Ends pass 1 for a segment with a gradient: `total` is its sum of squares.
SWD_FN SegmentScratch segment_scratch(const Pass& pass, int64_t segment, const Partial& total, const swd_group& g,
                                      bool has_copy) {
  const swd_segment_state& state = pass.segment_states[segment];
  bool sum_known = state.exp_avg_sq_sum >= 0.0 || state.exp_avg_sq_sum != state.exp_avg_sq_sum;
  bool sum_kept =
      sum_known && pass.ws.segments[segment].decay != SWD_DECAY_L2 && !(pass.step_flags & SWD_STEP_SKIP_NORM);
  SegmentScratch out;
  out.epoch = pass.ws.header->epoch;
  out.max_epoch = 0;
  bool counts_on = state.step >= 0 && state.step < INT64_MAX;
  out.step = counts_on ? state.step + 1 : 1;
  out.q = total.sum;
  out.bad = total.bad;
  out.sum_kept = sum_kept ? g.beta2 * state.exp_avg_sq_sum : -1.0;
  out.sum_gained = (1.0 - g.beta2) * total.sum;
  out.bias1 = 1.0 - power(g.beta1, out.step);
  out.bias2 = 1.0 - power(g.beta2, out.step);
  out.max_sum = 0.0;
  out.invalid = missing_pointers(pass, segment, has_copy) + (counts_on ? 0.0 : 1.0);
  return out;
}

// S after the step: beta2 * S + (1 - beta2) * s^2 * Q, exact for the sum of v in real arithmetic.
SWD_FN double next_sum(const SegmentScratch& scratch, double s_squared) {
  return scratch.sum_kept < 0.0 ? -1.0 : scratch.sum_kept + s_squared * scratch.sum_gained;
}

SWD_FN bool in_vbar(const SegmentInfo& info) {
  return info.decay != SWD_DECAY_L2 && !(info.flags & SWD_SEGMENT_NO_VBAR);
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

// Adds what segment k reduced in this epoch to the record.
SWD_FN void add_segment(const Pass& pass, int64_t k, swd_norm_record& r) {
  const SegmentInfo& info = pass.ws.segments[k];
  const SegmentScratch& scratch = pass.ws.scratch[k];
  uint64_t epoch = pass.ws.header->epoch;
  if (scratch.epoch != epoch) return;
  if (pass.phase != SWD_PHASE_MAX) {
    add_sums(info, scratch, r);
  } else if (in_vbar(info) && scratch.max_epoch == epoch) {
    add_max(info, scratch.max_sum, scratch.bias2, r);
  }
}

// What the record gains once per rank besides its segments: the caller's found_inf. A NaN there counts too.
SWD_FN double found_inf_of(const Pass& pass) { return pass.found_inf && *pass.found_inf != 0.0f ? 1.0 : 0.0; }

}  // namespace swd
