// SPDX-License-Identifier: Apache-2.0
// The step in long double, written to be read beside docs/numerics.md.
#include "oracle.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace swd::test {
namespace {

const Real kMin = FLT_MIN, kMax = FLT_MAX;

// Moments and scaled gradients that fp32 holds as denormals count as zero.
Real without_denormals(Real x) { return std::fabs(x) < kMin ? 0 : x; }

bool in_range(const swd_group& g) {
  bool lr = std::isfinite(g.lr) && g.lr >= 0, weight_decay = std::isfinite(g.weight_decay) && g.weight_decay >= 0;
  bool betas = g.beta1 >= 0 && g.beta1 < 1 && g.beta2 >= 0 && g.beta2 < 1;
  return lr && weight_decay && betas && std::isnormal(static_cast<float>(g.eps)) && g.eps > 0;
}

Real square(Real x) { return x * x; }

}  // namespace

Real oracle_update(const OracleRates& r, Real raw, OracleElement& e) {
  Real g = without_denormals(r.s * raw) + (r.l2 != 0 ? r.l2 * e.p : 0);  // no decay of a NaN is none
  e.m = without_denormals(r.beta1 * e.m + (1 - r.beta1) * g);
  e.v = without_denormals(r.beta2 * e.v + (1 - r.beta2) * g * g);
  if (r.amsgrad && !(e.v <= e.v_max || std::isnan(e.v_max))) e.v_max = e.v;  // NaN in either survives
  Real before = e.p;
  e.p = oracle_param(r, e);
  return before - e.p;
}

Real oracle_param(const OracleRates& r, const OracleElement& e) {
  Real m_hat = e.m / r.bias1, v_hat = (r.amsgrad ? e.v_max : e.v) / r.bias2;
  return (1 - r.decay) * e.p - r.lr * m_hat / (std::sqrt(v_hat) + r.eps);
}

bool Oracle::is_member(size_t k) const {
  return decay_[segments[k].group] != SWD_DECAY_L2 && !(segments[k].flags & SWD_SEGMENT_NO_VBAR);
}

// The sums over raw gradients, and the record that the library makes of them.
void Oracle::measure(const OracleInput& in) {
  sum_sq_ = total_sq_ = 0;
  bad_ = in.found_inf ? 1 : 0;
  Real base = 0, gained = 0, count = 0, unknown = 0;
  bool skip_norm = (in.flags & SWD_STEP_SKIP_NORM) != 0;
  for (size_t k = 0; k < segments.size(); ++k) {
    if (!has_gradient(in, k)) continue;
    Real q = 0;
    for (size_t i = 0; i < in.grad[k].size() && !skip_norm; ++i) {
      q += square(in.grad[k][i]);
      if (!std::isfinite(in.grad[k][i])) bad_ += 1;
    }
    total_sq_ += q;
    if (!(segments[k].flags & SWD_SEGMENT_NO_NORM)) sum_sq_ += q;
    if (!is_member(k)) continue;
    const swd_group& g = in.groups[segments[k].group];
    Real beta2 = g.beta2, bias2 = 1 - std::pow(beta2, static_cast<Real>(segments[k].step + 1));
    count += static_cast<Real>(segments[k].elements.size());
    if (segments[k].sum < 0 || skip_norm) {
      unknown += 1;
    } else {
      base += beta2 * segments[k].sum / bias2;
      gained += (1 - beta2) * q / bias2;
    }
  }
  record = {static_cast<double>(sum_sq_), static_cast<double>(bad_),
            static_cast<double>(base),    static_cast<double>(gained),
            static_cast<double>(count),   static_cast<double>(total_sq_),
            static_cast<double>(unknown), 0.0};
}

