// SPDX-License-Identifier: Apache-2.0
// Launches that fail: the statistics never say that such a step was applied, and the step in pieces that follows uses
// nothing of it. Also the code of a failure, and devices: two of them (CUDASIM_DEVICES=2), and one that this build has
// no code for.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include "support/small_model.h"

// What a device says for which the program has no code.
static cudaError_t attributes_error = cudaSuccess;
extern "C" cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (attributes_error != cudaSuccess) return attributes_error;
  return reinterpret_cast<cudaError_t (*)(cudaFuncAttributes*, const void*)>(dlsym(RTLD_NEXT, "cudaFuncGetAttributes"))(
      attributes, function);
}

namespace swd::test {
namespace {

RunSetup on_cuda(uint32_t flags = 0) {
  RunSetup s = small(flags);
  s.backend = SWD_BACKEND_CUDA;
  return s;
}

template <class F>
swd_status failing(const std::string& what, const F& call) {
  setenv("CUDASIM_FAIL", what.c_str(), 1);
  swd_status status = call();
  unsetenv("CUDASIM_FAIL");
  return status;
}

void pieces(Runner& r, int64_t first, int64_t count) {
  for (swd_phase phase = 0; phase <= (r.setup().flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++phase) {
    r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, first, count, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
  }
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
}

TEST(SimulatorAfresh, AWholeStepOfWhichALaunchFailed) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD}}) {
    for (int launch = 1; launch <= (flags != 0 ? 3 : 2); ++launch) {
      Runner r(on_cuda(flags)), expected(on_cuda(flags));
      for (Runner* each : {&r, &expected}) {
        start(*each);
        fill(*each, 1);
        each->step();
      }
      swd_stats before = r.stats();
      fill(r, 2, 8.0);
      std::string what = "cudaLaunchKernel:" + std::to_string(launch);
      EXPECT_EQ(failing(what, [&] { return swd_step(r.plan(), &r.buffers, &r.args(), r.stream()); }), SWD_ERR_CUDA);
      EXPECT_NE(swd_error_cuda(), 0);
      swd_stats after = r.stats();
      EXPECT_EQ(memcmp(&after, &before, sizeof after), 0) << "the latest committed step's";
      fill(r, 3);
      fill(expected, 3);
      pieces(r, 3, 1);
      pieces(expected, 3, 1);
      EXPECT_EQ(r.bytes(), expected.bytes()) << flags << launch;
      EXPECT_EQ(r.stats().grad_norm, expected.stats().grad_norm);
    }
  }
}

// A piece that never reached the device: only the host knows.
TEST(SimulatorAfresh, APieceThatFailed) {
  for (int failed = 0; failed < 4; ++failed) {
    Runner r(on_cuda()), expected(on_cuda());
    start(r);
    start(expected);
    fill(r, 1);
    r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, 1, r.stream()));
    const swd_step_args* args = &r.args();
    swd_status status = failing("cudaLaunchKernel:1", [&] {
      if (failed == 0) return swd_reduce(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, 1, 3, r.stream());
      if (failed == 1) return swd_fold(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, nullptr, 0, r.stream());
      if (failed == 2) return swd_decide(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, nullptr, 0, r.stream());
      return swd_update(r.plan(), &r.buffers, args, r.stream());
    });
    EXPECT_EQ(status, SWD_ERR_CUDA);
    fill(r, 2);
    fill(expected, 2);
    pieces(r, 3, 1);
    pieces(expected, 3, 1);
    EXPECT_EQ(r.bytes(), expected.bytes()) << failed;
    // Once only: the next step in pieces may come in several calls again.
    for (Runner* each : {&r, &expected}) {
      fill(*each, 3);
      each->ok(swd_reduce(each->plan(), &each->buffers, &each->args(), SWD_PHASE_GRAD, 0, 2, each->stream()));
      pieces(*each, 2, 2);
    }
    EXPECT_EQ(r.bytes(), expected.bytes()) << failed;
  }
}

