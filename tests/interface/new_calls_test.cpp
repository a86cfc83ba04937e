// SPDX-License-Identifier: Apache-2.0
// Calls that came with 0.2: images of workspaces, copies of parameters, sums of records, versions.
#include <cmath>
#include <string>

#include "support/small_model.h"

namespace swd::test {
namespace {

TEST(NewCalls, AWorkspaceImageIsAWorkspace) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD} | SWD_PLAN_UPDATE_NORMS}) {
    Runner r(small(flags)), expected(small(flags));
    uint64_t bytes = r.buffers.workspace_bytes;
    DeviceBuffer image(SWD_BACKEND_CPU, bytes), workspace(r.setup().backend, bytes);
    r.ok(swd_workspace_image(r.plan(), image.data(), bytes));
    EXPECT_EQ(image.read_all(), expected.workspace_bytes());
    workspace.write(0, image.data(), bytes);
    r.buffers.workspace = workspace.data();
    for (Runner* each : {&r, &expected}) {
      start(*each);
      fill(*each, 1);
      each->ok(swd_step(each->plan(), &each->buffers, &each->args(), each->stream()));
    }
    synchronize(r.setup().backend);
    EXPECT_EQ(r.bytes(), expected.bytes());
    EXPECT_TRUE(workspace.canaries_intact());
  }
}

TEST(NewCalls, CopyParamsRoundsAsAStepDoes) {
  for (swd_dtype copy : {SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_LIST}}) {
      RunSetup s = small(flags);
      s.copy = copy;
      s.gap = 3;
      s.shift = 1;
      Runner r(s);
      start(r);
      fill(r, 1);
      r.step();
      for (size_t k = 0; k < s.counts.size(); ++k) {
        std::vector<uint16_t> expected = r.get_codes(SWD_BUFFER_PARAM_COPY, k);
        r.set_codes(SWD_BUFFER_PARAM_COPY, k, std::vector<uint16_t>(expected.size(), 0x5555));
        std::vector<uint8_t> workspace = r.workspace_bytes();
        swd_buffers few = SWD_BUFFERS_INIT;
        if (flags == 0) few.param = r.buffers.param, few.param_copy = r.buffers.param_copy;
        few.workspace = r.buffers.workspace;
        few.workspace_bytes = r.buffers.workspace_bytes;
        ASSERT_EQ(swd_copy_params(r.plan(), &few, r.stream()), SWD_OK) << swd_error_detail();
        synchronize(s.backend);
        EXPECT_EQ(r.get_codes(SWD_BUFFER_PARAM_COPY, k), expected);
        EXPECT_EQ(r.workspace_bytes(), workspace);
      }
    }
  }
}

// Two plans in one process, whose records are added, step as one plan does.
TEST(NewCalls, RecordsAddUp) {
  RunSetup s = small();
  s.counts = {700, 300};
  RunSetup first = s, second = s;
  first.counts = {700};
  second.counts = {300};
  Runner whole(s), a(first), b(second);
  whole.set(SWD_BUFFER_GRAD, 0, uniform(1, 0, 700));
  whole.set(SWD_BUFFER_GRAD, 1, uniform(1, 1, 300));
  a.set(SWD_BUFFER_GRAD, 0, uniform(1, 0, 700));
  b.set(SWD_BUFFER_GRAD, 0, uniform(1, 1, 300));
  DeviceRecord sum(s.backend), other(s.backend);
  whole.step();
  auto fold = [](Runner& r, DeviceRecord& record) {
    r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, 1, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, record.pointer(), kRecordDoubles, r.stream()));
  };
  fold(a, sum);
  fold(b, other);
  std::vector<uint8_t> bytes = sum.bytes();
  for (size_t i = 64; i < 128; ++i) EXPECT_EQ(bytes[i], 0) << "reserved doubles are zero";
  a.ok(swd_record_add(a.plan(), sum.pointer(), other.pointer(), kRecordDoubles, a.stream()));
  for (Runner* r : {&a, &b}) {
    r->ok(swd_decide(r->plan(), &r->buffers, &r->args(), SWD_PHASE_GRAD, sum.pointer(), kRecordDoubles, r->stream()));
    r->ok(swd_update(r->plan(), &r->buffers, &r->args(), r->stream()));
    EXPECT_EQ(r->stats().grad_norm, whole.stats().grad_norm);
    EXPECT_EQ(r->stats().vbar, whole.stats().vbar);
  }
  EXPECT_EQ(a.get(SWD_BUFFER_PARAM, 0), whole.get(SWD_BUFFER_PARAM, 0));
  EXPECT_EQ(b.get(SWD_BUFFER_PARAM, 0), whole.get(SWD_BUFFER_PARAM, 1));
}

TEST(NewCalls, VersionsAndNames) {
  EXPECT_EQ(swd_version(), 200u);
  EXPECT_STREQ(swd_version_string(), "0.2.0");
  EXPECT_EQ(swd_numerics_version(), 2u);
  EXPECT_NE(std::string(" base v3 v4 ").find(std::string(" ") + swd_cpu_isa() + " "), std::string::npos);
  EXPECT_GE(swd_cpu_threads(), 1);
  EXPECT_STREQ(swd_result_name(SWD_RESULT_SKIPPED_VBAR), "SWD_RESULT_SKIPPED_VBAR");
  EXPECT_STREQ(swd_result_name(SWD_RESULT_FOREIGN_WORKSPACE), "SWD_RESULT_FOREIGN_WORKSPACE");
  EXPECT_STREQ(swd_status_name(SWD_ERR_DEVICE), "SWD_ERR_DEVICE");
}

}  // namespace
}  // namespace swd::test
