// SPDX-License-Identifier: Apache-2.0
// Draws points and compares one step on them.
#include "sweep.h"

#include <cfloat>
#include <cmath>

namespace swd::test {
namespace {

// Sign and significand at random, the exponent between two powers of two; sometimes a zero, a power of two, or one of
// the smallest numbers.
float draw(Dice& dice, int low, int high) {
  float sign = dice.chance(0.5) ? 1.0f : -1.0f;
  if (dice.chance(0.02)) return sign * 0.0f;
  if (dice.chance(0.02))
    return sign * float_of(static_cast<uint32_t>(1 + dice.below(0x00FFFFFF)));  // denormal, or nearly
  float significand = dice.chance(0.05) ? 1.0f : 1.0f + static_cast<float>(dice.below(1 << 23)) * 0x1p-23f;
  return sign * std::ldexp(significand, low + static_cast<int>(dice.below(high - low + 1)));
}

struct Points {
  std::vector<Fp32Element> state;
  std::vector<float> grad;
};

// Half of the points anywhere in the range of fp32 that a step survives; half with moments that fit the gradient.
Points draw_points(Dice& dice, int64_t n, swd_dtype dtype) {
  Points out;
  bool narrow = dtype == SWD_DTYPE_F16;
  for (int64_t i = 0; i < n; ++i) {
    bool plausible = dice.chance(0.5);
    int e = plausible ? static_cast<int>(dice.below(narrow ? 16 : 60)) - (narrow ? 12 : 40) : 0;
    float g = plausible ? draw(dice, e - 3, e + 2) : draw(dice, narrow ? -24 : -60, narrow ? 14 : 30);
    Fp32Element x;
    x.p = plausible ? draw(dice, -12, 4) : draw(dice, -140, 60);
    x.m = plausible ? draw(dice, e - 5, e + 1) : draw(dice, -126, 40);
    x.v = std::fabs(plausible ? draw(dice, 2 * e - 8, 2 * e + 2) : draw(dice, -126, 60));
    x.v_max = dice.chance(0.3) ? x.v : std::fabs(plausible ? draw(dice, 2 * e - 6, 2 * e + 4) : draw(dice, -126, 60));
    // A step leaves no denormal moments behind.
    if (std::fabs(x.m) < FLT_MIN) x.m = 0.0f;
    if (x.v < FLT_MIN) x.v = 0.0f;
    if (x.v_max < FLT_MIN) x.v_max = 0.0f;
    out.state.push_back(x);
    out.grad.push_back(rounded_to(dtype, g));
  }
  return out;
}

swd_group draw_group(Dice& dice) {
  const double betas[] = {0.0, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.999999};
  swd_group g = SWD_GROUP_INIT;
  g.lr = std::pow(10.0, -7.0 + 7.0 * dice.unit());
  g.beta1 = dice.chance(0.2) ? dice.unit() : betas[dice.below(8)];
  g.beta2 = dice.chance(0.2) ? dice.unit() : betas[dice.below(10)];
  g.eps = std::pow(10.0, -12.0 + 10.0 * dice.unit());
  g.weight_decay = std::pow(10.0, -8.0 + 8.0 * dice.unit());
  return g;
}

void write(Runner& r, size_t k, const Points& points, bool amsgrad) {
  std::vector<float> p, m, v, v_max;
  for (const Fp32Element& x : points.state) {
    p.push_back(x.p);
    m.push_back(x.m);
    v.push_back(x.v);
    v_max.push_back(x.v_max);
  }
  r.set(SWD_BUFFER_PARAM, k, p);
  r.set(SWD_BUFFER_EXP_AVG, k, m);
  r.set(SWD_BUFFER_EXP_AVG_SQ, k, v);
  if (amsgrad) r.set(SWD_BUFFER_MAX_EXP_AVG_SQ, k, v_max);
}

// What the oracle needs to know of segment k after the step.
OracleRates rates_of(Runner& r, size_t k, double scale, const std::vector<double>& lambda) {
  const RunSetup& s = r.setup();
  uint32_t group = s.group_of[k];
  const swd_group& g = s.groups[group];
  bool decays = s.decay[group] == SWD_DECAY_SCHEDULED || s.decay[group] == SWD_DECAY_DECOUPLED;
  Real t = static_cast<Real>(r.segment_state(k).step);
  OracleRates out;
  out.s = static_cast<float>(s.flags & SWD_PLAN_MAXIMIZE ? -scale : scale);
  out.lr = g.lr;
  out.beta1 = g.beta1;
  out.beta2 = g.beta2;
  out.eps = g.eps;
  out.decay = decays ? std::min(static_cast<Real>(g.lr) * lambda[group], Real{1}) : 0;
  out.l2 = s.decay[group] == SWD_DECAY_L2 ? g.weight_decay : 0;
  out.bias1 = 1 - std::pow(out.beta1, t);
  out.bias2 = 1 - std::pow(out.beta2, t);
  out.amsgrad = (s.flags & SWD_PLAN_AMSGRAD) != 0;
  return out;
}

void compare(Runner& r, size_t k, const OracleRates& whole, const Points& points, SweepFigures& figures) {
  std::vector<float> p = r.get(SWD_BUFFER_PARAM, k), m = r.get(SWD_BUFFER_EXP_AVG, k),
                     v = r.get(SWD_BUFFER_EXP_AVG_SQ, k), v_max;
  if (whole.amsgrad) v_max = r.get(SWD_BUFFER_MAX_EXP_AVG_SQ, k);
  OracleRates formula = as_fp32(whole);
  formula.l2 = 0;
  float s = static_cast<float>(whole.s), l2 = static_cast<float>(whole.l2);  // without decay 0, which adds nothing
  int64_t spread = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const Fp32Element &before = points.state[i], after{p[i], m[i], v[i], whole.amsgrad ? v_max[i] : 0.0f};
    float raw = points.grad[i], scaled = s * raw;
    if (!std::isfinite(raw)) {
      spread += std::isfinite(after.p) || std::isfinite(after.m) || std::isfinite(after.v) ? 1 : 0;
      continue;
    }
    figures.whole.add(whole, raw, before, after);
    if (std::fabs(scaled) < FLT_MIN) scaled = 0.0f;
    float g = scaled + l2 * before.p;
    if (g == 0.0f || std::fabs(g) >= FLT_MIN) figures.formula.add(formula, g, before, after);
  }
  EXPECT_EQ(spread, 0) << "a gradient that is not finite left something finite";
}

}  // namespace

