// SPDX-License-Identifier: Apache-2.0
// The step of oracle.h.
#include "oracle.h"

#include "narrow_oracle.h"
#include "oracle_numbers.h"
#include "oracle_sums.h"
#include "support/numbers.h"

namespace swd::fuzz {
namespace {

struct Numbers {
  float s;
  double s_squared;
  Doubles decay_factor;  // of each group
};

bool in_vbar(const Training& t, const Segment& segment) {
  return t.decay[segment.group] != SWD_DECAY_L2 && !(segment.flags & SWD_SEGMENT_NO_VBAR);
}

float gradient(const Training& t, int64_t i, float s, float l2) {
  float g = zero_if_denormal(s * t.grad[static_cast<size_t>(i)]);
  return l2 != 0.0f ? g + l2 * t.param[static_cast<size_t>(i)] : g;
}

float next_v(const Training& t, int64_t i, float g, double beta2) {
  return zero_if_denormal(toward(t.exp_avg_sq[static_cast<size_t>(i)], g * g, beta2));
}

// Pass 2 over one segment; what the parameters lost.
void update(Training& t, size_t k, int64_t at, const Pass1& pass, const Numbers& numbers, std::vector<float>& lost) {
  const Segment& segment = t.segments[k];
  const swd_group& g = t.groups[segment.group];
  bool decays = !(segment.flags & SWD_SEGMENT_NO_DECAY), amsgrad = (t.plan_flags & SWD_PLAN_AMSGRAD) != 0;
  float d = decays ? static_cast<float>(numbers.decay_factor[segment.group]) : 0.0f;
  float l2 = decays && t.decay[segment.group] == SWD_DECAY_L2 ? static_cast<float>(g.weight_decay) : 0.0f;
  float a = static_cast<float>(g.lr / pass.bias1), b = static_cast<float>(1.0 / std::sqrt(pass.bias2));
  for (int64_t n = at; n < at + segment.count; ++n) {
    size_t i = static_cast<size_t>(n);
    float scaled = gradient(t, n, numbers.s, l2);
    t.exp_avg[i] = zero_if_denormal(toward(t.exp_avg[i], scaled, g.beta1));
    t.exp_avg_sq[i] = next_v(t, n, scaled, g.beta2);
    if (amsgrad) t.max_exp_avg_sq[i] = larger(t.max_exp_avg_sq[i], t.exp_avg_sq[i]);
    float v = amsgrad ? t.max_exp_avg_sq[i] : t.exp_avg_sq[i];
    lost[i] = a * (t.exp_avg[i] / (std::sqrt(v) * b + static_cast<float>(g.eps)));
    if (d != 0.0f) lost[i] = d * t.param[i] + lost[i];
    t.param[i] -= lost[i];
    if (t.copy_dtype != SWD_DTYPE_NONE) t.param_copy[i] = test::nearest_code(t.copy_dtype, t.param[i]);
  }
}

// Norms of the whole plan: items of 1,024 elements, four to each begun chunk of a segment, in one tree.
double norm(const Training& t, const std::vector<Pass1>& passes, const std::vector<float>& x) {
  Doubles items;
  int64_t at = 0;
  for (size_t k = 0; k < t.segments.size(); ++k) {
    int64_t count = t.segments[k].count;
    for (int64_t begin = 0; begin < (count + 4095) / 4096 * 4096; begin += 1024) {
      int64_t n = passes[k].takes_part ? std::clamp<int64_t>(count - begin, 0, 1024) : 0;
      items.push_back(n == 0 ? 0.0
                             : sum_runs(at + begin, n, [&](int64_t i) { return square(x[static_cast<size_t>(i)]); }));
    }
    at += count;
  }
  return std::sqrt(fold_tree(items));
}

// Pass 1: sums of squares, counters and running sums as they would become.
// Segments join the record by 256 lanes: here they are fewer, each its own lane.
std::vector<Pass1> pass_one(const Training& t, swd_norm_record& r) {
  std::vector<Pass1> passes;
  Doubles sum_sq(256), base(256), grad(256), total_sq(256);
  bool skip_norm = (t.step_flags & SWD_STEP_SKIP_NORM) != 0;
  int64_t at = 0;
  for (size_t k = 0; k < t.segments.size(); at += t.segments[k++].count) {
    const Segment& segment = t.segments[k];
    const swd_group& g = t.groups[segment.group];
    Pass1 pass{segment.count > 0 && t.has_grad[k] != 0};
    double bad = 0.0;
    if (!skip_norm && pass.takes_part) {
      pass.q = sum_segment(
          at, segment.count, [&](int64_t i) { return t.grad[static_cast<size_t>(i)]; }, true, &bad);
    }
    double sum = t.states[k].exp_avg_sq_sum;
    bool known = !(sum < 0.0) && t.decay[segment.group] != SWD_DECAY_L2 && !skip_norm;
    pass.kept = known ? g.beta2 * sum : -1.0;
    pass.gained = (1.0 - g.beta2) * pass.q;
    pass.bias1 = 1.0 - power(g.beta1, t.states[k].step + 1);
    pass.bias2 = 1.0 - power(g.beta2, t.states[k].step + 1);
    passes.push_back(pass);
    if (!pass.takes_part) continue;
    r.bad += bad;
    total_sq[k] = pass.q;
    if (!(segment.flags & SWD_SEGMENT_NO_NORM)) sum_sq[k] = pass.q;
    if (!in_vbar(t, segment)) continue;
    r.count += static_cast<double>(segment.count);
    if (pass.kept < 0.0) r.unknown += 1.0;
    if (!(pass.kept < 0.0)) base[k] = pass.kept / pass.bias2, grad[k] = pass.gained / pass.bias2;
  }
  r.sum_sq = fold(sum_sq);
  r.total_sq = fold(total_sq);
  r.vbar_base = fold(base);
  r.vbar_grad = fold(grad);
  if (t.found_inf != 0.0f) r.bad += 1.0;
  return passes;
}

// The mean of what max_exp_avg_sq, bias corrected, will be.
double maxed_vbar(const Training& t, const std::vector<Pass1>& passes, const Numbers& numbers) {
  Doubles base(256);
  double count = 0.0;
  int64_t at = 0;
  for (size_t k = 0; k < t.segments.size(); at += t.segments[k++].count) {
    const Segment& segment = t.segments[k];
    if (!passes[k].takes_part || !in_vbar(t, segment) || t.stats.result != SWD_RESULT_APPLIED) continue;
    double unused = 0.0, beta2 = t.groups[segment.group].beta2;
    auto maxed = [&](int64_t i) {
      return larger(t.max_exp_avg_sq[static_cast<size_t>(i)], next_v(t, i, gradient(t, i, numbers.s, 0.0f), beta2));
    };
    base[k] = sum_segment(at, segment.count, maxed, false, &unused) / passes[k].bias2;
    count += static_cast<double>(segment.count);
  }
  return mean(fold(base) + numbers.s_squared * 0.0, count);
}

swd_result verdict(const Training& t, const swd_norm_record& r, const Numbers& numbers, bool max_round) {
  float s = std::fabs(numbers.s);
  bool bad = r.bad != 0.0;
  if (bad && (!(t.step_flags & SWD_STEP_PROPAGATE) || (t.step_flags & SWD_STEP_SKIP_NORM)))
    return SWD_RESULT_SKIPPED_NONFINITE;
  if (needs_vbar(t) && !max_round && r.unknown > 0.0) return SWD_RESULT_SKIPPED_SUM_UNKNOWN;
  if (!bad && (!(s <= FLT_MAX) || numbers.s_squared * r.total_sq > 0x1p126)) return SWD_RESULT_SKIPPED_OVERFLOW;
  if (!bad && s < FLT_MIN) return SWD_RESULT_SKIPPED_UNDERFLOW;
  return SWD_RESULT_APPLIED;
}

void decay_factors(Training& t, Numbers& numbers, double reference) {
  for (size_t i = 0; i < t.groups.size(); ++i) {
    const swd_group& g = t.groups[i];
    swd_decay mode = t.decay[i];
    double lambda = g.weight_decay;
    if (mode == SWD_DECAY_SCHEDULED && lambda != 0.0) lambda *= t.stats.inv_sqrt_vbar;
    if (mode == SWD_DECAY_RELATIVE && lambda != 0.0 && reference != 0.0) {
      lambda = t.stats.vbar == 0.0 ? 0.0 : lambda * std::sqrt(reference / t.stats.vbar);
    }
    double d = mode == SWD_DECAY_L2 || mode == SWD_DECAY_NONE || g.lr == 0.0 ? 0.0 : g.lr * lambda;
    bool decays = false;
    for (const Segment& segment : t.segments) {
      decays = decays || (segment.group == i && segment.count > 0 && !(segment.flags & SWD_SEGMENT_NO_DECAY));
    }
    if (d > 0.01 && decays) t.stats.flags |= SWD_STATS_LARGE_DECAY;
    if (d > t.max_decay && decays) t.stats.flags |= SWD_STATS_DECAY_CAPPED;
    if (d > t.max_decay) d = t.max_decay;
    numbers.decay_factor.push_back(d);
    double& most = t.stats.largest_decay;
    most = std::isnan(most) || d <= most ? most : d;
  }
}

}  // namespace

bool needs_vbar(const Training& t) {
  return std::count(t.decay.begin(), t.decay.end(), SWD_DECAY_SCHEDULED) > 0 ||
         std::count(t.decay.begin(), t.decay.end(), SWD_DECAY_RELATIVE) > 0;
}

void oracle_step(Training& t) {
  swd_norm_record r{};
  std::vector<Pass1> passes = pass_one(t, r);
  t.stats = swd_stats{};
  t.stats.bad = r.bad;
  t.stats.grad_norm = std::sqrt(r.sum_sq) / t.loss_scale;
  double ratio = t.max_grad_norm / (t.stats.grad_norm + 1e-6);
  t.stats.clip_coef = t.max_grad_norm > 0.0 && !(ratio >= 1.0) ? ratio : 1.0;
  float s = static_cast<float>(t.stats.clip_coef / t.loss_scale);
  Numbers numbers{t.plan_flags & SWD_PLAN_MAXIMIZE ? -s : s, static_cast<double>(s) * static_cast<double>(s), {}};
  bool max_round = (t.plan_flags & SWD_PLAN_AMSGRAD) && needs_vbar(t);
  t.stats.result = verdict(t, r, numbers, max_round);
  t.stats.vbar = r.unknown > 0.0 ? not_a_number() : r.vbar_base + numbers.s_squared * r.vbar_grad;
  t.stats.vbar = max_round ? maxed_vbar(t, passes, numbers) : mean(t.stats.vbar, r.count);
  t.stats.inv_sqrt_vbar = t.stats.vbar == 0.0 ? 0.0 : 1.0 / std::sqrt(t.stats.vbar);
  if (t.stats.clip_coef < 1.0) t.stats.flags |= SWD_STATS_CLIPPED;
  if (r.bad != 0.0) t.stats.flags |= SWD_STATS_NONFINITE;
  if (t.step_flags & SWD_STEP_SKIP_NORM) t.stats.flags |= SWD_STATS_NO_NORM;
  bool finite = t.stats.vbar >= 0.0 && t.stats.vbar <= DBL_MAX;
  if (t.stats.result == SWD_RESULT_APPLIED && needs_vbar(t) && !finite && !(t.step_flags & SWD_STEP_PROPAGATE)) {
    t.stats.result = SWD_RESULT_SKIPPED_VBAR;
  }
  double reference = t.counts.vbar_reference;
  if (std::count(t.decay.begin(), t.decay.end(), SWD_DECAY_RELATIVE) > 0 && reference == 0.0 &&
      t.counts.steps_applied + 1 >= t.reference_step && finite && t.stats.result == SWD_RESULT_APPLIED) {
    reference = t.stats.vbar;
  }
  decay_factors(t, numbers, reference);
  if (t.stats.result == SWD_RESULT_APPLIED) {
    std::vector<float> lost(t.param.size(), 0.0f);
    int64_t at = 0;
    for (size_t k = 0; k < t.segments.size(); at += t.segments[k++].count) {
      if (!passes[k].takes_part) continue;
      decode_segment(t, k, at);
      update(t, k, at, passes[k], numbers, lost);
      double sum = passes[k].kept < 0.0 ? -1.0 : passes[k].kept + numbers.s_squared * passes[k].gained;
      t.states[k] = {t.states[k].step + 1, sum, t.states[k].exp_avg_sq_unit, 0};
      encode_segment(t, k, at);
    }
    if (t.plan_flags & SWD_PLAN_UPDATE_NORMS) {
      t.stats.param_norm = norm(t, passes, t.param);
      t.stats.update_norm = norm(t, passes, lost);
    }
  }
  if (t.stats.result == SWD_RESULT_APPLIED) t.counts.vbar_reference = reference;
  t.stats.vbar_reference = t.counts.vbar_reference;
  ++(t.stats.result == SWD_RESULT_APPLIED ? t.counts.steps_applied : t.counts.steps_skipped);
  t.stats.steps_applied = t.counts.steps_applied;
  t.stats.steps_skipped = t.counts.steps_skipped;
}

}  // namespace swd::fuzz
