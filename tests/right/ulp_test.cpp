// SPDX-License-Identifier: Apache-2.0
// Every element of every state buffer after every one of 1,000 steps, against the oracle's step from the same state:
// the rounding of the formula itself, then all that a step rounds.
#include "support/ulp.h"

#include <cmath>
#include <ostream>

#include "support/runner.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

struct Case {
  const char* name;
  swd_decay decay;
  uint32_t flags;
  double beta1, beta2;
};

std::vector<Fp32Element> elements(Runner& r, bool amsgrad) {
  std::vector<float> p = r.get(SWD_BUFFER_PARAM, 0), m = r.get(SWD_BUFFER_EXP_AVG, 0),
                     v = r.get(SWD_BUFFER_EXP_AVG_SQ, 0), v_max;
  if (amsgrad) v_max = r.get(SWD_BUFFER_MAX_EXP_AVG_SQ, 0);
  std::vector<Fp32Element> out(p.size());
  for (size_t i = 0; i < p.size(); ++i) out[i] = {p[i], m[i], v[i], amsgrad ? v_max[i] : 0.0f};
  return out;
}

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class UlpTest : public ::testing::TestWithParam<Case> {};

TEST_P(UlpTest, AThousandSteps) {
  const Case& c = GetParam();
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = c.flags;
  s.decay = {c.decay};
  s.counts = {scaled(2000, 300)};
  s.groups[0] = {1e-3, c.beta1, c.beta2, 1e-8, 1e-3, nullptr, 0.0};
  Runner r(s);
  bool amsgrad = (c.flags & SWD_PLAN_AMSGRAD) != 0;
  r.set(SWD_BUFFER_PARAM, 0, uniform(1, 1, s.counts[0]));
  r.args().max_grad_norm = 1.0;
  r.args().loss_scale = 3.0;
  UlpFigures formula("formula", 2.0, 4.0), whole("whole step", 5.0, 5.0);
  std::vector<Fp32Element> before = elements(r, amsgrad);
  for (int64_t t = 1, steps = shortened(1000, 100); t <= steps; ++t) {
    std::vector<float> g = uniform(2, static_cast<uint64_t>(t), s.counts[0]);
    for (size_t i = 0; i < g.size(); ++i) g[i] = std::ldexp(g[i], static_cast<int>(i % 16) - 8);
    r.set(SWD_BUFFER_GRAD, 0, g);
    r.step();
    swd_stats stats = r.stats();
    ASSERT_EQ(stats.result, SWD_RESULT_APPLIED);
    OracleRates rates;
    rates.s = static_cast<float>(stats.clip_coef / 3.0);
    if (c.flags & SWD_PLAN_MAXIMIZE) rates.s = -rates.s;
    rates.lr = s.groups[0].lr;
    rates.beta1 = c.beta1;
    rates.beta2 = c.beta2;
    rates.eps = s.groups[0].eps;
    rates.decay = stats.largest_decay;
    rates.l2 = c.decay == SWD_DECAY_L2 ? s.groups[0].weight_decay : 0.0;
    rates.bias1 = 1 - std::pow(rates.beta1, static_cast<Real>(t));
    rates.bias2 = 1 - std::pow(rates.beta2, static_cast<Real>(t));
    rates.amsgrad = amsgrad;
    std::vector<Fp32Element> after = elements(r, amsgrad);
    OracleRates given = as_fp32(rates);  // and the gradient as fp32 has it, L2 decay included
    given.l2 = 0;
    float s32 = static_cast<float>(rates.s), l2 = static_cast<float>(rates.l2);
    for (size_t i = 0; i < g.size(); ++i) {
      whole.add(rates, g[i], before[i], after[i]);
      formula.add(given, s32 * g[i] + l2 * before[i].p, before[i], after[i]);
    }
    before = std::move(after);
  }
  formula.check();
  whole.check();
  EXPECT_LT(whole.left_out, whole.points / 1000);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, UlpTest,
    ::testing::Values(Case{"scheduled", SWD_DECAY_SCHEDULED, 0, 0.9, 0.999},
                      Case{"scheduled_amsgrad", SWD_DECAY_SCHEDULED, SWD_PLAN_AMSGRAD, 0.9, 0.999},
                      Case{"decoupled_maximize", SWD_DECAY_DECOUPLED, SWD_PLAN_MAXIMIZE, 0.95, 0.99},
                      Case{"l2", SWD_DECAY_L2, 0, 0.9, 0.999}, Case{"small_betas", SWD_DECAY_DECOUPLED, 0, 0.3, 0.4},
                      Case{"zero_betas", SWD_DECAY_NONE, 0, 0.0, 0.0}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace swd::test