void sweep_batch(Dice& dice, int64_t segments, int64_t elements, SweepFigures& figures) {
  const swd_dtype dtypes[] = {SWD_DTYPE_F32, SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16};
  RunSetup s;
  s.backend = backend_under_test();
  s.threads = s.backend == SWD_BACKEND_CPU ? 1 : 0;
  s.grad = dtypes[dice.below(4)];
  for (uint32_t flag : {SWD_PLAN_AMSGRAD, SWD_PLAN_MAXIMIZE}) s.flags |= dice.chance(0.4) ? flag : 0u;
  s.decay.clear();
  s.groups.clear();
  for (int64_t k = 0; k < segments; ++k) {
    s.counts.push_back(elements);
    s.group_of.push_back(static_cast<uint32_t>(k));
    s.decay.push_back(static_cast<swd_decay>(dice.below(4)));
    s.groups.push_back(draw_group(dice));
  }
  Runner r(s);
  double loss_scale = dice.chance(0.3) ? 1.0 : std::exp2(20.0 * dice.unit() - 10.0);
  r.args().loss_scale = loss_scale;
  r.args().max_decay = 1.0;  // as rates_of says
  std::vector<Points> points;
  for (size_t k = 0; k < s.counts.size(); ++k) {
    points.push_back(draw_points(dice, elements, s.grad));
    write(r, k, points.back(), (s.flags & SWD_PLAN_AMSGRAD) != 0);
    r.set(SWD_BUFFER_GRAD, k, points.back().grad);
    r.set_segment_state(k, {dice.below(dice.chance(0.5) ? 10 : 100000), std::exp2(40.0 * dice.unit())});
  }
  r.step();
  std::vector<double> lambda;
  ASSERT_EQ(r.stats(&lambda).result, SWD_RESULT_APPLIED);
  for (size_t k = 0; k < s.counts.size(); ++k)
    compare(r, k, rates_of(r, k, 1.0 / loss_scale, lambda), points[k], figures);
}

void sweep_codes(Dice& dice, swd_dtype dtype, SweepFigures& figures) {
  RunSetup s;
  s.backend = backend_under_test();
  s.grad = dtype;
  s.counts = {65536};
  s.group_of = {0};
  s.decay = {SWD_DECAY_DECOUPLED};
  s.groups = {draw_group(dice)};
  Runner r(s);
  // Without NaN and infinity among them the largest bf16 gradients would overflow exp_avg_sq and the step be skipped.
  double loss_scale = dtype == SWD_DTYPE_BF16 ? 0x1p66 : 1.0;
  r.args().loss_scale = loss_scale;
  r.args().max_decay = 1.0;  // as rates_of says
  r.args().flags = SWD_STEP_PROPAGATE;
  Points points = draw_points(dice, s.counts[0], dtype);
  std::vector<uint16_t> codes(points.grad.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<uint16_t>(i);
    points.grad[i] = code_value(dtype, codes[i]);
  }
  write(r, 0, points, false);
  r.set_codes(SWD_BUFFER_GRAD, 0, codes);
  r.step();
  std::vector<double> lambda;
  swd_stats stats = r.stats(&lambda);
  ASSERT_EQ(stats.result, SWD_RESULT_APPLIED);
  EXPECT_EQ(stats.bad, dtype == SWD_DTYPE_BF16 ? 256.0 : 2048.0);
  compare(r, 0, rates_of(r, 0, 1.0 / loss_scale, lambda), points, figures);
}

}  // namespace swd::test
