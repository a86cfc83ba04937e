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
    synchronize(SWD_BACKEND_CUDA);
    EXPECT_EQ(workspace.read_all(), memory);
    swd_stats stats;
    memset(&stats, 0xEE, sizeof stats);
    double lambda_eff = 0.0;
    r.ok(swd_stats_fetch(r.plan(), workspace.data(), &stats, sizeof stats, &lambda_eff, r.stream()));
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