// Whichever call of it failed, in memory that held anything: a workspace is whole, or it is none.
TEST(SimulatorAfresh, AnInitThatFailedHalfWay) {
  Runner whole(on_cuda());
  start(whole);
  fill(whole, 1);
  whole.step();
  for (int k = 1, failed = 1; failed != 0; ++k) {
    Runner r(on_cuda());
    start(r);
    fill(r, 1);
    std::vector<uint8_t> before = r.bytes();
    DeviceBuffer workspace(SWD_BACKEND_CUDA, r.buffers.workspace_bytes);
    failed = failing("any:" + std::to_string(k),
                     [&] { return swd_workspace_init(r.plan(), workspace.data(), workspace.bytes(), r.stream()); });
    r.buffers.workspace = workspace.data();
    r.ok(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()));
    swd_stats stats{};
    r.ok(swd_stats_fetch(r.plan(), workspace.data(), &stats, sizeof stats, nullptr, r.stream()));
    synchronize(SWD_BACKEND_CUDA);
    bool none = stats.result == SWD_RESULT_FOREIGN_WORKSPACE;
    EXPECT_TRUE(none || stats.result == SWD_RESULT_APPLIED) << k << " " << swd_result_name(stats.result);
    EXPECT_TRUE(failed != 0 || !none);
    EXPECT_EQ(r.bytes(), none ? before : whole.bytes()) << k;
    ASSERT_LT(k, 200);
  }
}

TEST(SimulatorAfresh, TheCodeOfAFailureIsKept) {
  Runner r(on_cuda());
  std::string what = "cudaLaunchKernel:1:" + std::to_string(static_cast<int>(cudaErrorLaunchFailure));
  const swd_step_args* args = &r.args();
  EXPECT_EQ(failing(what, [&] { return swd_step(r.plan(), &r.buffers, args, r.stream()); }), SWD_ERR_CUDA);
  EXPECT_EQ(swd_error_cuda(), static_cast<int32_t>(cudaErrorLaunchFailure));
  EXPECT_EQ(swd_step(nullptr, &r.buffers, args, r.stream()), SWD_ERR_NULL);
  EXPECT_EQ(swd_error_cuda(), static_cast<int32_t>(cudaErrorLaunchFailure)) << "of the latest CUDA failure";
}

TEST(SimulatorAfresh, ADeviceWithoutCodeIsNotAvailable) {
  EXPECT_EQ(swd_backend_available(SWD_BACKEND_CUDA), SWD_OK);
  Runner r(on_cuda());
  for (cudaError_t error : {cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction}) {
    attributes_error = error;
    EXPECT_EQ(swd_backend_available(SWD_BACKEND_CUDA), SWD_ERR_NO_DEVICE);
    EXPECT_NE(std::string(swd_error_detail()).find("no code"), std::string::npos) << swd_error_detail();
    EXPECT_EQ(swd_error_cuda(), static_cast<int32_t>(error));
    EXPECT_EQ(swd_workspace_init(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()),
              SWD_ERR_NO_DEVICE);
    attributes_error = cudaSuccess;
    EXPECT_EQ(swd_backend_available(SWD_BACKEND_CUDA), SWD_OK);
  }
}

TEST(SimulatorAfresh, MemoryAndStreamsOfAnotherDevice) {
  int devices = 0;
  ASSERT_EQ(cudaGetDeviceCount(&devices), cudaSuccess);
  ASSERT_EQ(devices, 2) << "run with CUDASIM_DEVICES=2, as ctest does";
  Runner r(on_cuda());
  void* memory = nullptr;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&memory, r.buffers.workspace_bytes), cudaSuccess);
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(swd_workspace_init(r.plan(), memory, r.buffers.workspace_bytes, r.stream()), SWD_ERR_DEVICE);
  EXPECT_NE(std::string(swd_error_detail()).find("device 1"), std::string::npos) << swd_error_detail();
  EXPECT_EQ(swd_workspace_init(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, stream), SWD_ERR_DEVICE);
  EXPECT_NE(std::string(swd_error_detail()).find("stream"), std::string::npos) << swd_error_detail();
  cudaStreamDestroy(stream);
  cudaFree(memory);
}

}  // namespace
}  // namespace swd::test
