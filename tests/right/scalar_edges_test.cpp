// SPDX-License-Identifier: Apache-2.0
// Exact edges of what is decided between the passes: what lies on a bound, defaults, flags, the order of segments.
#include <cfloat>
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

swd_stats stepped(const RunSetup& s, double max_decay = 0.0, std::vector<double>* lambda_eff = nullptr) {
  Runner r(s);
  start(r);
  fill(r, 1);
  r.args().max_decay = max_decay;
  r.step();
  return r.stats(lambda_eff);
}

TEST(ScalarEdges, LargeAndCappedBeginBeyondTheirBounds) {
  RunSetup s = one_segment(SWD_DECAY_DECOUPLED);
  s.groups[0].lr = 1.0;
  s.groups[0].weight_decay = 0.01;
  EXPECT_EQ(stepped(s).flags & (SWD_STATS_LARGE_DECAY | SWD_STATS_DECAY_CAPPED), 0u);
  s.groups[0].weight_decay = std::nextafter(0.01, 1.0);
  EXPECT_EQ(stepped(s).flags & SWD_STATS_LARGE_DECAY, SWD_STATS_LARGE_DECAY);
  s.groups[0].weight_decay = 0.1;  // the default of max_decay
  EXPECT_EQ(stepped(s).flags & SWD_STATS_DECAY_CAPPED, 0u);
  s.groups[0].weight_decay = std::nextafter(0.1, 1.0);
  EXPECT_EQ(stepped(s).flags & SWD_STATS_DECAY_CAPPED, SWD_STATS_DECAY_CAPPED);
  EXPECT_EQ(stepped(s, 0.2).flags & SWD_STATS_DECAY_CAPPED, 0u);
  s.groups[0].weight_decay = 5.0;
  EXPECT_EQ(stepped(s).largest_decay, 0.1);
  EXPECT_EQ(stepped(s, 10.0).largest_decay, 5.0);
}

TEST(ScalarEdges, LargestDecayIsOfAllGroups) {
  RunSetup s = one_segment(SWD_DECAY_DECOUPLED);
  s.decay = {SWD_DECAY_DECOUPLED, SWD_DECAY_DECOUPLED, SWD_DECAY_NONE};
  s.groups.assign(3, swd_group SWD_GROUP_INIT);
  for (swd_group& group : s.groups) group.lr = 0.5;
  s.groups[0].weight_decay = 0.25;
  s.groups[1].weight_decay = 0.125;
  s.groups[2].weight_decay = 8.0;
  std::vector<double> lambda_eff;
  EXPECT_EQ(stepped(s, 1.0, &lambda_eff).largest_decay, 0.125);
  EXPECT_EQ(lambda_eff, (std::vector<double>{0.25, 0.125, 0.0}));
}

TEST(ScalarEdges, ANaNDecayStaysTheLargest) {
  RunSetup s = one_segment(SWD_DECAY_SCHEDULED);
  s.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED};
  s.groups.assign(2, swd_group SWD_GROUP_INIT);
  for (swd_group& group : s.groups) group.weight_decay = 0.01;
  Runner r(s);
  start(r);
  fill(r, 1);
  std::vector<float> g = uniform(1, 2, 100);
  g[3] = NAN;
  r.set(SWD_BUFFER_GRAD, 0, g);
  r.args().flags = SWD_STEP_PROPAGATE;
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_TRUE(std::isnan(r.stats().largest_decay));
  EXPECT_TRUE(std::isnan(r.segment_state(0).exp_avg_sq_sum));
  r.step();  // a sum that is NaN is known to be so
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_TRUE(std::isnan(r.segment_state(0).exp_avg_sq_sum));
}

TEST(ScalarEdges, SkipNormNeedsPropagate) {
  Runner r(one_segment(SWD_DECAY_DECOUPLED));
  start(r);
  fill(r, 1);
  std::vector<uint8_t> before = r.bytes();
  r.args().flags = SWD_STEP_SKIP_NORM;
  EXPECT_EQ(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()), SWD_ERR_FLAGS);
  EXPECT_NE(std::string(swd_error_detail()).find("PROPAGATE"), std::string::npos) << swd_error_detail();
  EXPECT_EQ(r.bytes(), before);
}

