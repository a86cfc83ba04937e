// SPDX-License-Identifier: Apache-2.0
// What a step costs in runtime calls, counted: its launches and device queries, and nothing else - no allocation, no
// copy, no synchronisation, no event, no change of device, no kernel that is loaded only now. Every call carries the
// caller's stream. Needs a simulated runtime that counts its calls.
#include <cuda_runtime_api.h>

#include "counted/simulator_counts/spy.h"
#include "support/narrow.h"
#include "support/simulated_calls.h"

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
      {"mixed16", narrow_presets()[1].in(setup(0, 1)), 2},
      {"compact8, list, norms", narrow_presets()[2].in(setup(SWD_PLAN_LIST | SWD_PLAN_UPDATE_NORMS, 1)), 2},
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

// One launch for all three arrays; in a list the pointers of each are carried before it.
TEST(SimulatorCounts, AConversionIsOneLaunch) {
  struct Shape {
    const char* what;
    uint32_t flags;
    uint64_t launches;
  };
  const NarrowFormat wide = {"fp32", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_F32, SWD_DTYPE_F32};
  std::vector<NarrowFormat> formats = narrow_formats();
  formats.push_back(wide);
  for (const Shape& shape : {Shape{" flat", 0, 1}, Shape{" list of 1000", SWD_PLAN_LIST, 1 + 3 * 3}}) {
    for (const NarrowFormat& format : formats) {
      Runner r(format.in(setup(shape.flags, 1)));
      Fp32Memory fp32(r.setup());
      const std::string what = test_name(format) + shape.what;
      const std::pair<const char*, decltype(&swd_state_load)> calls[] = {{": store", swd_state_store},
                                                                         {": load", swd_state_load}};
      for (auto [name, call] : calls) {
        expect_only(shape.launches, r.stream(), (what + name).c_str(),
                    [&, call = call] { return call(r.plan(), &r.buffers, &fp32.arrays(), r.stream()); });
      }
      synchronize(SWD_BACKEND_CUDA);
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
