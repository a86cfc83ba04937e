// SPDX-License-Identifier: Apache-2.0
// A plan of one segment of the CPU backend that owns all but its gradients. Used by cpu_pool_test.cpp.
#pragma once
#include <gtest/gtest.h>

#include <vector>

#include "swd/swd.h"

namespace swd::test {

// A plan of one segment whose gradients are at `grad`.
class FlatPlan {
 public:
  FlatPlan(int32_t threads, int64_t elements, const float* grad) : rest_(static_cast<size_t>(3 * elements)) {
    swd_segment segment{0, elements, 0, 0, 0};
    const swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.segments = &segment;
    args.segment_count = 1;
    args.decay_modes = &decay;
    args.group_count = 1;
    args.threads = threads;
    EXPECT_EQ(swd_plan_create(&args, &plan_), SWD_OK);
    EXPECT_EQ(swd_workspace_size(plan_, &buffers_.workspace_bytes), SWD_OK);
    EXPECT_EQ(swd_state_size(plan_, &buffers_.state_bytes), SWD_OK);
    workspace_.resize(buffers_.workspace_bytes / sizeof(Block));
    state_.resize(buffers_.state_bytes / sizeof(Block));
    buffers_.workspace = workspace_.data();
    buffers_.state = state_.data();
    buffers_.param = rest_.data();
    buffers_.grad = grad;
    buffers_.exp_avg = rest_.data() + elements;
    buffers_.exp_avg_sq = rest_.data() + 2 * elements;
    EXPECT_EQ(swd_workspace_init(plan_, workspace_.data(), buffers_.workspace_bytes, nullptr), SWD_OK);
  }
  ~FlatPlan() { swd_plan_destroy(plan_); }

  swd_status step() {
    swd_group group = SWD_GROUP_INIT;
    swd_step_args args = SWD_STEP_ARGS_INIT;
    args.groups = &group;
    args.group_count = 1;
    return swd_step(plan_, &buffers_, &args, nullptr);
  }

 private:
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  std::vector<float> rest_;
  std::vector<Block> workspace_, state_;
  swd_plan* plan_ = nullptr;
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
};

}  // namespace swd::test
