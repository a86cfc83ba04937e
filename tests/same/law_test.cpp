// SPDX-License-Identifier: Apache-2.0
// Laws of a step that hold to the bit, on the backend under test.
#include "support/small_model.h"

namespace swd::test {
namespace {

std::vector<float> run(const RunSetup& s, int steps, double factor, double loss_scale) {
  Runner r(s);
  start(r);
  r.args().loss_scale = loss_scale;
  r.args().max_grad_norm = 0.7;
  for (int t = 1; t <= steps; ++t) {
    fill(r, t, factor);
    r.step();
  }
  return params(r);
}

TEST(Law, GradientsAndLossScaleByAPowerOfTwo) { EXPECT_EQ(run(small(), 5, 1024.0, 1024.0), run(small(), 5, 1.0, 1.0)); }

TEST(Law, MaximizeIsTheNegatedGradient) {
  EXPECT_EQ(run(small(SWD_PLAN_MAXIMIZE), 5, -1.0, 1.0), run(small(), 5, 1.0, 1.0));
}

TEST(Law, NoDecayIsAdam) {
  RunSetup scheduled = small(), none = small();
  scheduled.groups[0].weight_decay = 0.0;
  none.decay[0] = SWD_DECAY_NONE;
  EXPECT_EQ(run(scheduled, 5, 1.0, 1.0), run(none, 5, 1.0, 1.0));
}

TEST(Law, ListIsFlat) { EXPECT_EQ(run(small(SWD_PLAN_LIST), 5, 1.0, 1.0), run(small(), 5, 1.0, 1.0)); }

TEST(Law, AlignmentDoesNotMatter) {
  RunSetup shifted = small();
  shifted.shift = 1;
  shifted.gap = 3;
  EXPECT_EQ(run(shifted, 5, 1.0, 1.0), run(small(), 5, 1.0, 1.0));
}

TEST(Law, ZeroLearningRateKeepsParameters) {
  RunSetup s = small();
  s.groups[0].lr = 0.0;
  EXPECT_EQ(run(s, 3, 1.0, 1.0), run(s, 0, 1.0, 1.0));
}

TEST(Law, RowsWithoutGradientEndAtZeroMoments) {
  RunSetup s = small();
  s.counts = {64};
  s.groups[0].beta1 = 0.5;
  s.groups[0].beta2 = 0.5;
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  r.set(SWD_BUFFER_GRAD, 0, std::vector<float>(64));
  for (int t = 0; t < 200; ++t) r.step();
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 0), std::vector<float>(64));
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG_SQ, 0), std::vector<float>(64));
}

TEST(Law, SkipNormGivesTheSameBitsAndUnknownSums) {
  RunSetup s = small();
  s.decay[0] = SWD_DECAY_DECOUPLED;
  Runner with(s), without(s);
  for (Runner* r : {&with, &without}) {
    start(*r);
    fill(*r, 1);
    r->args().flags = SWD_STEP_PROPAGATE | (r == &without ? uint32_t{SWD_STEP_SKIP_NORM} : 0u);
    r->step();
  }
  EXPECT_EQ(params(with), params(without));
  EXPECT_EQ(without.segment_state(2).exp_avg_sq_sum, -1.0);
  EXPECT_GT(with.segment_state(2).exp_avg_sq_sum, 0.0);
}

}  // namespace
}  // namespace swd::test
