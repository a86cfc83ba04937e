// SPDX-License-Identifier: Apache-2.0
// swd_workspace_init loads every kernel that any call will launch, in every row of the table of dtypes: a first call
// may come inside a capture, or beside a kernel that waits for it.
#include <algorithm>

#include "spy.h"
#include "support/narrow.h"

namespace swd::test {
namespace {

struct Row {
  swd_dtype copy;
  NarrowFormat format;
};

std::vector<Row> rows() {
  std::vector<Row> out;
  for (swd_dtype grad : {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    for (swd_dtype copy : {SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
      out.push_back({copy, {"fp32", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_F32, grad}});
    }
  }
  for (const NarrowFormat& f : narrow_formats()) out.push_back({SWD_DTYPE_NONE, f});
  return out;
}

void call_everything(Runner& r) {
  const RunSetup& s = r.setup();
  swd_step_args& args = r.args();
  ASSERT_EQ(step(r, r.stream()), SWD_OK);
  for (swd_phase phase = 0; phase <= (s.flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++phase) {
    r.ok(swd_reduce(r.plan(), &r.buffers, &args, phase, 0, 1000, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &args, phase, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &args, phase, nullptr, 0, r.stream()));
  }
  r.ok(swd_update(r.plan(), &r.buffers, &args, r.stream()));
  r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
  r.ok(swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()));
  DeviceRecord to(SWD_BACKEND_CUDA), from(SWD_BACKEND_CUDA);
  r.ok(swd_record_add(r.plan(), to.pointer(), from.pointer(), kRecordDoubles, r.stream()));
  r.stats();
  if (s.copy != SWD_DTYPE_NONE) r.ok(swd_copy_params(r.plan(), &r.buffers, r.stream()));
  Fp32Memory fp32(s);
  r.ok(swd_state_store(r.plan(), &r.buffers, &fp32.arrays(), r.stream()));
  r.ok(swd_state_load(r.plan(), &r.buffers, &fp32.arrays(), r.stream()));
  synchronize(SWD_BACKEND_CUDA);
}

void expect_loaded(const Row& row, uint32_t flags) {
  RunSetup s = row.format.in(setup(flags, 30));
  s.copy = row.copy;
  kernels_loaded.clear();
  kernels_launched.clear();
  Runner r(s);
  call_everything(r);
  const std::vector<const void*> launched = kernels_launched;
  EXPECT_GE(launched.size(), 12u);
  for (const void* kernel : launched) {
    EXPECT_NE(std::find(kernels_loaded.begin(), kernels_loaded.end(), kernel), kernels_loaded.end())
        << "a kernel was launched that init had not loaded; " << test_name(row.format) << ", gradients "
        << row.format.grad << ", copy " << row.copy << ", flags " << flags;
  }
}

TEST(SimulatorCounts, InitLoadsEveryKernelThatAPlanLaunches) {
  for (const Row& row : rows()) {
    for (uint32_t more : {0u, uint32_t{SWD_PLAN_AMSGRAD}}) {
      if (more != 0 && row.format.has_narrow_moments()) continue;
      expect_loaded(row, more);
      expect_loaded(row, more | SWD_PLAN_LIST | SWD_PLAN_UPDATE_NORMS);
    }
  }
}

}  // namespace
}  // namespace swd::test
