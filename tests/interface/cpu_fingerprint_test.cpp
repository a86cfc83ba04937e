// SPDX-License-Identifier: Apache-2.0
// A workspace serves the plan that it was initialised for, and an equal one, but no plan that differs in anything. And
// a short swd_stats is filled as far as it goes.
#include <functional>

#include "support/runner.h"

namespace swd::test {
namespace {

struct Described {
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  swd_segment segments[2] = {{0, 100, 0, 0, 0}, {100, 50, 100, 1, 0}};
  swd_decay decay[2] = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED};
  Described() {
    args.flags = SWD_PLAN_INDEXED;
    args.segments = segments;
    args.segment_count = 2;
    args.decay_modes = decay;
    args.group_count = 2;
  }
};

swd_plan* made(const Described& d) {
  swd_plan* plan = nullptr;
  EXPECT_EQ(swd_plan_create(&d.args, &plan), SWD_OK) << swd_error_detail();
  return plan;
}

// What a workspace of the usual plan answers to a plan that `change` made different.
swd_status answer(const std::function<void(Described&)>& change) {
  Described usual, other;
  change(other);
  swd_plan *first = made(usual), *second = made(other);
  std::vector<double> workspace(1 << 13);
  uint64_t bytes = workspace.size() * sizeof(double);
  EXPECT_EQ(swd_workspace_init(first, workspace.data(), bytes, nullptr), SWD_OK);
  swd_status status = swd_discard(second, workspace.data(), bytes, nullptr);
  swd_plan_destroy(first);
  swd_plan_destroy(second);
  return status;
}

TEST(CpuFingerprint, EveryDifferenceIsSeen) {
  EXPECT_EQ(answer([](Described&) {}), SWD_OK);
  EXPECT_EQ(answer([](Described& d) { d.args.threads = 3; }), SWD_OK);  // says how, not what
  const std::vector<std::function<void(Described&)>> changes = {
      [](Described& d) { d.args.flags |= SWD_PLAN_MAXIMIZE; },
      [](Described& d) { d.args.flags |= SWD_PLAN_AMSGRAD; },
      [](Described& d) { d.args.grad_dtype = SWD_DTYPE_BF16; },
      [](Described& d) { d.args.copy_dtype = SWD_DTYPE_F16; },
      [](Described& d) { d.args.segment_count = 1; },
      [](Described& d) { d.args.group_count = 2, d.decay[1] = SWD_DECAY_L2; },
      [](Described& d) { d.segments[1].offset = 101; },
      [](Described& d) { d.segments[1].count = 51; },
      [](Described& d) { d.segments[1].index = 101; },
      [](Described& d) { d.segments[1].group = 0; },
      [](Described& d) { d.segments[0].flags = SWD_SEGMENT_NO_DECAY; },
      [](Described& d) { d.segments[1].flags = SWD_SEGMENT_NO_NORM; },
  };
  for (size_t i = 0; i < changes.size(); ++i) EXPECT_EQ(answer(changes[i]), SWD_ERR_WORKSPACE) << i;
}

TEST(CpuFingerprint, AShortStatsIsFilledAsFarAsItGoes) {
  Described usual;
  swd_plan* plan = made(usual);
  std::vector<double> workspace(1 << 13);
  ASSERT_EQ(swd_workspace_init(plan, workspace.data(), workspace.size() * sizeof(double), nullptr), SWD_OK);
  for (uint64_t size :
       std::initializer_list<uint64_t>{1, 8, 16, sizeof(swd_stats) - 1, sizeof(swd_stats), sizeof(swd_stats) + 9}) {
    uint8_t bytes[sizeof(swd_stats) + 64];
    memset(bytes, 0xEE, sizeof bytes);
    ASSERT_EQ(swd_stats_fetch(plan, workspace.data(), reinterpret_cast<swd_stats*>(bytes), size, nullptr, nullptr),
              SWD_OK);
    for (uint64_t i = 0; i < sizeof bytes; ++i)
      ASSERT_EQ(bytes[i], i < size && i < sizeof(swd_stats) ? 0 : 0xEE) << size << " " << i;
  }
  swd_plan_destroy(plan);
}

}  // namespace
}  // namespace swd::test
