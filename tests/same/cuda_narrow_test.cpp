// SPDX-License-Identifier: Apache-2.0
// Narrow states on CUDA are the CPU's to the bit: parameters, remainders, moments, scales, units, the state image and
// the statistics, for every row of the table and everything that a step can be asked for.
#include <cuda_runtime_api.h>

#include <functional>

#include "same/cuda_narrow/run.h"

namespace swd::test {
namespace {

bool is_preset(const NarrowFormat& f) {
  for (const NarrowFormat& preset : narrow_presets()) {
    if (std::string(preset.name) == f.name) return true;
  }
  return false;
}

void for_each(const std::vector<NarrowFormat>& formats, const std::function<void(const NarrowFormat&)>& f) {
  ASSERT_EQ(backend_under_test(), SWD_BACKEND_CUDA);
  for (const NarrowFormat& format : formats) f(format);
}

TEST(CudaNarrow, FlatOfAllSizes) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    Case c = make("flat", format, {130, 1, 0, 127, 128, 129, 1500});
    c.setup.flags = format.grad == SWD_DTYPE_F32 ? uint32_t{SWD_PLAN_UPDATE_NORMS} : 0u;
    expect_equal(c);
  });
}

TEST(CudaNarrow, ListsOfMoreThanAChunk) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    if (!is_preset(format)) return;
    Case c = make("list", format, {4097, 4095, 4096});
    c.setup.flags = SWD_PLAN_LIST | (format.grad == SWD_DTYPE_BF16 ? uint32_t{SWD_PLAN_UPDATE_NORMS} : 0u);
    expect_equal(c);
  });
}

TEST(CudaNarrow, MisalignedArrays) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    Case c = make("misaligned", format, {300, 3, 261});
    c.setup.shift = 1;
    c.setup.gap = 3;
    expect_equal(c);
  });
}

TEST(CudaNarrow, GroupsOfAllModesInPieces) {
  for_each(narrow_presets(), [](const NarrowFormat& format) {
    Case c = make("groups", format, {700, 100, 129, 77, 140});
    c.setup.flags = SWD_PLAN_UPDATE_NORMS | SWD_PLAN_MAXIMIZE;
    c.setup.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE, SWD_DECAY_RELATIVE};
    c.setup.group_of = {0, 1, 2, 3, 4};
    c.setup.groups = {{1e-3, 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0},
                      {2e-3, 0.4, 0.3, 1e-8, 1e-2, nullptr, 0.0},
                      {1e-3, 0.0, 0.99, 1e-6, 1e-1, nullptr, 0.0},
                      {1e-3, 0.8, 0.5, 1e-8, 0.0, nullptr, 0.0},
                      {1e-3, 0.9, 0.6, 1e-8, 1e-1, nullptr, 0.0}};
    c.pieces = true;
    expect_equal(c);
  });
}

TEST(CudaNarrow, StepsWithoutNorm) {
  for_each(narrow_presets(), [](const NarrowFormat& format) {
    Case c = make("no norm", format, {300, 100});
    c.setup.decay = {SWD_DECAY_DECOUPLED};
    c.flags = SWD_STEP_SKIP_NORM | SWD_STEP_PROPAGATE;
    c.max_grad_norm = 0.0;
    expect_equal(c);
    c.pieces = true;
    expect_equal(c);
  });
}

// The lower half of the index wraps within a row, in the middle of a thread's elements; then it has an upper half.
TEST(CudaNarrow, IndicesBeyond32Bits) {
  for_each(narrow_presets(), [](const NarrowFormat& format) {
    Case c = make("index", format, {600, 300, 1100});
    c.setup.flags = SWD_PLAN_INDEXED;
    int64_t beyond = int64_t{1} << 32;
    c.setup.index_of = {beyond - 130, 5 * beyond + 7, 2 * beyond - 1022};
    expect_equal(c);
  });
}

TEST(CudaNarrow, Amsgrad) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    if (format.has_narrow_moments()) return;
    Case c = make("amsgrad", format, {300, 100, 1030});
    c.setup.flags = SWD_PLAN_AMSGRAD | (format.grad == SWD_DTYPE_F32 ? uint32_t{SWD_PLAN_UPDATE_NORMS} : 0u);
    expect_equal(c);
  });
}

// What is not finite is spread to its block, and stays.
TEST(CudaNarrow, PropagatesWhatIsNotFinite) {
  for_each(narrow_presets(), [](const NarrowFormat& format) {
    if (!format.has_narrow_moments()) return;  // fp32 moments: the payload of a NaN is nobody's promise
    Case c = make("propagate", format, {300, 100});
    c.setup.decay = {SWD_DECAY_DECOUPLED};
    c.flags = SWD_STEP_PROPAGATE;
    c.max_grad_norm = 0.0;
    c.bad_step = 2;
    expect_equal(c);
  });
}

TEST(CudaNarrow, ASkippedStepChangesNothing) {
  for_each(narrow_presets(), [](const NarrowFormat& format) {
    Case c = make("skipped", format, {300, 100});
    c.bad_step = 2;
    expect_equal(c);
    Trace trace = run(c, SWD_BACKEND_CUDA);
    EXPECT_TRUE(trace.stored[0] == trace.stored[1]) << c.name;
    EXPECT_FALSE(trace.stored[1] == trace.stored[2]) << c.name;
  });
}

