// SPDX-License-Identifier: Apache-2.0
// From the norm record to the constants of pass 2, in fp64: the decision, the decay, the coefficients, the commit.
// Called by one block per step on the device, by the warps of pass 2, and by the CPU backend.
#pragma once
#include "element.h"
#include "group.h"
#include "record.h"

namespace swd {

SWD_FN double not_a_number() {
  uint64_t bits = 0x7FF8000000000000u;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

SWD_FN double loss_scale_of(const Pass& pass) {
  return pass.loss_scale_pointer ? pass.loss_scale * static_cast<double>(*pass.loss_scale_pointer) : pass.loss_scale;
}

SWD_FN void set_vbar(Decision& d, double sum, double count) {
  d.vbar = count > 0.0 ? sum / count : 0.0;
  d.inv_sqrt_vbar = d.vbar == 0.0 ? 0.0 : 1.0 / root(d.vbar);
}

// Whether vbar is taken from the maxed second moment, in a round of its own.
SWD_FN bool needs_max(const PlanFacts& plan) { return (plan.flags & SWD_PLAN_AMSGRAD) && plan.needs_vbar; }

// Of a record that may have been through other hands: a sum of squares, or a count.
SWD_FN bool is_sum(double x) { return x >= 0.0 && x <= DBL_MAX; }

// Whether vbar can be what a decay is divided by.
SWD_FN bool is_mean(double vbar) { return vbar >= 0.0 && vbar <= DBL_MAX; }

// Relative decay: the reference that the state will have after the step. The first applied step from reference_step on
// with a vbar to refer to gives it.
SWD_FN void set_reference(const Pass& pass, Decision& d) {
  d.reference = pass.state->vbar_reference;
  bool due = pass.plan.has_relative && d.reference == 0.0 && pass.state->steps_applied >= pass.reference_step - 1;
  if (due && d.result == SWD_RESULT_APPLIED && is_mean(d.vbar)) d.reference = d.vbar;
}

// The last question of a step that would be applied: whether the decay has a vbar.
SWD_FN void settle(const Pass& pass, Decision& d, bool uses_vbar) {
  bool propagate = (pass.step_flags & SWD_STEP_PROPAGATE) != 0;
  if (d.result == SWD_RESULT_APPLIED && uses_vbar && !propagate && !is_mean(d.vbar)) {
    d.result = SWD_RESULT_SKIPPED_VBAR;
  }
  set_reference(pass, d);
}

// Decides the step from the record. `invalid`: groups out of range seen here. Clamps are written so that NaN survives.
SWD_FN Decision decide_grad(const Pass& pass, const swd_norm_record& r, double invalid) {
  Decision d;
  double loss_scale = loss_scale_of(pass);
  bool skip_norm = (pass.step_flags & SWD_STEP_SKIP_NORM) != 0;
  d.flags = 0;
  if (skip_norm) d.flags |= SWD_STATS_NO_NORM;
  d.reserved = 0;
  d.bad = r.bad;
  d.count = r.count;
  d.grad_norm = root(r.sum_sq) / loss_scale;
  double ratio = pass.max_grad_norm / (d.grad_norm + 1e-6);
  d.clip_coef = pass.max_grad_norm > 0.0 && !(ratio >= 1.0) ? ratio : 1.0;
  if (d.clip_coef < 1.0) d.flags |= SWD_STATS_CLIPPED;
  float s = static_cast<float>(d.clip_coef / loss_scale);
  d.s = pass.plan.flags & SWD_PLAN_MAXIMIZE ? -s : s;
  d.s_squared = static_cast<double>(s) * static_cast<double>(s);
  set_vbar(d, r.unknown > 0.0 ? not_a_number() : r.vbar_base + d.s_squared * r.vbar_grad, r.count);
  bool bad = !(r.bad == 0.0);
  if (bad) d.flags |= SWD_STATS_NONFINITE;
  bool propagate = (pass.step_flags & SWD_STEP_PROPAGATE) != 0;
  bool sums = bad || (is_sum(r.sum_sq) && is_sum(r.total_sq) && is_sum(r.count) && is_sum(r.unknown));
  bool uses_vbar = pass.plan.needs_vbar && !needs_max(pass.plan);
  bool reference = !pass.plan.has_relative || is_sum(pass.state->vbar_reference);
  bool scale = loss_scale > 0.0 && loss_scale <= DBL_MAX;
  if (invalid > 0.0 || !(r.invalid == 0.0) || !sums || !scale || !reference) {
    d.result = SWD_RESULT_SKIPPED_INVALID;
  } else if (bad && (!propagate || skip_norm)) {
    d.result = SWD_RESULT_SKIPPED_NONFINITE;
  } else if (uses_vbar && r.unknown > 0.0) {
    d.result = SWD_RESULT_SKIPPED_SUM_UNKNOWN;
  } else if (!bad && (!(s <= FLT_MAX) || d.s_squared * r.total_sq > 0x1p126)) {
    d.result = SWD_RESULT_SKIPPED_OVERFLOW;
  } else if (!bad && s < FLT_MIN) {
    d.result = SWD_RESULT_SKIPPED_UNDERFLOW;
  } else {
    d.result = SWD_RESULT_APPLIED;
  }
  settle(pass, d, uses_vbar);
  return d;
}

// The second round of amsgrad, where some decay needs vbar: it is the mean of the maxed v-hat. The rest stands.
SWD_FN Decision decide_max(const Pass& pass, const swd_norm_record& r, double invalid) {
  Decision d = pass.ws.header->decision;
  set_vbar(d, r.vbar_base + d.s_squared * r.vbar_grad, r.count);
  bool same = r.count == d.count;  // else the maximum was not summed over the segments of this step
  if (d.result == SWD_RESULT_APPLIED && (invalid > 0.0 || !(r.invalid == 0.0) || !same))
    d.result = SWD_RESULT_SKIPPED_INVALID;
  settle(pass, d, true);
  return d;
}

SWD_FN Decision decide(const Pass& pass, const double* record, double invalid) {
  swd_norm_record r;
  memcpy(&r, record, sizeof r);
  return pass.phase == SWD_PHASE_MAX ? decide_max(pass, r, invalid) : decide_grad(pass, r, invalid);
}

// The larger decay factor; NaN survives.
SWD_FN double larger_decay(double a, double b) { return (b <= a || a != a) ? a : b; }

// The decay of a group in AdamW's unit: SWD's is weight_decay / sqrt(vbar), no eps, as in the reference. Relative decay
// without a reference is AdamW's to the bit, and with one SWD's with weight_decay * sqrt(reference).
SWD_FN double lambda_of(const Decision& decision, swd_decay decay, double weight_decay) {
  if (decay == SWD_DECAY_NONE || weight_decay == 0.0) return 0.0;
  if (decay == SWD_DECAY_SCHEDULED) return weight_decay * decision.inv_sqrt_vbar;
  if (decay != SWD_DECAY_RELATIVE || decision.reference == 0.0) return weight_decay;
  return decision.vbar == 0.0 ? 0.0 : weight_decay * root(decision.reference / decision.vbar);
}

// The constants of one group; sets flags that concern decay.
SWD_FN GroupScalars group_scalars(const Pass& pass, const Decision& decision, const swd_group& g, const GroupInfo& info,
                                  double* lambda_eff, double* largest_d, uint32_t* flags) {
  GroupScalars out;
  swd_decay decay = info.decay;
  *lambda_eff = lambda_of(decision, decay, g.weight_decay);
  bool shrinks = decay != SWD_DECAY_L2 && decay != SWD_DECAY_NONE && g.lr != 0.0;  // 0 * inf is no decay either
  double d = shrinks ? g.lr * *lambda_eff : 0.0;
  *flags = 0;
  if (d > 0.01) *flags |= SWD_STATS_LARGE_DECAY;
  if (d > pass.max_decay) {
    *flags |= SWD_STATS_DECAY_CAPPED;
    d = pass.max_decay;
  }
  if (!info.decays) *flags = 0;
  *largest_d = d;
  out.lr = g.lr;
  out.from_target1 = g.beta1 < 0.5;
  out.from_target2 = g.beta2 < 0.5;
  out.weight1 = out.from_target1 ? -static_cast<float>(g.beta1) : static_cast<float>(1.0 - g.beta1);
  out.weight2 = out.from_target2 ? -static_cast<float>(g.beta2) : static_cast<float>(1.0 - g.beta2);
  out.eps = static_cast<float>(g.eps);
  out.d = static_cast<float>(d);
  out.l2 = decay == SWD_DECAY_L2 ? static_cast<float>(g.weight_decay) : 0.0f;
  out.reserved = 0;
  return out;
}

// The fp32 constants of a segment for pass 2 (and for the second reduction of amsgrad).
SWD_FN Coefficients coefficients(const Decision& decision, const SegmentInfo& info, const SegmentScratch& scratch,
                                 const GroupScalars& g) {
  bool decays = !(info.flags & SWD_SEGMENT_NO_DECAY);
  Coefficients c;
  c.s = decision.s;
  c.weight1 = g.weight1;
  c.weight2 = g.weight2;
  c.a = static_cast<float>(g.lr / scratch.bias1);
  c.b = static_cast<float>(1.0 / root(scratch.bias2));
  c.eps = g.eps;
  c.d = decays ? g.d : 0.0f;
  c.l2 = decays ? g.l2 : 0.0f;
  c.from_target1 = g.from_target1 != 0 ? 1.0f : 0.0f;
  c.from_target2 = g.from_target2 != 0 ? 1.0f : 0.0f;
  return c;
}

}  // namespace swd
