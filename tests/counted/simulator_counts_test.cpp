// SPDX-License-Identifier: Apache-2.0
// What a step costs in runtime calls, counted: its launches and device queries, and nothing else - no allocation, no
// copy, no synchronisation, no event, no change of device, no kernel that is loaded only now. Every call carries the
// caller's stream. Needs a simulated
// runtime that counts its calls.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <algorithm>

#include "support/runner.h"
#include "support/simulated_calls.h"

namespace {
std::vector<void*> streams_seen;  // of every call that takes a stream
std::vector<const void*> kernels_loaded, kernels_launched;
int waits = 0;

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
}  // namespace

// These stand in for the runtime's in this program and in the library under test.
extern "C" {
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  streams_seen.push_back(config->stream);
  kernels_launched.push_back(kernel);
  return real<decltype(&cudaLaunchKernelExC)>("cudaLaunchKernelExC")(config, kernel, arguments);
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  kernels_loaded.push_back(kernel);
  return real<decltype(&cudaFuncGetAttributes)>("cudaFuncGetAttributes")(attributes, kernel);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  streams_seen.push_back(stream);
  return real<decltype(&cudaMemcpyAsync)>("cudaMemcpyAsync")(to, from, bytes, kind, stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  streams_seen.push_back(stream);
  return real<decltype(&cudaMemsetAsync)>("cudaMemsetAsync")(to, value, bytes, stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++waits;
  streams_seen.push_back(stream);
  return real<decltype(&cudaStreamSynchronize)>("cudaStreamSynchronize")(stream);
}
}

namespace swd::test {
namespace {

struct Counts {
  uint64_t launches = calls("cudaLaunchKernel");
  uint64_t queries = calls("cudaGetDevice") + calls("cudaDeviceGetAttribute") + calls("cudaFuncGetAttributes");
  uint64_t all = calls("any");
};

// f makes this many launches, and otherwise only asks the device; all in `stream`.
template <class F>
void expect_only(uint64_t launches, void* stream, const char* what, const F& f) {
  Counts before;
  streams_seen.clear();
  kernels_loaded.clear();
  EXPECT_EQ(f(), SWD_OK) << what << ": " << swd_error_detail();
  std::vector<void*> seen = streams_seen;
  Counts after;
  EXPECT_EQ(after.launches - before.launches, launches) << what;
  EXPECT_EQ(after.all - before.all, launches + (after.queries - before.queries)) << what;
  EXPECT_EQ(seen, std::vector<void*>(launches, stream)) << what;
  EXPECT_EQ(kernels_loaded.size(), 0u) << what;
}

RunSetup setup(uint32_t flags, uint32_t groups, swd_decay decay = SWD_DECAY_SCHEDULED) {
  RunSetup s;
  s.backend = SWD_BACKEND_CUDA;
  s.flags = flags;
  for (int64_t k = 0; k < 1000; ++k) s.counts.push_back(k % 100 == 7 ? 300 : 0);
  s.decay.assign(groups, decay);
  s.groups.assign(groups, swd_group{1e-3, 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0});
  return s;
}

swd_status step(Runner& r, void* stream) {
  swd_step_args& args = r.args();
  return swd_step(r.plan(), &r.buffers, &args, stream);
}

TEST(SimulatorCounts, AStepIsItsLaunchesAndNothingElse) {
  struct Row {
    const char* what;
    RunSetup setup;
    uint64_t launches;
  };
  const Row rows[] = {
      {"flat", setup(0, 1), 2},
      {"24 groups", setup(0, 24), 2},
      {"25 groups: carried", setup(0, 25), 3},
      {"81 groups: carried in two", setup(0, 81), 4},
      {"list", setup(SWD_PLAN_LIST, 1), 2},
      {"amsgrad, scheduled: a second reduction", setup(SWD_PLAN_AMSGRAD, 1), 3},
      {"amsgrad, decoupled", setup(SWD_PLAN_AMSGRAD, 1, SWD_DECAY_DECOUPLED), 2},
      {"norms", setup(SWD_PLAN_UPDATE_NORMS, 1), 2},
  };
  cudaStream_t other;
  ASSERT_EQ(cudaStreamCreate(&other), cudaSuccess);
  for (const Row& row : rows) {
    Runner r(row.setup);
    for (size_t k = 0; k < 1000; ++k) r.set(SWD_BUFFER_GRAD, k, uniform(2, k, row.setup.counts[k]));
    for (void* stream : {r.stream(), static_cast<void*>(other), static_cast<void*>(nullptr)}) {
      expect_only(row.launches, stream, row.what, [&] { return step(r, stream); });
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    }
    EXPECT_EQ(r.stats().steps_applied, 3u);
  }
  ASSERT_EQ(cudaStreamDestroy(other), cudaSuccess);
}

TEST(SimulatorCounts, PiecesAndTheRest) {
  Runner r(setup(SWD_PLAN_LIST, 1));
  for (size_t k = 0; k < 1000; ++k) r.set(SWD_BUFFER_GRAD, k, uniform(2, k, r.setup().counts[k]));
  swd_step_args& args = r.args();
  void* stream = r.stream();
  expect_only(1, stream, "reduce",
              [&] { return swd_reduce(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, 0, 1000, stream); });
  expect_only(1, stream, "reduce nothing",
              [&] { return swd_reduce(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, 5, 0, stream); });
  expect_only(1, stream, "fold",
              [&] { return swd_fold(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, stream); });
  expect_only(1, stream, "decide",
              [&] { return swd_decide(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, stream); });
  expect_only(1, stream, "update", [&] { return swd_update(r.plan(), &r.buffers, &args, stream); });
  expect_only(1, stream, "discard",
              [&] { return swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, stream); });
  DeviceRecord to(SWD_BACKEND_CUDA), from(SWD_BACKEND_CUDA);
  expect_only(1, stream, "record",
              [&] { return swd_record_add(r.plan(), to.pointer(), from.pointer(), kRecordDoubles, stream); });
  expect_only(1, stream, "rebuild", [&] { return swd_state_rebuild(r.plan(), &r.buffers, stream); });
  std::vector<const void*> pointers;
  for (size_t k = 0; k < 1000; ++k) pointers.push_back(r.at(SWD_BUFFER_PARAM, k));
  expect_only(3, stream, "1000 pointers", [&] {
    return swd_set_pointers(r.plan(), r.buffers.workspace, SWD_BUFFER_PARAM, 0, 1000, pointers.data(), stream);
  });
  expect_only(1, stream, "480 pointers", [&] {
    return swd_set_pointers(r.plan(), r.buffers.workspace, SWD_BUFFER_PARAM, 0, 480, pointers.data(), stream);
  });
}

// A first call may come inside a capture, or beside a kernel that waits for it.
TEST(SimulatorCounts, InitLoadsEveryKernelThatAPlanLaunches) {
  struct Row {
    uint32_t flags;
    swd_dtype grad, copy;
  };
  const Row rows[] = {{0, SWD_DTYPE_F32, SWD_DTYPE_NONE},
                      {SWD_PLAN_LIST | SWD_PLAN_AMSGRAD, SWD_DTYPE_BF16, SWD_DTYPE_BF16},
                      {SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS, SWD_DTYPE_F16, SWD_DTYPE_F16},
                      {SWD_PLAN_UPDATE_NORMS, SWD_DTYPE_F32, SWD_DTYPE_BF16}};
  for (const Row& row : rows) {
    RunSetup s = setup(row.flags, 30);
    s.grad = row.grad;
    s.copy = row.copy;
    kernels_loaded.clear();
    kernels_launched.clear();
    Runner r(s);
    swd_step_args& args = r.args();
    ASSERT_EQ(step(r, r.stream()), SWD_OK);
    for (swd_phase phase = 0; phase <= (row.flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++phase) {
      r.ok(swd_reduce(r.plan(), &r.buffers, &args, phase, 0, 1000, r.stream()));
      r.ok(swd_fold(r.plan(), &r.buffers, &args, phase, nullptr, 0, r.stream()));
      r.ok(swd_decide(r.plan(), &r.buffers, &args, phase, nullptr, 0, r.stream()));
    }
    r.ok(swd_update(r.plan(), &r.buffers, &args, r.stream()));
    r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
    r.ok(swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()));
    r.stats();
    if (row.copy != SWD_DTYPE_NONE) r.ok(swd_copy_params(r.plan(), &r.buffers, r.stream()));
    EXPECT_GE(kernels_launched.size(), 9u);
    for (const void* kernel : kernels_launched) {
      EXPECT_NE(std::find(kernels_loaded.begin(), kernels_loaded.end(), kernel), kernels_loaded.end())
          << "a kernel was launched that init had not loaded; flags " << row.flags;
    }
  }
}

// The two that copy: in the caller's stream, and only the first one waits.
TEST(SimulatorCounts, InitAndFetchUseTheCallersStream) {
  Runner r(setup(0, 1));
  streams_seen.clear();
  int before = waits;
  ASSERT_EQ(swd_workspace_init(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()), SWD_OK);
  EXPECT_EQ(waits, before + 1);
  swd_stats stats;
  double lambda_eff;
  ASSERT_EQ(swd_stats_fetch(r.plan(), r.buffers.workspace, &stats, sizeof stats, &lambda_eff, r.stream()), SWD_OK);
  EXPECT_EQ(waits, before + 1);
  EXPECT_GE(streams_seen.size(), 7u);
  for (void* stream : streams_seen) EXPECT_EQ(stream, r.stream());
  synchronize(SWD_BACKEND_CUDA);
  for (const char* never : {"cudaMalloc", "cudaMallocAsync", "cudaMallocHost", "cudaHostAlloc", "cudaEventCreate",
                            "cudaEventRecord", "cudaSetDevice", "cudaDeviceSynchronize"}) {
    uint64_t never_before = calls(never);
    ASSERT_EQ(step(r, r.stream()), SWD_OK);
    EXPECT_EQ(calls(never), never_before) << never;
  }
}

}  // namespace
}  // namespace swd::test
