// SPDX-License-Identifier: Apache-2.0
// Buffers may lie side by side without a byte between them; one byte less is an overlap.
#include "support/runner.h"

namespace swd::test {
namespace {

TEST(CpuAdjacentBuffers, SideBySideIsNoOverlap) {
  constexpr int64_t kBegin = 3, kCount = 13;  // the segments lie side by side; what lies before them is nobody's
  constexpr uint64_t kArray = 4 * kCount;
  swd_segment segment = {kBegin, kCount, 0, 0, 0};
  swd_decay decay = SWD_DECAY_DECOUPLED;
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.segments = &segment;
  plan_args.segment_count = 1;
  plan_args.decay_modes = &decay;
  plan_args.group_count = 1;
  swd_plan* plan = nullptr;
  ASSERT_EQ(swd_plan_create(&plan_args, &plan), SWD_OK) << swd_error_detail();
  uint64_t state_bytes = 0, workspace_bytes = 0;
  ASSERT_EQ(swd_state_size(plan, &state_bytes), SWD_OK);
  ASSERT_EQ(swd_workspace_size(plan, &workspace_bytes), SWD_OK);
  DeviceBuffer memory(SWD_BACKEND_CPU, 16 + 4 * kArray + state_bytes + workspace_bytes);
  memory.fill(0);
  uint8_t* next = memory.data() + 16;
  auto take = [&next](uint64_t bytes) {
    uint8_t* taken = next;
    next += bytes;
    return taken;
  };
  swd_buffers b = SWD_BUFFERS_INIT;
  b.param = take(kArray) - 4 * kBegin;
  b.grad = take(kArray) - 4 * kBegin;
  b.exp_avg = take(kArray) - 4 * kBegin;
  b.exp_avg_sq = take(kArray) - 4 * kBegin;
  b.state = take(state_bytes);
  b.workspace = take(workspace_bytes);
  b.state_bytes = state_bytes;
  b.workspace_bytes = workspace_bytes;
  ASSERT_EQ(swd_workspace_init(plan, b.workspace, workspace_bytes, nullptr), SWD_OK);
  swd_group group = SWD_GROUP_INIT;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;
  EXPECT_EQ(swd_step(plan, &b, &args, nullptr), SWD_OK) << swd_error_detail();
  for (int closer : {4, static_cast<int>(4 * kCount)}) {
    swd_buffers overlapping = b;
    overlapping.grad = static_cast<const uint8_t*>(b.grad) - closer;
    EXPECT_EQ(swd_step(plan, &overlapping, &args, nullptr), SWD_ERR_OVERLAP) << closer;
    overlapping.grad = static_cast<const uint8_t*>(b.grad) + closer;
    EXPECT_EQ(swd_step(plan, &overlapping, &args, nullptr), SWD_ERR_OVERLAP) << closer;
  }
  swd_plan_destroy(plan);
}

// Only the last segment meets the other buffer. What the first has of it would not reach so far: a hull must end where
// the last segment does.
TEST(CpuAdjacentBuffers, OnlyTheLastSegmentOverlaps) {
  constexpr int64_t kLast = 40, kCount = 13;
  constexpr int64_t kApart = 2 * (kLast + kCount);  // room for gradients on either side of the parameters
  swd_segment segments[2] = {{0, 1, 0, 0, 0}, {kLast, kCount, 0, 0, 0}};
  swd_decay decay = SWD_DECAY_DECOUPLED;
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.segments = segments;
  plan_args.segment_count = 2;
  plan_args.decay_modes = &decay;
  plan_args.group_count = 1;
  swd_plan* plan = nullptr;
  ASSERT_EQ(swd_plan_create(&plan_args, &plan), SWD_OK) << swd_error_detail();
  swd_buffers b = SWD_BUFFERS_INIT;
  ASSERT_EQ(swd_state_size(plan, &b.state_bytes), SWD_OK);
  ASSERT_EQ(swd_workspace_size(plan, &b.workspace_bytes), SWD_OK);
  DeviceBuffer arrays(SWD_BACKEND_CPU, 4 * sizeof(float) * kApart), state(SWD_BACKEND_CPU, b.state_bytes),
      workspace(SWD_BACKEND_CPU, b.workspace_bytes);
  arrays.fill(0);
  state.fill(0);
  float* first = reinterpret_cast<float*>(arrays.data());
  b.param = first + kApart;
  b.exp_avg = first + 2 * kApart;
  b.exp_avg_sq = first + 3 * kApart;
  b.state = state.data();
  b.workspace = workspace.data();
  ASSERT_EQ(swd_workspace_init(plan, b.workspace, b.workspace_bytes, nullptr), SWD_OK);
  swd_group group = SWD_GROUP_INIT;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;
  for (int64_t distance : {kLast - 1, kLast, kLast + kCount - 1, kLast + kCount}) {
    bool meets = distance >= kLast && distance < kLast + kCount;
    for (int64_t sign : {-1, 1}) {  // one's last segment, or the other's
      b.grad = first + kApart + sign * distance;
      EXPECT_EQ(swd_step(plan, &b, &args, nullptr), meets ? SWD_ERR_OVERLAP : SWD_OK) << sign * distance;
    }
  }
  swd_plan_destroy(plan);
}

// Where whole extents are compared: the blob right behind the image and right before it, and one byte into it.
TEST(CpuAdjacentBuffers, BlobAndImage) {
  swd_segment segment = {0, 7, 0, 0, 0};
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.segments = &segment;
  plan_args.segment_count = 1;
  swd_plan* plan = nullptr;
  ASSERT_EQ(swd_plan_create(&plan_args, &plan), SWD_OK) << swd_error_detail();
  uint64_t image_bytes = 0, blob_bytes = 0;
  ASSERT_EQ(swd_state_size(plan, &image_bytes), SWD_OK);
  ASSERT_EQ(swd_state_blob_size(plan, &blob_bytes), SWD_OK);
  uint64_t before = (blob_bytes + 15) / 16 * 16;  // the image is aligned
  DeviceBuffer memory(SWD_BACKEND_CPU, before + image_bytes + blob_bytes);
  memory.fill(0);
  uint8_t* image = memory.data() + before;
  for (uint8_t* blob : {image + image_bytes, image - blob_bytes}) {
    EXPECT_EQ(swd_state_export(plan, image, image_bytes, blob, blob_bytes), SWD_OK) << swd_error_detail();
  }
  for (uint8_t* blob : {image + image_bytes - 1, image - blob_bytes + 1}) {
    EXPECT_EQ(swd_state_export(plan, image, image_bytes, blob, blob_bytes), SWD_ERR_OVERLAP);
  }
  swd_plan_destroy(plan);
}

}  // namespace
}  // namespace swd::test
