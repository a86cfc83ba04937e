// SPDX-License-Identifier: Apache-2.0
// Step counters past 2^24, 2^32 and 2^53, beta 0 and next to 1, lr 0, the ends of eps, plans in which nothing decays or
// next to nothing has a gradient: against a long-double step, or to the bit.
#include <cmath>

#include "support/one_element.h"
#include "support/runner.h"

namespace swd::test {
namespace {

constexpr int64_t kCount = 100;

RunSetup setup(const swd_group& group, uint32_t flags = 0) {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = flags;
  s.counts = {kCount};
  s.decay = {SWD_DECAY_NONE};
  s.groups = {group};
  return s;
}

// A state as after `step` steps, whose moments are neither zero nor equal.
void start(Runner& r, int64_t step) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    int64_t n = r.setup().counts[k];
    r.set(SWD_BUFFER_PARAM, k, uniform(1, k, n));
    r.set(SWD_BUFFER_GRAD, k, uniform(2, k, n));
    r.set(SWD_BUFFER_EXP_AVG, k, uniform(3, k, n));
    std::vector<float> v = uniform(4, k, n);
    for (float& x : v) x = x * x + 0x1p-20f;
    r.set(SWD_BUFFER_EXP_AVG_SQ, k, v);
    std::vector<uint8_t> image = r.image();
    swd_segment_state state{step, 1.0};
    r.ok(swd_state_set(r.plan(), image.data(), image.size(), static_cast<int64_t>(k), &state,
                       sizeof(swd_segment_state)));
    r.set_image(image);
  }
}

void expect_close(const swd_group& group, int64_t step) {
  std::string what = "beta1 " + std::to_string(group.beta1) + " beta2 " + std::to_string(group.beta2) + " eps " +
                     std::to_string(group.eps) + " step " + std::to_string(step);
  Runner r(setup(group));
  start(r, step);
  std::vector<float> p0 = r.get(SWD_BUFFER_PARAM, 0), m0 = r.get(SWD_BUFFER_EXP_AVG, 0),
                     v0 = r.get(SWD_BUFFER_EXP_AVG_SQ, 0);
  r.step();
  ASSERT_EQ(r.stats().result, SWD_RESULT_APPLIED) << what;
  EXPECT_EQ(r.segment_state(0).step, step + 1) << what;
  ElementSetup element;
  element.group = group;
  element.step = step + 1;
  std::vector<float> p = r.get(SWD_BUFFER_PARAM, 0), m = r.get(SWD_BUFFER_EXP_AVG, 0),
                     v = r.get(SWD_BUFFER_EXP_AVG_SQ, 0);
  std::vector<float> g = uniform(2, 0, kCount);
  for (size_t i = 0; i < p.size(); ++i) {
    Distance d = distance(element, g[i], {p0[i], m0[i], v0[i]}, {p[i], m[i], v[i]});
    ASSERT_TRUE(d.m <= 3.0 && d.v <= 3.0 && d.p <= 4.0) << what << ": " << d.m << ", " << d.v << ", " << d.p;
  }
}

constexpr int64_t kSteps[] = {0,
                              1,
                              (INT64_C(1) << 24) - 1,
                              INT64_C(1) << 24,
                              (INT64_C(1) << 24) + 1,
                              INT64_C(0x7FFFFFFF),
                              (INT64_C(1) << 32) - 1,
                              INT64_C(1) << 32,
                              (INT64_C(1) << 32) + 1,
                              (INT64_C(1) << 53) + 1,
                              INT64_C(1) << 62,
                              INT64_MAX - 1};
const double kBelowOne = std::nextafter(1.0, 0.0), kBelowHalf = std::nextafter(0.5, 0.0);

TEST(HostileSteps, CountersOfAnySize) {
  for (int64_t step : kSteps) {
    expect_close({1e-3, 0.9, 0.999, 1e-8, 0.0, nullptr, 0.0}, step);
    expect_close({1e-3, 0.9999999, 0.99999999, 1e-8, 0.0, nullptr, 0.0}, step);
  }
}

TEST(HostileSteps, BetasAtTheEnds) {
  for (double beta1 : {0.0, 5e-324, 1e-10, kBelowHalf, 0.5, 0.999999999, kBelowOne}) {
    for (double beta2 : {0.0, 5e-324, kBelowHalf, 0.5, 0.9999999999, kBelowOne}) {
      for (int64_t step : {INT64_C(0), INT64_C(1000), INT64_C(1) << 33})
        expect_close({1e-3, beta1, beta2, 1e-8, 0.0, nullptr, 0.0}, step);
    }
  }
}

TEST(HostileSteps, BetaZeroForgetsTheMoments) {
  Runner r(setup({1e-3, 0.0, 0.0, 1e-8, 0.0, nullptr, 0.0}));
  start(r, 7);
  r.step();
  std::vector<float> g = uniform(2, 0, kCount), square = g;
  for (float& x : square) x *= x;
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 0), g);
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG_SQ, 0), square);
}

TEST(HostileSteps, EpsAndLearningRateAtTheEnds) {
  for (double eps : {static_cast<double>(FLT_MIN), 1e-20, 1e-3, 1.0, 1e10, 0x1p126, static_cast<double>(FLT_MAX)}) {
    for (double lr : {0.0, 1e-30, 1.0, 1e10}) expect_close({lr, 0.9, 0.999, eps, 0.0, nullptr}, 10);
  }
}

