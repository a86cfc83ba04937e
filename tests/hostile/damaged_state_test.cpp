// SPDX-License-Identifier: Apache-2.0
// Second moments and running sums that are damaged: one NaN must not become a model of NaN, and is said.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

const float kPoisons[] = {NAN, INFINITY};

void spoil(Runner& r, int buffer, size_t k, size_t i, float value) {
  std::vector<float> x = r.get(buffer, k);
  x[i] = value;
  r.set(buffer, k, x);
}

void rebuild(Runner& r) { r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream())); }

void expect_skipped_vbar(Runner& r) {
  std::vector<float> before = params(r);
  uint64_t skipped = r.stats().steps_skipped;
  r.step();
  EXPECT_EQ(swd_result_name(r.stats().result), std::string("SWD_RESULT_SKIPPED_VBAR"));
  EXPECT_EQ(r.stats().steps_skipped, skipped + 1);
  EXPECT_EQ(params(r), before);
}

TEST(DamagedState, OnePoisonedMomentSkipsStepsUntilItIsMended) {
  for (swd_decay decay : {SWD_DECAY_SCHEDULED, SWD_DECAY_RELATIVE}) {
    for (float poison : kPoisons) {
      RunSetup s = small();
      s.decay = {decay};
      Runner r(s);
      start(r);
      fill(r, 1);
      r.step();
      std::vector<float> good = r.get(SWD_BUFFER_EXP_AVG_SQ, 2);
      spoil(r, SWD_BUFFER_EXP_AVG_SQ, 2, 4096, poison);
      spoil(r, SWD_BUFFER_EXP_AVG_SQ, 3, 5, poison);
      rebuild(r);
      EXPECT_EQ(r.stats().damaged_segment, 3);
      EXPECT_FALSE(std::isfinite(r.segment_state(2).exp_avg_sq_sum));
      expect_skipped_vbar(r);
      EXPECT_EQ(r.stats().damaged_segment, 3) << "a step does not forget it";
      std::vector<uint8_t> image = r.image(), blob(1000);
      EXPECT_EQ(swd_state_export(r.plan(), image.data(), image.size(), blob.data(), blob.size()), SWD_ERR_VALUE);
      r.set(SWD_BUFFER_EXP_AVG_SQ, 2, good);
      rebuild(r);
      EXPECT_EQ(r.stats().damaged_segment, 4);
      spoil(r, SWD_BUFFER_EXP_AVG_SQ, 3, 5, 0.25f);
      rebuild(r);
      EXPECT_EQ(r.stats().damaged_segment, 0);
      r.step();
      EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
      for (float p : params(r)) ASSERT_TRUE(std::isfinite(p));
    }
  }
}

// The maxed second moment is read in a round of its own.
TEST(DamagedState, AlsoInTheSecondRoundOfAmsgrad) {
  for (float poison : kPoisons) {
    Runner r(small(SWD_PLAN_AMSGRAD));
    start(r);
    fill(r, 1);
    r.step();
    spoil(r, SWD_BUFFER_MAX_EXP_AVG_SQ, 2, 17, poison);
    expect_skipped_vbar(r);
  }
}

// What swd_state_set refuses may come from elsewhere.
TEST(DamagedState, ASumWrittenIntoTheImage) {
  for (float poison : kPoisons) {
    Runner r(small());
    start(r);
    fill(r, 1);
    r.step();
    r.set_segment_state(3, {1, static_cast<double>(poison)});
    expect_skipped_vbar(r);
  }
}

TEST(DamagedState, PropagateAppliesIt) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.step();
  spoil(r, SWD_BUFFER_EXP_AVG_SQ, 2, 0, NAN);
  rebuild(r);
  r.args().flags = SWD_STEP_PROPAGATE;
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_TRUE(std::isnan(params(r)[0]));
}

// AdamW has no vbar in its formula: only the parameter with the poisoned moment is lost.
TEST(DamagedState, DecoupledDecayDoesNotNeedVbar) {
  RunSetup s = small();
  s.decay = {SWD_DECAY_DECOUPLED};
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  spoil(r, SWD_BUFFER_EXP_AVG_SQ, 2, 0, NAN);
  rebuild(r);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  int lost = 0;
  for (float p : params(r)) lost += std::isnan(p) ? 1 : 0;
  EXPECT_EQ(lost, 1);
}

// A list whose moments were never set: the host sees it on the CPU; on the device the sums stay as they were.
TEST(DamagedState, MomentsThatWereNeverSet) {
  Runner r(small(SWD_PLAN_LIST));
  r.ok(swd_workspace_init(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()));
  std::vector<uint8_t> before = r.image();
  swd_status status = swd_state_rebuild(r.plan(), &r.buffers, r.stream());
  EXPECT_EQ(status, r.setup().backend == SWD_BACKEND_CPU ? SWD_ERR_NULL : SWD_OK);
  EXPECT_EQ(r.image(), before);
  if (status == SWD_OK) EXPECT_EQ(r.stats().damaged_segment, 1);
}

// The state of narrow moments fits by its size, but what their exp_avg_sq holds is no second moment here.
TEST(DamagedState, TheStateOfNarrowMomentsIsNoneOfFp32Ones) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.step();
  std::vector<float> before = params(r);
  std::vector<uint8_t> image = r.image();
  const double unit = 0.75;
  memcpy(&image[kStateHeaderBytes + 2 * kSegmentStateBytes + 16], &unit, sizeof unit);
  r.set_image(image);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_INVALID);
  EXPECT_EQ(params(r), before);
}

}  // namespace
}  // namespace swd::test
