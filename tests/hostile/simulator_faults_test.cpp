// SPDX-License-Identifier: Apache-2.0
// Each call that the library makes into the CUDA runtime fails once, in every public function that makes any: a
// specific error, no CUDA error left behind, nothing changed, and the same call again gives the bits of a run without
// faults. Needs a simulated runtime that fails on demand (CUDASIM_FAIL) and counts its calls.
#include <cuda_runtime_api.h>

#include <functional>

#include "support/interpose/host_faults.h"
#include "support/runner.h"
#include "support/simulated_calls.h"

namespace swd::test {
namespace {

constexpr uint32_t kNarrow = 1u << 31;  // beside SWD_PLAN_*: compact8

RunSetup setup(uint32_t flags) {
  RunSetup s;
  s.backend = SWD_BACKEND_CUDA;
  s.flags = flags & ~kNarrow;
  s.copy = SWD_DTYPE_F16;
  if (flags & kNarrow) {
    s.copy = SWD_DTYPE_NONE;
    s.param = SWD_DTYPE_BF16;
    s.remainder = SWD_DTYPE_I8;
    s.moment = SWD_DTYPE_BLOCK8;
  }
  for (int64_t k = 0; k < 500; ++k) s.counts.push_back(k == 7 ? 5000 : k % 50 ? 0 : 90);  // two launches
  s.decay.assign(90, SWD_DECAY_SCHEDULED);  // their groups are carried in two more
  s.groups.assign(90, swd_group{1e-3, 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0});
  for (uint32_t k = 0; k < 500; ++k) s.group_of.push_back(k % 90);
  return s;
}

struct Operation {
  const char* name;
  bool writes;  // parameters, moments or state, when it succeeds
  std::function<swd_status(Runner&)> call;
  size_t first = SIZE_MAX;  // of the pieces of one step: the first of them, from which on a failed one is repeated
};

swd_status set_all(Runner& r, int buffer) {
  std::vector<const void*> pointers;
  for (size_t k = 0; k < 500; ++k) pointers.push_back(r.at(buffer, k));
  return swd_set_pointers(r.plan(), r.buffers.workspace, buffer, 0, 500, pointers.data(), r.stream());
}

// The ways from and to fp32, through memory of their own, 2^15 elements an array: zeros, until something is stored
// there.
void add_conversions(std::vector<Operation>& out, bool list) {
  auto values = std::make_shared<DeviceBuffer>(SWD_BACKEND_CUDA, 3 * 4 << 15);
  values->fill(0);
  using Convert = swd_status (*)(const swd_plan*, const swd_buffers*, const swd_fp32_arrays*, void*);
  auto call = [values, list](Runner& r, Convert convert) {
    std::vector<const void*> tensors[3];
    for (uint64_t a = 0, at = 0; a < 3; ++a, at = a << 17) {
      for (int64_t count : r.setup().counts) {
        tensors[a].push_back(values->data() + at);
        at += 4 * static_cast<uint64_t>(count);
      }
    }
    auto base = [&](uint64_t a) { return list ? static_cast<const void*>(tensors[a].data()) : tensors[a][0]; };
    swd_fp32_arrays arrays = SWD_FP32_ARRAYS_INIT;
    arrays.param = base(0), arrays.exp_avg = base(1), arrays.exp_avg_sq = base(2);
    return convert(r.plan(), &r.buffers, &arrays, r.stream());
  };
  out.push_back({"swd_state_load", true, [call](Runner& r) { return call(r, swd_state_load); }});
  out.push_back({"swd_state_store", false, [call](Runner& r) { return call(r, swd_state_store); }});
}

std::vector<Operation> operations(uint32_t flags) {
  std::vector<Operation> out;
  out.push_back({"swd_workspace_init", false, [](Runner& r) {
                   return swd_workspace_init(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream());
                 }});
  for (int b = 0; b < kBuffers && (flags & SWD_PLAN_LIST); ++b) {
    bool narrow = (flags & kNarrow) != 0;
    if (b == SWD_BUFFER_MAX_EXP_AVG_SQ && !(flags & SWD_PLAN_AMSGRAD)) continue;
    if ((b == SWD_BUFFER_PARAM_COPY && narrow) || (b >= SWD_BUFFER_REMAINDER && !narrow)) continue;
    out.push_back({"swd_set_pointers", false, [b](Runner& r) { return set_all(r, b); }});
  }
  auto step = [](Runner& r) { return swd_step(r.plan(), &r.buffers, &r.args(), r.stream()); };
  out.push_back({"swd_step", true, step});
  size_t first = out.size();
  for (swd_phase p = 0; p <= (flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++p) {
    out.push_back({"swd_reduce", false,
                   [p](Runner& r) { return swd_reduce(r.plan(), &r.buffers, &r.args(), p, 3, 497, r.stream()); }});
    out.push_back({"swd_reduce", false,
                   [p](Runner& r) { return swd_reduce(r.plan(), &r.buffers, &r.args(), p, 0, 3, r.stream()); }});
    out.push_back({"swd_fold", false,
                   [p](Runner& r) { return swd_fold(r.plan(), &r.buffers, &r.args(), p, nullptr, 0, r.stream()); }});
    out.push_back({"swd_decide", false,
                   [p](Runner& r) { return swd_decide(r.plan(), &r.buffers, &r.args(), p, nullptr, 0, r.stream()); }});
  }
  out.push_back(
      {"swd_update", true, [](Runner& r) { return swd_update(r.plan(), &r.buffers, &r.args(), r.stream()); }});
  for (size_t i = first; i < out.size(); ++i) out[i].first = first;
  out.push_back({"swd_discard", false, [](Runner& r) {
                   return swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream());
                 }});
  out.push_back({"swd_stats_fetch", false, [](Runner& r) {
                   static swd_stats stats;
                   static double lambda_eff[90];
                   return swd_stats_fetch(r.plan(), r.buffers.workspace, &stats, sizeof stats, lambda_eff, r.stream());
                 }});
  out.push_back(
      {"swd_state_rebuild", true, [](Runner& r) { return swd_state_rebuild(r.plan(), &r.buffers, r.stream()); }});
  out.push_back({"swd_step", true, step});
  add_conversions(out, (flags & SWD_PLAN_LIST) != 0);
  return out;
}

void start(Runner& r) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    r.set(SWD_BUFFER_PARAM, k, uniform(1, k, r.setup().counts[k]));
    r.set(SWD_BUFFER_GRAD, k, uniform(2, k, r.setup().counts[k]));
  }
}

