// SPDX-License-Identifier: Apache-2.0
// CUDA: workspaces of other plans, of no plan, and memory that is not this device's. Nothing is written there but the
// answer of swd_stats_fetch.
#include "support/small_model.h"

namespace swd::test {
namespace {

RunSetup on_cuda(uint32_t flags = 0) {
  RunSetup s = small(flags);
  s.backend = SWD_BACKEND_CUDA;
  return s;
}

// The calls that only some plans have: pointers, groups that are carried, copies, the ways from and to fp32.
void call_the_rest(Runner& r) {
  int64_t segments = static_cast<int64_t>(r.setup().counts.size());
  std::vector<const void*> pointers, tensors;
  DeviceBuffer values(SWD_BACKEND_CUDA, 4 * 8192);
  values.fill(0);
  for (size_t k = 0, at = 0; k < r.setup().counts.size(); at += 4 * static_cast<size_t>(r.setup().counts[k++])) {
    pointers.push_back(r.at(SWD_BUFFER_PARAM, k));
    tensors.push_back(values.data() + at);
  }
  swd_fp32_arrays arrays = SWD_FP32_ARRAYS_INIT;
  arrays.param = r.setup().flags & SWD_PLAN_LIST ? static_cast<const void*>(tensors.data()) : values.data();
  if (r.setup().flags & SWD_PLAN_LIST) {
    r.ok(swd_set_pointers(r.plan(), r.buffers.workspace, SWD_BUFFER_PARAM, 0, segments, pointers.data(), r.stream()));
  }
  r.ok(swd_copy_params(r.plan(), &r.buffers, r.stream()));
  r.ok(swd_state_load(r.plan(), &r.buffers, &arrays, r.stream()));
  r.ok(swd_state_store(r.plan(), &r.buffers, &arrays, r.stream()));
  synchronize(SWD_BACKEND_CUDA);
  EXPECT_EQ(values.read_all(), std::vector<uint8_t>(values.bytes()));
}

// Every call on `workspace`, which is not the plan's; the statistics must say so each time.
void expect_foreign(Runner& r, DeviceBuffer& workspace) {
  start(r);
  fill(r, 1);
  r.buffers.workspace = workspace.data();
  std::vector<uint8_t> before = r.bytes(), memory = workspace.read_all();
  const swd_step_args* args = &r.args();
  for (int t = 0; t < 2; ++t) {
    r.ok(swd_step(r.plan(), &r.buffers, args, r.stream()));
    r.ok(swd_reduce(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, 0, 4, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
    r.ok(swd_update(r.plan(), &r.buffers, args, r.stream()));
    r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
    r.ok(swd_discard(r.plan(), workspace.data(), workspace.bytes(), r.stream()));
    if (r.setup().copy != SWD_DTYPE_NONE) call_the_rest(r);
    synchronize(SWD_BACKEND_CUDA);
    EXPECT_EQ(workspace.read_all(), memory);
    swd_stats stats;
    memset(&stats, 0xEE, sizeof stats);
    std::vector<double> lambda_eff(r.setup().decay.size());
    r.ok(swd_stats_fetch(r.plan(), workspace.data(), &stats, sizeof stats, lambda_eff.data(), r.stream()));
    synchronize(SWD_BACKEND_CUDA);
    swd_stats expected{};
    expected.result = SWD_RESULT_FOREIGN_WORKSPACE;
    EXPECT_EQ(memcmp(&stats, &expected, sizeof stats), 0) << swd_result_name(stats.result);
    std::vector<uint8_t> after = workspace.read_all();
    size_t changed = 0;
    for (size_t i = 0; i < after.size(); ++i) changed += after[i] != memory[i] ? 1u : 0u;
    EXPECT_LE(changed, sizeof(swd_stats));
    memory = after;
  }
  EXPECT_EQ(r.bytes(), before);
  EXPECT_TRUE(workspace.canaries_intact());
}

TEST(CudaForeign, AWorkspaceOfAnotherPlan) {
  Runner r(on_cuda()), other(on_cuda(SWD_PLAN_MAXIMIZE));
  start(other);
  fill(other, 1);
  other.step();
  swd_stats before = other.stats();
  DeviceBuffer workspace(SWD_BACKEND_CUDA, other.buffers.workspace_bytes);
  std::vector<uint8_t> bytes = other.workspace_bytes();
  workspace.write(0, bytes.data(), bytes.size());
  expect_foreign(r, workspace);
  // The other plan finds its own as it was.
  swd_stats again{};
  other.ok(swd_stats_fetch(other.plan(), workspace.data(), &again, sizeof again, nullptr, other.stream()));
  synchronize(SWD_BACKEND_CUDA);
  EXPECT_EQ(memcmp(&again, &before, sizeof again), 0);
}

TEST(CudaForeign, MemoryThatWasNeverAWorkspace) {
  for (uint8_t value : {0, 0x5A, 0xFF}) {
    Runner r(on_cuda());
    DeviceBuffer workspace(SWD_BACKEND_CUDA, r.buffers.workspace_bytes);
    workspace.fill(value);
    expect_foreign(r, workspace);
  }
}

TEST(CudaForeign, CallsThatOnlySomePlansHave) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_LIST}}) {
    RunSetup s = on_cuda(flags);
    s.copy = SWD_DTYPE_BF16;
    s.decay.assign(100, s.decay[0]);  // more than go along with a launch
    s.groups.assign(100, s.groups[0]);
    Runner r(s);
    DeviceBuffer workspace(SWD_BACKEND_CUDA, r.buffers.workspace_bytes);
    workspace.fill(0x5A);
    expect_foreign(r, workspace);
  }
}

TEST(CudaForeign, HostMemoryIsNoWorkspace) {
  Runner r(on_cuda());
  DeviceBuffer host(SWD_BACKEND_CPU, r.buffers.workspace_bytes);
  std::vector<uint8_t> before = host.read_all();
  EXPECT_EQ(swd_workspace_init(r.plan(), host.data(), host.bytes(), r.stream()), SWD_ERR_DEVICE);
  EXPECT_NE(std::string(swd_error_detail()).find("workspace"), std::string::npos) << swd_error_detail();
  EXPECT_EQ(host.read_all(), before);
}

}  // namespace
}  // namespace swd::test