TEST(CudaNarrow, LoadStoreAndRebuild) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    bool list = format.grad == SWD_DTYPE_F32;
    Case c = make("reloads", format, {300, 1, 129});
    c.setup.flags = list ? uint32_t{SWD_PLAN_LIST} : 0u;
    c.reloads = true;
    expect_equal(c);
  });
}

TEST(CudaNarrow, LoadsAwkwardNumbers) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    if (format.grad == SWD_DTYPE_BF16) return;
    std::vector<std::vector<uint8_t>> bytes;
    std::vector<std::vector<float>> stored;
    for (swd_backend backend : {SWD_BACKEND_CPU, SWD_BACKEND_CUDA}) {
      Case c = make("awkward", format, {4097, 300, 4});
      c.setup.backend = backend;
      Runner r(c.setup);
      for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
        for (size_t k = 0; k < 3; ++k) r.set(buffer, k, awkward(k, c.setup.counts[k]));
      }
      r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
      bytes.push_back(r.bytes());
      for (size_t k = 0; k < 3; ++k) stored.push_back(r.get(SWD_BUFFER_EXP_AVG_SQ, k));
    }
    EXPECT_TRUE(bytes[0] == bytes[1]) << test_name(format);
    for (size_t k = 0; k < 3; ++k) {
      for (size_t i = 0; i < stored[k].size(); ++i) {  // the payload of a NaN is nobody's promise
        float cpu = stored[k][i], cuda = stored[3 + k][i];
        ASSERT_TRUE(std::isnan(cpu) ? std::isnan(cuda) : bits_of(cpu) == bits_of(cuda))
            << test_name(format) << " " << i;
      }
    }
  });
}

// Constants that are infinite make NaN of the zeros in slots that belong to no element, which must not count.
TEST(CudaNarrow, NormsOfInfiniteConstantsAreInfinite) {
  for_each(narrow_formats(), [](const NarrowFormat& format) {
    if (format.grad != SWD_DTYPE_F32) return;
    std::vector<std::vector<uint8_t>> bytes;
    for (swd_backend backend : {SWD_BACKEND_CPU, SWD_BACKEND_CUDA}) {
      Case c = make("infinite", format, {1023, 5, 4095});
      c.setup.backend = backend;
      c.setup.flags = SWD_PLAN_UPDATE_NORMS;
      c.setup.decay = {SWD_DECAY_NONE};
      c.setup.groups[0].lr = 1e39;
      Runner r(c.setup);
      for (size_t k = 0; k < c.setup.counts.size(); ++k) {
        std::vector<float> ones(static_cast<size_t>(c.setup.counts[k]), 1.0f);
        r.set(SWD_BUFFER_PARAM, k, ones);
        r.set(SWD_BUFFER_GRAD, k, ones);
      }
      r.step();
      EXPECT_TRUE(std::isinf(r.stats().update_norm)) << c.name << " " << r.stats().update_norm;
      EXPECT_TRUE(std::isinf(r.stats().param_norm)) << c.name << " " << r.stats().param_norm;
      bytes.push_back(r.bytes());
    }
    EXPECT_TRUE(bytes[0] == bytes[1]) << test_name(format);
  });
}

TEST(CudaNarrow, AGraphReplaysWhatIsEager) {
  for_each(narrow_presets(), [](const NarrowFormat& format) {
    std::vector<uint8_t> bytes[2];
    for (bool graph : {false, true}) {
      Case c = make("graph", format, {300, 100});
      c.setup.backend = SWD_BACKEND_CUDA;
      Runner r(c.setup);
      cudaStream_t stream = static_cast<cudaStream_t>(r.stream());
      cudaGraph_t captured = nullptr;
      cudaGraphExec_t replay = nullptr;
      for (size_t k = 0; k < 2; ++k) r.set(SWD_BUFFER_PARAM, k, uniform(7, k, c.setup.counts[k]));
      if (graph) {
        ASSERT_EQ(cudaSuccess, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        r.step();
        ASSERT_EQ(cudaSuccess, cudaStreamEndCapture(stream, &captured));
        ASSERT_EQ(cudaSuccess, cudaGraphInstantiate(&replay, captured, 0));
      }
      for (int t = 1; t <= kSteps; ++t) {
        prepare(r, c, t);
        if (graph) EXPECT_EQ(cudaSuccess, cudaGraphLaunch(replay, stream));
        if (!graph) r.step();
        synchronize(SWD_BACKEND_CUDA);
      }
      bytes[graph ? 1 : 0] = r.bytes();
      EXPECT_EQ(r.stats().steps_applied, static_cast<uint64_t>(kSteps)) << format.name;
      if (graph) EXPECT_EQ(cudaSuccess, cudaGraphExecDestroy(replay));
      if (graph) EXPECT_EQ(cudaSuccess, cudaGraphDestroy(captured));
    }
    EXPECT_TRUE(bytes[0] == bytes[1]) << format.name;
  });
}

}  // namespace
}  // namespace swd::test
