// SPDX-License-Identifier: Apache-2.0
// A step in pieces where something changes between them: gradients that are taken back, ranges, bad groups, rebuilt
// sums.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

void finish(Runner& r) {
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
}

void reduce(Runner& r, int64_t first, int64_t count) {
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, first, count, r.stream()));
}

// Reduced with a gradient, then again without one: the last word counts.
TEST(PiecesEdges, AGradientThatIsTakenBackDoesNotCount) {
  Runner r(small());
  start(r);
  fill(r, 1);
  std::vector<float> before = r.get(SWD_BUFFER_PARAM, 2);
  reduce(r, 0, 4);
  DeviceBuffer has_grad(r.setup().backend, 4);
  const uint8_t without[] = {1, 1, 0, 1};
  has_grad.write(0, without, 4);
  r.args().has_grad = has_grad.data();
  reduce(r, 0, 4);
  finish(r);
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), before);
  EXPECT_EQ(r.segment_state(2).step, 0);
  EXPECT_EQ(r.segment_state(3).step, 1);
}

// What was reduced before stays as it was, even if its gradient has changed since.
TEST(PiecesEdges, ARangeTouchesNoSegmentBeforeIt) {
  Runner pieces(small()), whole(small());
  for (Runner* r : {&pieces, &whole}) {
    start(*r);
    fill(*r, 1);
  }
  reduce(pieces, 0, 3);
  std::vector<float> first = uniform(77, 0, pieces.setup().counts[0]);
  std::vector<float> huge(first.size(), 1e3f);
  pieces.set(SWD_BUFFER_GRAD, 0, huge);
  reduce(pieces, 3, 1);
  fill(pieces, 1);
  finish(pieces);
  whole.step();
  EXPECT_EQ(pieces.stats().grad_norm, whole.stats().grad_norm);
  EXPECT_EQ(params(pieces), params(whole));
}

TEST(PiecesEdges, WhatWasDiscardedDoesNotCount) {
  Runner r(small());
  start(r);
  fill(r, 1);
  std::vector<float> before = r.get(SWD_BUFFER_PARAM, 2);
  reduce(r, 0, 4);
  r.ok(swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()));
  reduce(r, 3, 1);
  finish(r);
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), before);
  EXPECT_EQ(r.segment_state(2).step, 0);
  EXPECT_EQ(r.segment_state(3).step, 1);
}

// In the very first step of a workspace, too, only what was reduced counts.
TEST(PiecesEdges, NothingIsReducedAtFirst) {
  Runner r(small());
  start(r);
  fill(r, 1);
  std::vector<float> before = params(r);
  finish(r);
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_EQ(r.stats().grad_norm, 0.0);
  EXPECT_EQ(params(r), before);
}

// Groups that are out of range on one rank reach the others through the record.
TEST(PiecesEdges, TheRecordCountsInvalidGroups) {
  RunSetup s = small();
  Runner r(s);
  start(r);
  fill(r, 1);
  swd_group bad = s.groups[0];
  bad.beta2 = 2.0;
  DeviceBuffer groups(s.backend, sizeof bad);
  groups.write(0, &bad, sizeof bad);
  swd_step_args args = r.args();
  args.groups = nullptr;
  args.groups_device = reinterpret_cast<const swd_group*>(groups.data());
  DeviceRecord out(s.backend);
  r.ok(swd_reduce(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, 0, 4, r.stream()));
  r.ok(swd_fold(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, out.pointer(), kRecordDoubles, r.stream()));
  synchronize(s.backend);
  EXPECT_EQ(out.get().invalid, 1.0);
}

// Segments that cannot be stepped add up, with each other and with groups: one must not hide another, here or on
// another rank.
TEST(PiecesEdges, TheRecordCountsInvalidSegments) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.set_segment_state(2, {-1, 0.0});
  r.set_segment_state(3, {INT64_MAX, 0.0});
  DeviceRecord out(r.setup().backend);
  reduce(r, 0, 4);
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, out.pointer(), kRecordDoubles, r.stream()));
  synchronize(r.setup().backend);
  EXPECT_EQ(out.get().invalid, 2.0);
}

// A step that the first round has skipped needs no maxima: its record says nothing, whatever is called.
TEST(PiecesEdges, TheSecondRoundOfASkippedStepSumsNothing) {
  Runner r(small(SWD_PLAN_AMSGRAD));
  start(r);
  fill(r, 1);
  std::vector<float> bad = uniform(77, 0, r.setup().counts[0]);
  bad.back() = INFINITY;
  r.set(SWD_BUFFER_GRAD, 0, bad);
  reduce(r, 0, 4);
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  DeviceRecord out(r.setup().backend);
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_MAX, 0, 4, r.stream()));
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_MAX, out.pointer(), kRecordDoubles, r.stream()));
  synchronize(r.setup().backend);
  EXPECT_EQ(out.get().vbar_base, 0.0);
  EXPECT_EQ(out.get().count, 0.0);
  r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_MAX, nullptr, 0, r.stream()));
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
  EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_NONFINITE);
}

TEST(PiecesEdges, RebuiltSumsOfL2GroupsAreUnknown) {
  RunSetup s = small();
  s.counts = {700, 0, 4097, 33};
  s.group_of = {0, 1, 1, 1};
  s.decay = {SWD_DECAY_DECOUPLED, SWD_DECAY_L2};
  s.groups.push_back(s.groups[0]);
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  ASSERT_EQ(swd_state_rebuild(r.plan(), &r.buffers, r.stream()), SWD_OK) << swd_error_detail();
  EXPECT_GT(r.segment_state(0).exp_avg_sq_sum, 0.0);
  EXPECT_EQ(r.segment_state(1).exp_avg_sq_sum, 0.0);  // has no elements, so nothing is unknown
  EXPECT_EQ(r.segment_state(2).exp_avg_sq_sum, -1.0);
  EXPECT_EQ(r.segment_state(3).exp_avg_sq_sum, -1.0);
}

}  // namespace
}  // namespace swd::test