// Makes the k-th call of an operation fail for k = 1, 2, ... until none does. Returns how many did. After a piece that
// failed, the step is made again from its first piece on, as swd.h says.
int fail_each_call(Runner& r, const std::vector<Operation>& all, size_t number) {
  const Operation& operation = all[number];
  for (int k = 1;; ++k) {
    std::string what = std::string(operation.name) + ", call " + std::to_string(k);
    std::vector<uint8_t> before = r.bytes();
    r.args();
    setenv("CUDASIM_FAIL", ("any:" + std::to_string(k)).c_str(), 1);
    swd_status status = operation.call(r);
    unsetenv("CUDASIM_FAIL");
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << what;
    if (status == SWD_OK) return k - 1;
    EXPECT_EQ(status, SWD_ERR_CUDA) << what;
    std::string detail = swd_error_detail();
    EXPECT_NE(detail.find(" failed: cudaError"), std::string::npos) << what << ": " << detail;
    EXPECT_TRUE(detail.find("cuda") == 0 || detail.find("launch of the ") == 0) << what << ": " << detail;
    EXPECT_TRUE(r.bytes() == before) << what;
    EXPECT_TRUE(r.canaries_intact()) << what;
    for (size_t i = operation.first; i < number; ++i) EXPECT_EQ(all[i].call(r), SWD_OK) << swd_error_detail();
    if (k > 200) throw std::runtime_error(what + ": no end of failures");
  }
}

