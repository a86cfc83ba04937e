// SPDX-License-Identifier: Apache-2.0
// Steps that are begun and not ended: what was reduced for them joins no other, and the statistics are those of the
// latest committed step until an update commits.
#include "support/small_model.h"

namespace swd::test {
namespace {

void reduce(Runner& r, int64_t first, int64_t count, swd_phase phase = SWD_PHASE_GRAD) {
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, first, count, r.stream()));
}
void decide(Runner& r, swd_phase phase = SWD_PHASE_GRAD) {
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
  r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
}
void update(Runner& r) { r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream())); }

// A run that made one good step, and the next one from segment 3 alone.
std::vector<uint8_t> only_segment_3(uint32_t flags) {
  Runner r(small(flags));
  start(r);
  fill(r, 1);
  r.step();
  fill(r, 3);
  for (swd_phase phase = 0; phase <= (flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++phase) {
    reduce(r, 3, 1, phase);
    decide(r, phase);
  }
  update(r);
  return r.bytes();
}

TEST(Afresh, AnUpdateThatIsNotArmedKeepsWhatWasReduced) {
  Runner r(small()), whole(small());
  start(r);
  start(whole);
  fill(r, 1);
  fill(whole, 1);
  reduce(r, 0, 4);
  update(r);
  EXPECT_EQ(r.stats().result, SWD_RESULT_NOT_ARMED);
  EXPECT_EQ(r.stats().steps_skipped, 0u);
  decide(r);
  update(r);
  whole.step();
  EXPECT_EQ(r.stats().grad_norm, whole.stats().grad_norm);
  EXPECT_EQ(r.bytes(), whole.bytes());
}

TEST(Afresh, ADecidedStepThatWasNeverUpdatedDoesNotJoinTheNext) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD}, uint32_t{SWD_PLAN_LIST}}) {
    Runner r(small(flags));
    start(r);
    fill(r, 1);
    r.step();
    fill(r, 2);
    reduce(r, 0, 4);
    decide(r);
    fill(r, 3);
    for (swd_phase phase = 0; phase <= (flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++phase) {
      reduce(r, 3, 1, phase);
      decide(r, phase);
    }
    update(r);
    EXPECT_EQ(r.bytes(), only_segment_3(flags)) << flags;
  }
}

// With no segment at all a reduce starts afresh too.
TEST(Afresh, AnEmptyRangeStartsAfresh) {
  Runner r(small());
  start(r);
  fill(r, 1);
  reduce(r, 0, 4);
  decide(r);
  reduce(r, 2, 0);
  std::vector<uint8_t> before = r.bytes();
  update(r);
  EXPECT_EQ(r.stats().result, SWD_RESULT_NOT_ARMED);
  EXPECT_EQ(r.bytes(), before);
}

TEST(Afresh, AWholeStepUsesNothingThatWasReducedBefore) {
  RunSetup s = small();
  Runner r(s), whole(s);
  start(r);
  start(whole);
  fill(r, 1);
  fill(whole, 1);
  reduce(r, 0, 4);
  DeviceBuffer has_grad(s.backend, 4);
  const uint8_t without[] = {1, 1, 0, 1};
  has_grad.write(0, without, 4);
  for (Runner* each : {&r, &whole}) {
    each->args().has_grad = has_grad.data();
    each->step();
  }
  EXPECT_EQ(r.bytes(), whole.bytes());
}