TEST(HostileSteps, LearningRateZeroMovesOnlyTheState) {
  for (swd_decay decay : {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE}) {
    RunSetup s = setup({0.0, 0.9, 0.999, 1e-8, 0.5, nullptr, 0.0});
    s.decay = {decay};
    Runner r(s);
    start(r, 3);
    std::vector<float> p = r.get(SWD_BUFFER_PARAM, 0), m = r.get(SWD_BUFFER_EXP_AVG, 0);
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
    EXPECT_EQ(r.stats().largest_decay, 0.0);
    EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 0), p);
    EXPECT_NE(r.get(SWD_BUFFER_EXP_AVG, 0), m);
    EXPECT_EQ(r.segment_state(0).step, 4);
  }
}

TEST(HostileSteps, PlansWithoutDecay) {
  RunSetup s = setup({1e-3, 0.9, 0.999, 1e-8, 0.7, nullptr, 0.0});
  s.counts = {kCount, 5000};
  Runner none(s);
  s.decay = {SWD_DECAY_SCHEDULED};
  s.flags_of.assign(s.counts.size(), SWD_SEGMENT_NO_DECAY);
  Runner flagged(s);
  s.flags_of.assign(s.counts.size(), SWD_SEGMENT_NO_DECAY | SWD_SEGMENT_NO_NORM | SWD_SEGMENT_NO_VBAR);
  Runner outside(s);  // nobody is in the norm or in vbar
  for (Runner* r : {&none, &flagged, &outside}) {
    start(*r, 3);
    r->step();
    EXPECT_EQ(r->stats().result, SWD_RESULT_APPLIED);
    for (size_t k = 0; k < 2; ++k) EXPECT_EQ(r->get(SWD_BUFFER_PARAM, k), none.get(SWD_BUFFER_PARAM, k));
  }
  std::vector<double> lambda_eff;
  EXPECT_EQ(none.stats(&lambda_eff).largest_decay, 0.0);
  EXPECT_EQ(lambda_eff, std::vector<double>{0.0});
  swd_stats stats = outside.stats();
  EXPECT_EQ(stats.grad_norm, 0.0);
  EXPECT_EQ(stats.vbar, 0.0);
  EXPECT_EQ(stats.inv_sqrt_vbar, 0.0);
}

TEST(HostileSteps, DecayIsCapped) {
  for (double weight_decay : {1.0, 1e30, DBL_MAX}) {
    RunSetup s = setup({1.0, 0.9, 0.999, 1e-8, weight_decay, nullptr, 0.0});
    s.decay = {SWD_DECAY_SCHEDULED};
    Runner r(s);
    start(r, 3);
    r.args().max_decay = 0.25;
    r.step();
    EXPECT_EQ(r.stats().flags & SWD_STATS_DECAY_CAPPED, uint32_t{SWD_STATS_DECAY_CAPPED});
    EXPECT_EQ(r.stats().largest_decay, 0.25);
    for (float x : r.get(SWD_BUFFER_PARAM, 0)) EXPECT_TRUE(std::isfinite(x));
  }
}

// One element of one segment has a gradient; of the others not a byte moves, and they count nowhere.
TEST(HostileSteps, EverythingFrozenButOneElement) {
  for (bool list : {false, true}) {
    RunSetup s = setup({1e-3, 0.9, 0.999, 1e-8, 1e-2, nullptr, 0.0}, list ? uint32_t{SWD_PLAN_LIST} : 0u);
    s.decay = {SWD_DECAY_SCHEDULED};
    s.counts = {5000, 1, 4096, 0, 77};
    Runner r(s);
    start(r, 3);
    for (size_t k : {0u, 2u, 4u}) r.set(SWD_BUFFER_GRAD, k, std::vector<float>(static_cast<size_t>(s.counts[k]), NAN));
    r.set(SWD_BUFFER_GRAD, 1, {-0.25f});
    std::vector<std::vector<float>> before;
    for (size_t k = 0; k < 5; ++k) before.push_back(r.get(SWD_BUFFER_PARAM, k));
    DeviceBuffer has_grad(s.backend, 5);
    const uint8_t flags[] = {0, 1, 0, 1, 0};
    has_grad.write(0, flags, 5);
    if (list) {
      r.missing = {1, 0, 1, 0, 1};
    } else {
      r.args().has_grad = has_grad.data();
    }
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
    EXPECT_EQ(r.stats().grad_norm, 0.25);
    for (size_t k = 0; k < 5; ++k) {
      EXPECT_EQ(r.get(SWD_BUFFER_PARAM, k) == before[k], k != 1) << k;
      EXPECT_EQ(r.segment_state(k).step, k == 1 ? 4 : 3) << k;
    }
    r.missing.assign(5, 1);  // and now all of it
    DeviceBuffer none(s.backend, 5);
    none.fill(0);
    r.args().has_grad = none.data();
    std::vector<uint8_t> bytes = r.bytes();
    bytes[0] += 1;  // steps_applied
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
    EXPECT_TRUE(r.bytes() == bytes);
  }
}

// As in every other array, a NaN that is there stays in sight: a maximum that forgot it would hide a broken checkpoint.
TEST(HostileSteps, ANaNMaximumStays) {
  Runner r(setup({1e-3, 0.9, 0.999, 1e-8, 0.0, nullptr, 0.0}, SWD_PLAN_AMSGRAD));
  start(r, 3);
  std::vector<float> maximum(kCount, 0.25f);
  maximum[7] = NAN;
  r.set(SWD_BUFFER_MAX_EXP_AVG_SQ, 0, maximum);
  r.step();
  std::vector<float> p = r.get(SWD_BUFFER_PARAM, 0), v_max = r.get(SWD_BUFFER_MAX_EXP_AVG_SQ, 0);
  for (size_t i = 0; i < p.size(); ++i) {
    EXPECT_EQ(std::isnan(v_max[i]), i == 7) << i;
    EXPECT_EQ(std::isnan(p[i]), i == 7) << i;
  }
}

}  // namespace
}  // namespace swd::test