class SimulatorFaults : public ::testing::TestWithParam<uint32_t> {};

TEST_P(SimulatorFaults, EveryRuntimeCallFailsOnce) {
  uint32_t flags = GetParam();
  Runner healthy(setup(flags)), suffering(setup(flags));
  start(healthy);
  start(suffering);
  int sites = 0;
  const std::vector<Operation> all = operations(flags);
  for (size_t i = 0; i < all.size(); ++i) {
    const Operation& operation = all[i];
    std::vector<uint8_t> before = healthy.bytes();
    healthy.args();
    uint64_t calls_before = calls("any");
    ASSERT_EQ(operation.call(healthy), SWD_OK) << operation.name << ": " << swd_error_detail();
    uint64_t made = calls("any") - calls_before;
    EXPECT_EQ(healthy.bytes() != before, operation.writes) << operation.name;
    int64_t live = allocations().live;
    int failed = fail_each_call(suffering, all, i);
    EXPECT_EQ(allocations().live, live) << operation.name << " leaks";
    EXPECT_GT(failed, 0) << operation.name;
    EXPECT_EQ(static_cast<uint64_t>(failed), made) << operation.name << ": a failure went unnoticed";
    EXPECT_TRUE(suffering.bytes() == healthy.bytes()) << operation.name;
    sites += failed;
  }
  printf("%d runtime calls failed\n", sites);
  EXPECT_EQ(suffering.stats().steps_applied, 3u);
  EXPECT_EQ(suffering.stats().steps_skipped, 0u);
}

INSTANTIATE_TEST_SUITE_P(Plans, SimulatorFaults,
                         ::testing::Values(0u, uint32_t{SWD_PLAN_LIST} | SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS,
                                           kNarrow, kNarrow | uint32_t{SWD_PLAN_LIST}));

// Whether a workspace is the device's memory takes several calls, and one that fails is no verdict on the memory.
TEST(SimulatorFaultsOfTheDevice, WhatCouldNotBeAskedIsNoVerdict) {
  Runner r(setup(0));
  std::vector<uint8_t> host(r.buffers.workspace_bytes);
  for (int k = 1; k <= 3; ++k) {
    setenv("CUDASIM_FAIL", ("any:" + std::to_string(k)).c_str(), 1);
    EXPECT_EQ(swd_workspace_init(r.plan(), host.data(), host.size(), r.stream()), SWD_ERR_CUDA) << k;
    EXPECT_NE(std::string(swd_error_detail()).find(" failed: cudaError"), std::string::npos) << swd_error_detail();
    unsetenv("CUDASIM_FAIL");
  }
  EXPECT_EQ(swd_workspace_init(r.plan(), host.data(), host.size(), r.stream()), SWD_ERR_DEVICE);
}

TEST(SimulatorFaultsOfTheDevice, ADeviceThatIsGoneHasItsOwnStatus) {
  const std::pair<cudaError_t, swd_status> rows[] = {{cudaErrorNoDevice, SWD_ERR_NO_DEVICE},
                                                     {cudaErrorInsufficientDriver, SWD_ERR_NO_DEVICE},
                                                     {cudaErrorMemoryAllocation, SWD_ERR_CUDA},
                                                     {cudaErrorUnknown, SWD_ERR_CUDA}};
  for (auto [error, status] : rows) {
    setenv("CUDASIM_FAIL", ("cudaGetDeviceCount:1:" + std::to_string(error)).c_str(), 1);
    EXPECT_EQ(swd_backend_available(SWD_BACKEND_CUDA), status) << error;
    EXPECT_EQ(std::string(swd_error_detail()).find("cudaGetDeviceCount failed: cudaError"), 0u) << swd_error_detail();
    unsetenv("CUDASIM_FAIL");
    EXPECT_EQ(swd_backend_available(SWD_BACKEND_CUDA), SWD_OK);
  }
}

}  // namespace
}  // namespace swd::test