TEST(Afresh, StatisticsAreThoseOfTheLatestCommittedStep) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD}}) {
    RunSetup s = small(flags);
    Runner r(s);
    start(r);
    fill(r, 1);
    EXPECT_EQ(r.stats().result, SWD_RESULT_NONE);
    reduce(r, 0, 4);
    decide(r);
    EXPECT_EQ(r.stats().result, SWD_RESULT_NONE) << "decided, not committed";
    r.step();
    std::vector<double> lambda_eff, again;
    swd_stats first = r.stats(&lambda_eff);
    fill(r, 2, 4.0);
    for (swd_phase phase = 0; phase <= (flags != 0 ? 1 : 0); ++phase) {
      reduce(r, 0, 4, phase);
      decide(r, phase);
      swd_stats pending = r.stats(&again);
      EXPECT_EQ(memcmp(&pending, &first, sizeof first), 0);
      EXPECT_EQ(again, lambda_eff);
    }
    update(r);
    EXPECT_EQ(r.stats(&again).steps_applied, 2u);
    EXPECT_NE(r.stats().grad_norm, first.grad_norm);
    EXPECT_NE(again, lambda_eff);
  }
}

TEST(Afresh, TheSecondRoundAloneArmsNothing) {
  Runner r(small(SWD_PLAN_AMSGRAD));
  start(r);
  fill(r, 1);
  std::vector<uint8_t> before = r.bytes();
  reduce(r, 0, 4, SWD_PHASE_MAX);
  decide(r, SWD_PHASE_MAX);
  update(r);
  EXPECT_EQ(r.stats().result, SWD_RESULT_NOT_ARMED);
  EXPECT_EQ(r.bytes(), before);
  // The first round alone neither; the second one may still follow.
  Runner whole(small(SWD_PLAN_AMSGRAD));
  start(whole);
  fill(whole, 1);
  whole.step();
  reduce(r, 0, 4);
  decide(r);
  update(r);
  EXPECT_EQ(r.stats().result, SWD_RESULT_NOT_ARMED);
  EXPECT_EQ(r.bytes(), before);
  reduce(r, 0, 4, SWD_PHASE_MAX);
  decide(r, SWD_PHASE_MAX);
  update(r);
  EXPECT_EQ(r.bytes(), whole.bytes());
}

// A maximum that was summed over some of the step's segments, or none, would be another vbar.
TEST(Afresh, TheSecondRoundNeedsTheSegmentsOfTheFirst) {
  for (int64_t reduced : {0, 2}) {
    Runner r(small(SWD_PLAN_AMSGRAD));
    start(r);
    fill(r, 1);
    std::vector<float> before = params(r);
    reduce(r, 0, 4);
    decide(r);
    if (reduced > 0) reduce(r, 0, reduced, SWD_PHASE_MAX);
    decide(r, SWD_PHASE_MAX);
    update(r);
    EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_INVALID) << reduced;
    EXPECT_EQ(params(r), before);
  }
}

// Without a first pass, folding prepares the segments: of the new step.
TEST(Afresh, WithoutAFirstPassToo) {
  RunSetup s = small();
  s.decay = {SWD_DECAY_DECOUPLED};
  Runner r(s), whole(s);
  for (Runner* each : {&r, &whole}) {
    start(*each);
    fill(*each, 1);
    each->args().flags = SWD_STEP_PROPAGATE | SWD_STEP_SKIP_NORM;
  }
  decide(r);  // never updated
  decide(r);
  update(r);
  whole.step();
  EXPECT_EQ(r.bytes(), whole.bytes());
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
}

// Folded twice, and in between a gradient is withdrawn: the last word counts.
TEST(Afresh, WithoutAFirstPassAGradientMayBeWithdrawn) {
  RunSetup s = small();
  s.decay = {SWD_DECAY_DECOUPLED};
  Runner r(s);
  start(r);
  fill(r, 1);
  std::vector<float> before = r.get(SWD_BUFFER_PARAM, 2);
  DeviceBuffer has_grad(s.backend, 4);
  const uint8_t without[] = {1, 1, 0, 1};
  has_grad.write(0, without, 4);
  r.args().flags = SWD_STEP_PROPAGATE | SWD_STEP_SKIP_NORM;
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.args().has_grad = has_grad.data();
  decide(r);
  update(r);
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), before);
  EXPECT_EQ(r.segment_state(2).step, 0);
  EXPECT_EQ(r.segment_state(3).step, 1);
}

}  // namespace
}  // namespace swd::test
