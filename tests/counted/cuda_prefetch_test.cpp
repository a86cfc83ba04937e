// SPDX-License-Identifier: Apache-2.0
// What pass 2 prefetches while pass 1 drains lies inside the arrays: arrays that start where their allocation does, of
// parameters at every place in a line, and lists with pointers that were never set. A simulated device refuses any
// other address; a real one would fetch it in silence. CUDA only.
#include <cuda_runtime_api.h>

#include "support/runner.h"

namespace swd::test {
namespace {

struct DeviceFree {
  void operator()(void* p) const { cudaFree(p); }
};
using Allocation = std::unique_ptr<void, DeviceFree>;

Allocation zeros(size_t bytes) {
  void* out = nullptr;
  EXPECT_EQ(cudaMalloc(&out, bytes), cudaSuccess);
  EXPECT_EQ(cudaMemset(out, 0, bytes), cudaSuccess);
  return Allocation(out);
}

// Parameters start `shift` elements into their allocation and end with it; the other arrays are allocations.
void step_once(int64_t count, int64_t shift) {
  swd_segment segment = {0, count, 0, 0, 0};
  swd_decay decay = SWD_DECAY_SCHEDULED;
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.backend = SWD_BACKEND_CUDA;
  plan_args.segments = &segment;
  plan_args.segment_count = 1;
  plan_args.decay_modes = &decay;
  plan_args.group_count = 1;
  swd_plan* plan = nullptr;
  ASSERT_EQ(swd_plan_create(&plan_args, &plan), SWD_OK) << swd_error_detail();
  uint64_t state_bytes = 0, workspace_bytes = 0;
  ASSERT_EQ(swd_state_size(plan, &state_bytes), SWD_OK);
  ASSERT_EQ(swd_workspace_size(plan, &workspace_bytes), SWD_OK);
  size_t bytes = static_cast<size_t>(count) * 4;
  Allocation param = zeros(bytes + static_cast<size_t>(shift) * 4), grad = zeros(bytes), m = zeros(bytes),
             v = zeros(bytes), state = zeros(state_bytes), workspace = zeros(workspace_bytes + 16);
  swd_buffers b = SWD_BUFFERS_INIT;
  b.param = static_cast<float*>(param.get()) + shift;
  b.grad = grad.get();
  b.exp_avg = m.get();
  b.exp_avg_sq = v.get();
  b.state = state.get();
  b.state_bytes = state_bytes;
  b.workspace = static_cast<char*>(workspace.get()) + 16;  // all the alignment that it needs
  b.workspace_bytes = workspace_bytes;
  swd_group group = SWD_GROUP_INIT;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;
  EXPECT_EQ(swd_workspace_init(plan, b.workspace, workspace_bytes, nullptr), SWD_OK) << swd_error_detail();
  EXPECT_EQ(swd_step(plan, &b, &args, nullptr), SWD_OK) << swd_error_detail();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << count << " elements, shift " << shift;
  EXPECT_EQ(swd_plan_destroy(plan), SWD_OK);
}

TEST(Prefetch, StaysInsideArrays) {
  for (int64_t count : {1, 31, 32, 1000, 1024, 1025, 5000}) {
    for (int64_t shift : {0, 1, 17, 31}) step_once(count, shift);
  }
}

TEST(Prefetch, PassesOverPointersThatWereNeverSet) {
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    RunSetup s;
    s.backend = SWD_BACKEND_CUDA;
    s.flags = SWD_PLAN_LIST;
    s.counts = {100, 3000};
    Runner r(s);
    for (size_t k = 0; k < 2; ++k) r.set(SWD_BUFFER_GRAD, k, uniform(2, k, s.counts[k]));
    const void* none = nullptr;
    r.ok(swd_set_pointers(r.plan(), r.buffers.workspace, buffer, 1, 1, &none, r.stream()));
    r.ok(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()));
    EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_INVALID);
  }
}

}  // namespace
}  // namespace swd::test
