// SPDX-License-Identifier: Apache-2.0
// A step in pieces is the whole step, to the bit: any split, any order, segments reduced twice; and hyper-parameters
// give the same step from wherever they are read.
#include <algorithm>

#include "support/small_model.h"

namespace swd::test {
namespace {

constexpr int kSteps = 3;

RunSetup mixed(uint32_t flags) {
  RunSetup s = small(flags);
  s.counts = {700, 0, 4097, 33, 1, 9000, 256};
  s.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE};
  s.groups.assign(4, s.groups[0]);
  s.groups[1].lr = 3e-3;
  s.groups[2].beta1 = 0.0;
  s.groups[3].beta2 = 0.9;
  s.group_of = {0, 1, 2, 3, 0, 1, 2};
  return s;
}

std::vector<uint8_t> whole(const RunSetup& s) {
  Runner r(s);
  start(r);
  r.args().max_grad_norm = 0.7;
  for (int t = 1; t <= kSteps; ++t) {
    fill(r, t);
    r.step();
  }
  return r.bytes();
}

// Reduces [0, n) in shuffled pieces of random length, some of them twice.
void reduce_somehow(Runner& r, swd_phase phase, Dice& dice) {
  int64_t n = static_cast<int64_t>(r.setup().counts.size());
  std::vector<std::pair<int64_t, int64_t>> pieces;
  for (int64_t at = 0; at < n;) {
    int64_t count = std::min(n - at, dice.below(4));  // 0: a call over no segment
    pieces.insert(pieces.begin() + dice.below(static_cast<int64_t>(pieces.size()) + 1), {at, count});
    if (count > 0 && dice.chance(0.3)) pieces.push_back({at, count});
    at += count;
  }
  for (auto [first, count] : pieces) r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, first, count, r.stream()));
}

void step_in_pieces(Runner& r, Dice& dice, double* record) {
  bool max_round = (r.setup().flags & SWD_PLAN_AMSGRAD) != 0;
  for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
    reduce_somehow(r, phase, dice);
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), phase, record, record ? kRecordDoubles : 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), phase, record, record ? kRecordDoubles : 0, r.stream()));
  }
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
}

TEST(Pieces, AnySplitIsTheWholeStep) {
  for (uint32_t flags :
       std::vector<uint32_t>{0, SWD_PLAN_AMSGRAD, SWD_PLAN_LIST | SWD_PLAN_UPDATE_NORMS | SWD_PLAN_MAXIMIZE}) {
    RunSetup s = mixed(flags);
    std::vector<uint8_t> expected = whole(s);
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      Runner r(s);
      Dice dice(seed);
      DeviceRecord record(s.backend);
      start(r);
      r.args().max_grad_norm = 0.7;
      for (int t = 1; t <= kSteps; ++t) {
        fill(r, t);
        step_in_pieces(r, dice, seed % 2 == 0 ? record.pointer() : nullptr);
      }
      EXPECT_EQ(r.bytes(), expected) << "flags " << flags << ", seed " << seed;
    }
  }
}

// What was reduced from other gradients is forgotten; what the discarded step would have written never arrives.
TEST(Pieces, DiscardForgets) {
  RunSetup s = mixed(0);
  Runner r(s);
  start(r);
  r.args().max_grad_norm = 0.7;
  for (int t = 1; t <= kSteps; ++t) {
    fill(r, t + 50);
    r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, 7, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
    r.ok(swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()));
    fill(r, t);
    r.step();
  }
  EXPECT_EQ(r.bytes(), whole(s));
}

TEST(Pieces, SegmentsNotReducedHaveNoGradient) {
  RunSetup s = small();
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();  // what the segments were reduced to here must not count below
  fill(r, 2);
  std::vector<float> before = r.get(SWD_BUFFER_PARAM, 2);
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, 2, r.stream()));
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 3, 1, r.stream()));
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
  double squares = 0.0;
  for (size_t k : {size_t{0}, size_t{3}}) {
    for (float g : uniform(102, k, s.counts[k])) squares += static_cast<double>(g) * static_cast<double>(g);
  }
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_NEAR(r.stats().grad_norm * r.stats().grad_norm, squares, 1e-6 * squares);
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), before);
  EXPECT_EQ(r.segment_state(2).step, 1);
  EXPECT_EQ(r.segment_state(3).step, 2);
}

TEST(Pieces, DeviceScalarsAreHostScalars) {
  RunSetup s = mixed(0);
  const float loss_scale = 4.0f, lr = 0x1p-9f;
  s.groups[3].lr = lr;
  std::vector<uint8_t> expected;
  for (bool on_device : {false, true}) {
    Runner r(s);
    DeviceBuffer groups(s.backend, 4 * sizeof(swd_group));
    DeviceValue<float> scale(s.backend, loss_scale), rate(s.backend, lr), found_inf(s.backend, 0.0f);
    std::vector<swd_group> elsewhere = s.groups;
    elsewhere[3].lr = 1.0;
    elsewhere[3].lr_pointer = rate.pointer();
    groups.write(0, elsewhere.data(), groups.bytes());
    start(r);
    swd_step_args& args = r.args();
    args.max_grad_norm = 0.7;
    args.loss_scale = on_device ? 1.0 : static_cast<double>(loss_scale);
    if (on_device) {
      args.loss_scale_pointer = scale.pointer();
      args.found_inf = found_inf.pointer();
      args.groups = nullptr;
      args.groups_device = reinterpret_cast<const swd_group*>(groups.data());
    }
    for (int t = 1; t <= kSteps; ++t) {
      fill(r, t);
      swd_step_args now = args;
      r.ok(swd_step(r.plan(), &r.buffers, &now, r.stream()));
    }
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
    if (!on_device) expected = r.bytes();
    if (on_device) EXPECT_EQ(r.bytes(), expected);
  }
}

}  // namespace
}  // namespace swd::test