// 1 / 2^126 is the smallest normal number, and still a scale.
TEST(ScalarEdges, TheSmallestScaleIsApplied) {
  for (double above : {0.0, 0x1p116}) {
    Runner r(one_segment(SWD_DECAY_NONE));
    start(r);
    fill(r, 1);
    r.args().loss_scale = 0x1p126 + above;
    r.step();
    EXPECT_EQ(r.stats().result, above == 0.0 ? SWD_RESULT_APPLIED : SWD_RESULT_SKIPPED_UNDERFLOW);
  }
}

// From the start for beta of a half and more, from the end below: in fp32 the two differ.
TEST(ScalarEdges, BetaOfOneHalfStartsFromTheMoment) {
  RunSetup s = one_segment(SWD_DECAY_NONE);
  s.counts = {4000};
  s.groups[0].beta1 = 0.5;
  Runner r(s);
  start(r);
  r.set(SWD_BUFFER_EXP_AVG, 0, uniform(8, 0, 4000));
  std::vector<float> m = uniform(8, 0, 4000), g = uniform(9, 0, 4000);
  for (size_t i = 0; i < g.size(); ++i) g[i] *= 0x1.8p-9f;
  r.set(SWD_BUFFER_GRAD, 0, g);
  r.step();
  bool differ = false;
  for (size_t i = 0; i < g.size(); ++i) {
    differ = differ || m[i] + 0.5f * (g[i] - m[i]) != g[i] - 0.5f * (g[i] - m[i]);
    m[i] = m[i] + 0.5f * (g[i] - m[i]);
  }
  EXPECT_TRUE(differ);
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 0), m);
}

TEST(ScalarEdges, DenormalGradientsCountAsZero) {
  Runner r(one_segment(SWD_DECAY_NONE));
  start(r);
  r.set(SWD_BUFFER_EXP_AVG, 0, std::vector<float>(100, 0x1p-125f));
  r.set(SWD_BUFFER_GRAD, 0, std::vector<float>(100, 0x1p-127f));
  r.step();
  const float moved = 0x1p-125f + static_cast<float>(1.0 - 0.9) * (0.0f - 0x1p-125f);
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 0), std::vector<float>(100, moved));
}

TEST(ScalarEdges, ASegmentWithoutDecayHasNoneOfAnyKind) {
  for (swd_decay decay : {SWD_DECAY_L2, SWD_DECAY_DECOUPLED, SWD_DECAY_SCHEDULED}) {
    RunSetup flagged = one_segment(decay), none = one_segment(SWD_DECAY_NONE);
    flagged.groups[0].weight_decay = 0.25;
    flagged.flags_of = {SWD_SEGMENT_NO_DECAY};
    Runner a(flagged), b(none);
    for (Runner* r : {&a, &b}) {
      start(*r);
      fill(*r, 1);
      r->step();
    }
    EXPECT_EQ(params(a), params(b)) << decay;
  }
}

// Segments are lanes of one more halving fold: 1 + (x + x) is more than (1 + x) + x for x just below 2^-53.
TEST(ScalarEdges, SegmentsFoldAsLanes) {
  RunSetup s = one_segment(SWD_DECAY_NONE);
  s.counts = {1, 1, 1, 1};
  Runner r(s);
  start(r);
  const float small_one = 0x1.4p-27f;  // its square, 0.78 * 2^-53, is exact
  const float values[] = {1.0f, small_one, 0.0f, small_one};
  for (size_t k = 0; k < 4; ++k) r.set(SWD_BUFFER_GRAD, k, {values[k]});
  DeviceRecord record(s.backend);
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, 4, r.stream()));
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, record.pointer(), kRecordDoubles, r.stream()));
  synchronize(s.backend);
  EXPECT_EQ(record.get().sum_sq, 1.0 + 0x1p-52);
}

}  // namespace
}  // namespace swd::test
