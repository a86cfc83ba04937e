// SPDX-License-Identifier: Apache-2.0
// From the norm record to the constants of pass 2, in fp64: the decision, the decay, the coefficients, the commit.
// Called by one block per step on the device, by the warps of pass 2, and by the CPU backend.
#pragma once
#include "element.h"
#include "record.h"

namespace swd {

SWD_FN double not_a_number() {
  uint64_t bits = 0x7FF8000000000000u;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The first member of a group that is out of range, in the order of swd_group; 0 if none, else 1 + its number.
SWD_FN int invalid_member(const swd_group& g) {
  if (!(g.lr >= 0.0 && g.lr <= DBL_MAX)) return 1;
  if (!(g.beta1 >= 0.0 && g.beta1 < 1.0)) return 2;
  if (!(g.beta2 >= 0.0 && g.beta2 < 1.0)) return 3;
  float eps = static_cast<float>(g.eps);
  if (!(eps >= FLT_MIN && eps <= FLT_MAX)) return 4;  // 0/0 on untouched rows otherwise
  if (!(g.weight_decay >= 0.0 && g.weight_decay <= DBL_MAX)) return 5;
  return 0;
}

// The group as this step uses it: lr_pointer resolved.
SWD_FN swd_group read_group(const void* groups, uint64_t stride, uint32_t i) {
  swd_group g;
  const char* at = static_cast<const char*>(groups) + stride * i;
  memcpy(&g, at, sizeof g);
  if (g.lr_pointer) {
    bool aligned = reinterpret_cast<uintptr_t>(g.lr_pointer) % alignof(float) == 0;
    g.lr = aligned ? static_cast<double>(*g.lr_pointer) : -1.0;  // which is out of range
  }
  return g;
}

SWD_FN double loss_scale_of(const Pass& pass) {
  return pass.loss_scale_pointer ? static_cast<double>(*pass.loss_scale_pointer) : pass.loss_scale;
}

SWD_FN void set_vbar(Decision& d, double sum, double count) {
  d.vbar = count > 0.0 ? sum / count : 0.0;
  d.inv_sqrt_vbar = d.vbar == 0.0 ? 0.0 : 1.0 / root(d.vbar);
}

// Whether vbar is taken from the maxed second moment, in a round of its own.
SWD_FN bool needs_max(const PlanFacts& plan) { return (plan.flags & SWD_PLAN_AMSGRAD) && plan.has_scheduled; }

// Of a record that may have been through other hands: a sum of squares, or a count.
SWD_FN bool is_sum(double x) { return x >= 0.0 && x <= DBL_MAX; }

// Decides the step from the record. `invalid`: groups out of range seen here. Clamps are written so that NaN survives.
SWD_FN Decision decide(const Pass& pass, const swd_norm_record& r, double invalid) {
  Decision d;
  double loss_scale = loss_scale_of(pass);
  bool skip_norm = (pass.step_flags & SWD_STEP_SKIP_NORM) != 0;
  d.flags = 0;
  if (skip_norm) d.flags |= SWD_STATS_NO_NORM;
  d.reserved = 0;
  d.bad = r.bad;
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
  bool needs_sum = pass.plan.has_scheduled && !needs_max(pass.plan);
  if (invalid > 0.0 || !(r.invalid == 0.0) || !sums || !(loss_scale > 0.0 && loss_scale <= DBL_MAX)) {
    d.status = SWD_STEP_SKIPPED_INVALID;
  } else if (bad && !propagate) {
    d.status = SWD_STEP_SKIPPED_NONFINITE;
  } else if (needs_sum && r.unknown > 0.0) {
    d.status = SWD_STEP_SKIPPED_SUM_UNKNOWN;
  } else if (!bad && (!(s <= FLT_MAX) || d.s_squared * r.total_sq > 0x1p126)) {
    d.status = SWD_STEP_SKIPPED_OVERFLOW;
  } else if (!bad && s < FLT_MIN) {
    d.status = SWD_STEP_SKIPPED_UNDERFLOW;
  } else {
    d.status = SWD_STEP_APPLIED;
  }
  return d;
}

// The second round of amsgrad with scheduled decay: vbar is the mean of the maxed v-hat. The rest stands.
SWD_FN void decide_max(Decision& d, const swd_norm_record& r, double invalid) {
  set_vbar(d, r.vbar_base + d.s_squared * r.vbar_grad, r.count);
  if (d.status == SWD_STEP_APPLIED && (invalid > 0.0 || !(r.invalid == 0.0) || !is_sum(r.count)))
    d.status = SWD_STEP_SKIPPED_INVALID;
}

// The larger decay factor; NaN survives.
SWD_FN double larger_decay(double a, double b) { return (b <= a || a != a) ? a : b; }

// The constants of one group; sets flags that concern decay. d = lr * lambda / sqrt(vbar), no eps, as in the reference.
SWD_FN GroupScalars group_scalars(const Pass& pass, const Decision& decision, const swd_group& g, swd_decay decay,
                                  double* lambda_eff, double* largest_d, uint32_t* flags) {
  GroupScalars out;
  bool scheduled = decay == SWD_DECAY_SCHEDULED, decoupled = decay == SWD_DECAY_DECOUPLED;
  *lambda_eff = scheduled ? (g.weight_decay == 0.0 ? 0.0 : g.weight_decay * decision.inv_sqrt_vbar)
                          : (decay == SWD_DECAY_NONE ? 0.0 : g.weight_decay);
  double d = scheduled || decoupled ? g.lr * *lambda_eff : 0.0;
  *flags = 0;
  if (d > 0.1) *flags |= SWD_STATS_LARGE_DECAY;
  if (d > pass.max_decay) {
    *flags |= SWD_STATS_DECAY_CAPPED;
    d = pass.max_decay;
  }
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

// The statistics of a finished decision; swd_update completes them.
SWD_FN swd_stats stats_of(const Decision& d, const swd_state_header& state, double largest_d) {
  swd_stats out;
  out.status = d.status;
  out.flags = d.flags;
  out.steps_applied = state.steps_applied;
  out.steps_skipped = state.steps_skipped;
  out.grad_norm = d.grad_norm;
  out.clip_coef = d.clip_coef;
  out.vbar = d.vbar;
  out.inv_sqrt_vbar = d.inv_sqrt_vbar;
  out.largest_decay = largest_d;
  out.bad = d.bad;
  out.param_norm = 0.0;
  out.update_norm = 0.0;
  return out;
}

// Ends pass 2: counts the step, disarms, starts the next epoch.
SWD_FN void commit_step(Header& header, swd_state_header& state, const Partial& norms) {
  bool armed = header.armed == kArmed;
  bool applied = armed && header.decision.status == SWD_STEP_APPLIED;
  if (applied) {
    state.steps_applied += 1;
    header.stats.param_norm = root(norms.sum);
    header.stats.update_norm = root(norms.bad);
  } else if (armed) {
    state.steps_skipped += 1;
  } else {
    header.stats.status = SWD_STEP_NOT_ARMED;
  }
  header.stats.steps_applied = state.steps_applied;
  header.stats.steps_skipped = state.steps_skipped;
  header.armed = kDisarmed;
  header.epoch += 1;
}

}  // namespace swd
