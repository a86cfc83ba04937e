// SPDX-License-Identifier: Apache-2.0
// Steps that must change nothing, or only what they say: refused, skipped, unarmed, without a gradient.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

void expect_skipped(Runner& r, swd_result status) {
  std::vector<float> before = params(r);
  swd_segment_state state = r.segment_state(2);
  r.step();
  swd_stats stats = r.stats();
  EXPECT_EQ(stats.result, status) << swd_result_name(stats.result);
  EXPECT_EQ(stats.steps_skipped, 1u);
  EXPECT_EQ(stats.steps_applied, 1u);
  EXPECT_EQ(params(r), before);
  EXPECT_EQ(r.segment_state(2).step, state.step);
  EXPECT_EQ(r.segment_state(2).exp_avg_sq_sum, state.exp_avg_sq_sum);
}

TEST(Skip, NonFiniteGradientsChangeNothing) {
  for (float bad : {INFINITY, -INFINITY, NAN}) {
    for (size_t at : {size_t{0}, size_t{2000}, size_t{4095}, size_t{4096}}) {
      Runner r(small());
      start(r);
      fill(r, 1);
      r.step();
      std::vector<float> g = uniform(9, 2, 4097);
      g[at] = bad;
      r.set(SWD_BUFFER_GRAD, 2, g);
      expect_skipped(r, SWD_RESULT_SKIPPED_NONFINITE);
      EXPECT_EQ(r.stats().bad, 1.0);
    }
  }
}

TEST(Skip, FoundInfOverflowUnderflowAndBadScalarsSkip) {
  struct Row {
    swd_result status;
    float found_inf, loss_scale;
    double factor;
  };
  for (const Row& row :
       {Row{SWD_RESULT_SKIPPED_NONFINITE, 1.0f, 1.0f, 1.0}, Row{SWD_RESULT_SKIPPED_OVERFLOW, 0.0f, 1.0f, 0x1p100},
        Row{SWD_RESULT_SKIPPED_UNDERFLOW, 0.0f, 0x1.8p127f, 1.0}, Row{SWD_RESULT_SKIPPED_INVALID, 0.0f, 0.0f, 1.0},
        Row{SWD_RESULT_SKIPPED_INVALID, 0.0f, NAN, 1.0}, Row{SWD_RESULT_SKIPPED_OVERFLOW, 0.0f, 1e-39f, 0.0}}) {
    Runner r(small());
    start(r);
    fill(r, 1);
    r.step();
    DeviceValue<float> found_inf(r.setup().backend, row.found_inf), loss_scale(r.setup().backend, row.loss_scale);
    r.args().found_inf = found_inf.pointer();
    r.args().loss_scale_pointer = loss_scale.pointer();
    fill(r, 2, row.factor);
    expect_skipped(r, row.status);
  }
}

TEST(Skip, ClippingRescuesHugeGradients) {
  Runner r(small());
  start(r);
  fill(r, 1, 0x1p120);
  r.args().max_grad_norm = 1.0;
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  for (float p : params(r)) EXPECT_TRUE(std::isfinite(p));
}

TEST(Skip, SumUnknownIsSkippedUntilRebuilt) {
  RunSetup s = small();
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  double known = r.segment_state(2).exp_avg_sq_sum;
  std::vector<uint8_t> image = r.image();
  swd_segment_state unknown = r.segment_state(2);
  unknown.exp_avg_sq_sum = -1.0;
  ASSERT_EQ(swd_state_set(r.plan(), image.data(), image.size(), 2, &unknown, sizeof(swd_segment_state)), SWD_OK)
      << swd_error_detail();
  r.set_image(image);
  fill(r, 2);
  expect_skipped(r, SWD_RESULT_SKIPPED_SUM_UNKNOWN);
  ASSERT_EQ(swd_state_rebuild(r.plan(), &r.buffers, r.stream()), SWD_OK) << swd_error_detail();
  EXPECT_NEAR(r.segment_state(2).exp_avg_sq_sum, known, 1e-6 * known);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
}

TEST(Skip, WhereNoDecayNeedsItAnUnknownSumMakesVbarNaN) {
  RunSetup s = small();
  s.decay.assign(s.decay.size(), SWD_DECAY_DECOUPLED);
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  EXPECT_GT(r.stats().vbar, 0.0);
  r.set_segment_state(2, {1, -1.0});
  fill(r, 2);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_TRUE(std::isnan(r.stats().vbar)) << r.stats().vbar;
}

TEST(Skip, UpdateAloneChangesNothing) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.step();
  std::vector<uint8_t> before = r.bytes();
  ASSERT_EQ(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()), SWD_OK) << swd_error_detail();
  EXPECT_EQ(r.stats().result, SWD_RESULT_NOT_ARMED);
  EXPECT_EQ(r.bytes(), before);
}

TEST(Skip, MissingGradientsKeepTheirSegment) {
  Runner r(small(SWD_PLAN_LIST));
  start(r);
  fill(r, 1);
  std::vector<float> before = r.get(SWD_BUFFER_PARAM, 2);
  r.missing[2] = 1;
  r.step();
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), before);
  EXPECT_EQ(r.segment_state(2).step, 0);
  EXPECT_EQ(r.segment_state(0).step, 1);
}

// Nothing to update is a step all the same: it is counted, and its norm is 0.
TEST(Skip, PlansWithoutElementsStep) {
  for (const std::vector<int64_t>& counts :
       {std::vector<int64_t>{}, std::vector<int64_t>{0}, std::vector<int64_t>{0, 0, 0}}) {
    for (uint32_t flags : std::vector<uint32_t>{0, SWD_PLAN_LIST, SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS}) {
      RunSetup s = small(flags);
      s.counts = counts;
      Runner r(s);
      r.args().max_grad_norm = 1.0;
      r.step();
      swd_stats stats = r.stats();
      EXPECT_EQ(stats.result, SWD_RESULT_APPLIED) << swd_result_name(stats.result);
      EXPECT_EQ(stats.steps_applied, 1u);
      EXPECT_EQ(stats.grad_norm, 0.0);
      EXPECT_EQ(stats.vbar, 0.0);
      EXPECT_EQ(stats.largest_decay, 0.0);
      EXPECT_EQ(stats.param_norm, 0.0);
    }
  }
}

}  // namespace
}  // namespace swd::test
