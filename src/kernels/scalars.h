// SPDX-License-Identifier: Apache-2.0
// From the norm record to the constants of pass 2, in fp64: the decision, the decay, the coefficients, the commit.
// Called by one block per step on the device, by the warps of pass 2, and by the CPU backend.
#pragma once
#include <cstddef>

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
  if (!(g.lr_factor >= 0.0 && g.lr_factor <= DBL_MAX)) return 6;
  return 0;
}

constexpr uint64_t kFirstGroupBytes = offsetof(swd_group, lr_pointer) + sizeof(float*);  // of 0.1

// The group at `at` as this step uses it: `lr` is the rate, whatever it was given by. Of an older caller's shorter
// group what it does not know reads as zero; what a later one sets and this library does not know makes it out of
// range.
SWD_FN swd_group read_group(const char* at, uint64_t bytes) {
  swd_group g;
  memcpy(&g, at, kFirstGroupBytes);
  g.lr_factor = 0.0;
  if (bytes >= sizeof g) memcpy(&g.lr_factor, at + offsetof(swd_group, lr_factor), sizeof g.lr_factor);
  if (g.lr_pointer) {
    bool aligned = reinterpret_cast<uintptr_t>(g.lr_pointer) % alignof(float) == 0;
    g.lr = aligned ? static_cast<double>(*g.lr_pointer) : -1.0;  // which is out of range
  }
  if (g.lr_factor != 0.0) g.lr *= g.lr_factor;
  for (uint64_t i = sizeof g; i < bytes; ++i) {
    if (at[i] != 0) g.lr = -1.0;
  }
  return g;
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
  if (d.result == SWD_RESULT_APPLIED && (invalid > 0.0 || !(r.invalid == 0.0) || !is_sum(r.count)))
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

// The round is decided: notes what the update will do, and arms it unless a second round follows. The statistics stay
// those of the latest committed step until then.
SWD_FN void conclude(const Pass& pass, const Decision& d, double largest_d, uint32_t flags) {
  Header& header = *pass.ws.header;
  swd_stats& out = header.pending;
  out.result = d.result;
  out.flags = d.flags | flags;
  out.grad_norm = d.grad_norm;
  out.clip_coef = d.clip_coef;
  out.vbar = d.vbar;
  out.inv_sqrt_vbar = d.inv_sqrt_vbar;
  out.largest_decay = largest_d;
  out.bad = d.bad;
  out.param_norm = 0.0;
  out.update_norm = 0.0;
  header.decision = d;
  header.armed = needs_max(pass.plan) && pass.phase != SWD_PHASE_MAX ? kWaitsForMax : kArmed;
}

// The decided round's lambda_eff; the update makes it the reported one.
SWD_FN double* pending_lambda_eff(const Pass& pass) {
  return pass.ws.lambda_eff + (pass.ws.header->lambda_slot ^ 1u) * static_cast<uint64_t>(pass.plan.group_count);
}

SWD_FN void begin_epoch(Header& header) {
  header.epoch += 1;
  header.armed = kDisarmed;
}

SWD_FN bool applies(const Header& header) {
  return header.armed == kArmed && header.decision.result == SWD_RESULT_APPLIED;
}

// Ends pass 2: counts the step, tells what it did, and begins the next epoch. Not armed, it only says so.
SWD_FN void commit_step(Header& header, StateHeader& state, const Partial& norms) {
  swd_stats& stats = header.stats;
  if (header.armed != kArmed) {
    stats.result = SWD_RESULT_NOT_ARMED;
    return;
  }
  int64_t damaged = stats.damaged_segment;  // of a rebuild, not of a step
  bool applied = applies(header);
  stats = header.pending;
  if (applied) {
    state.steps_applied += 1;
    state.vbar_reference = header.decision.reference;
    stats.param_norm = root(norms.sum);
    stats.update_norm = root(norms.bad);
  } else {
    state.steps_skipped += 1;
  }
  stats.steps_applied = state.steps_applied;
  stats.steps_skipped = state.steps_skipped;
  stats.vbar_reference = state.vbar_reference;
  stats.damaged_segment = damaged;
  header.lambda_slot ^= 1u;
  begin_epoch(header);
}

}  // namespace swd