swd_result Oracle::verdict(const OracleInput& in, Real s) const {
  bool valid = std::isfinite(in.loss_scale) && in.loss_scale > 0, scheduled = false;
  for (size_t i = 0; i < decay_.size(); ++i) {
    valid = valid && in_range(in.groups[i]);
    scheduled = scheduled || decay_[i] == SWD_DECAY_SCHEDULED || decay_[i] == SWD_DECAY_RELATIVE;
  }
  bool needs_sum = scheduled && !(plan_flags_ & SWD_PLAN_AMSGRAD);
  if (!valid) return SWD_RESULT_SKIPPED_INVALID;
  if (bad_ != 0 && !(in.flags & SWD_STEP_PROPAGATE)) return SWD_RESULT_SKIPPED_NONFINITE;
  if (needs_sum && record.unknown > 0) return SWD_RESULT_SKIPPED_SUM_UNKNOWN;
  if (bad_ == 0 && (s > kMax || s * s * total_sq_ > 0x1p126L)) return SWD_RESULT_SKIPPED_OVERFLOW;
  if (bad_ == 0 && s < kMin) return SWD_RESULT_SKIPPED_UNDERFLOW;
  return SWD_RESULT_APPLIED;
}

OracleRates Oracle::rates(const OracleInput& in, size_t k, Real s) const {
  const OracleSegment& segment = segments[k];
  const swd_group& g = in.groups[segment.group];
  bool decays = !(segment.flags & SWD_SEGMENT_NO_DECAY);
  Real t = static_cast<Real>(segment.step + 1);
  OracleRates out;
  out.s = plan_flags_ & SWD_PLAN_MAXIMIZE ? -s : s;
  out.lr = g.lr;
  out.beta1 = g.beta1;
  out.beta2 = g.beta2;
  out.eps = g.eps;
  out.decay = decays ? d_[segment.group] : 0;
  out.l2 = decays && decay_[segment.group] == SWD_DECAY_L2 ? g.weight_decay : 0;
  out.bias1 = 1 - std::pow(out.beta1, t);
  out.bias2 = 1 - std::pow(out.beta2, t);
  out.amsgrad = (plan_flags_ & SWD_PLAN_AMSGRAD) != 0;
  return out;
}

// The mean of the maxed second moment, bias corrected, as this step will leave it.
Real Oracle::maxed_mean(const OracleInput& in, Real s) const {
  Real sum = 0, count = 0;
  for (size_t k = 0; k < segments.size(); ++k) {
    if (!has_gradient(in, k) || !is_member(k)) continue;
    OracleRates r = rates(in, k, s);
    Real own = 0;
    for (size_t i = 0; i < segments[k].elements.size(); ++i) {
      OracleElement e = segments[k].elements[i];
      oracle_update(r, in.grad[k][i], e);
      own += e.v_max;
    }
    sum += own / r.bias2;
    count += static_cast<Real>(segments[k].elements.size());
  }
  return count > 0 ? sum / count : 0;
}

void Oracle::apply(const OracleInput& in, Real s) {
  Real params = 0, updates = 0;
  for (size_t k = 0; k < segments.size(); ++k) {
    if (!has_gradient(in, k)) continue;
    OracleSegment& segment = segments[k];
    OracleRates r = segment.rates = rates(in, k, s);
    Real q = 0;
    for (size_t i = 0; i < segment.elements.size(); ++i) {
      updates += square(oracle_update(r, in.grad[k][i], segment.elements[i]));
      params += square(segment.elements[i].p);
      q += square(in.grad[k][i]);
    }
    bool known = segment.sum >= 0 && decay_[segment.group] != SWD_DECAY_L2 && !(in.flags & SWD_STEP_SKIP_NORM);
    segment.sum = known || std::isnan(segment.sum) ? r.beta2 * segment.sum + (1 - r.beta2) * s * s * q : -1;
    segment.step += 1;
  }
  bool norms = (plan_flags_ & SWD_PLAN_UPDATE_NORMS) != 0;
  stats.param_norm = norms ? static_cast<double>(std::sqrt(params)) : 0;
  stats.update_norm = norms ? static_cast<double>(std::sqrt(updates)) : 0;
}

void Oracle::step(const OracleInput& in) {
  swd_stats last = stats;
  stats = swd_stats{};
  d_.assign(decay_.size(), 0);
  measure(in);
  Real norm = std::sqrt(sum_sq_) / in.loss_scale;
  Real ratio = in.max_grad_norm / (norm + 1e-6L);
  Real clip = in.max_grad_norm > 0 && !(ratio >= 1) ? ratio : 1;
  Real s = static_cast<float>(clip / in.loss_scale);  // the design rounds it, and every user takes that value
  stats.result = verdict(in, s);
  bool relative = std::count(decay_.begin(), decay_.end(), SWD_DECAY_RELATIVE) > 0;
  bool scheduled = std::count(decay_.begin(), decay_.end(), SWD_DECAY_SCHEDULED) > 0 || relative;
  Real vbar = 0;
  if (scheduled && (plan_flags_ & SWD_PLAN_AMSGRAD)) {
    vbar = maxed_mean(in, s);
  } else if (record.unknown > 0) {
    vbar = NAN;
  } else if (record.count > 0) {
    vbar = (static_cast<Real>(record.vbar_base) + s * s * static_cast<Real>(record.vbar_grad)) / record.count;
  }
  if (scheduled && stats.result == SWD_RESULT_APPLIED && !(in.flags & SWD_STEP_PROPAGATE) && !std::isfinite(vbar)) {
    stats.result = SWD_RESULT_SKIPPED_VBAR;
  }
  bool due = relative && reference == 0 && last.steps_applied + 1 >= in.reference_step;
  Real used = due && stats.result == SWD_RESULT_APPLIED && std::isfinite(vbar) ? vbar : reference;
  Real inv_sqrt_vbar = vbar == 0 ? 0 : 1 / std::sqrt(vbar), largest = 0;
  lambda_eff.assign(decay_.size(), 0.0);
  for (size_t i = 0; i < decay_.size(); ++i) {
    Real lambda = decay_[i] == SWD_DECAY_NONE ? 0 : in.groups[i].weight_decay;
    if (decay_[i] == SWD_DECAY_SCHEDULED && lambda != 0) lambda *= inv_sqrt_vbar;
    if (decay_[i] == SWD_DECAY_RELATIVE && lambda != 0 && used != 0) lambda *= std::sqrt(used) * inv_sqrt_vbar;
    lambda_eff[i] = static_cast<double>(lambda);
    Real d = decay_[i] == SWD_DECAY_L2 || in.groups[i].lr == 0 ? 0 : in.groups[i].lr * lambda;
    if (d > 0.01L && decays(i)) stats.flags |= SWD_STATS_LARGE_DECAY;
    if (d > in.max_decay && decays(i)) stats.flags |= SWD_STATS_DECAY_CAPPED;
    d_[i] = d > in.max_decay ? in.max_decay : d;
    if (d_[i] > largest || std::isnan(d_[i])) largest = d_[i];
  }
  if (clip < 1) stats.flags |= SWD_STATS_CLIPPED;
  if (bad_ != 0) stats.flags |= SWD_STATS_NONFINITE;
  if (in.flags & SWD_STEP_SKIP_NORM) stats.flags |= SWD_STATS_NO_NORM;
  stats.grad_norm = static_cast<double>(norm);
  stats.clip_coef = static_cast<double>(clip);
  stats.vbar = static_cast<double>(vbar);
  stats.inv_sqrt_vbar = static_cast<double>(inv_sqrt_vbar);
  stats.largest_decay = static_cast<double>(largest);
  stats.bad = static_cast<double>(bad_);
  bool applied = stats.result == SWD_RESULT_APPLIED;
  stats.steps_applied = last.steps_applied + (applied ? 1 : 0);
  stats.steps_skipped = last.steps_skipped + (applied ? 0 : 1);
  if (applied) apply(in, s), reference = used;
  stats.vbar_reference = static_cast<double>(reference);
}

bool Oracle::decays(size_t group) const {
  return std::any_of(segments.begin(), segments.end(), [&](const OracleSegment& segment) {
    return segment.group == group && !segment.elements.empty() && !(segment.flags & SWD_SEGMENT_NO_DECAY);
  });
}

void Oracle::rebuild() {
  for (OracleSegment& segment : segments) {
    if (segment.elements.empty()) continue;  // left alone: it never has a gradient
    segment.sum = 0;
    for (const OracleElement& e : segment.elements) segment.sum += e.v;
    if (decay_[segment.group] == SWD_DECAY_L2) segment.sum = -1;
  }
}

}  // namespace swd::test
