// SPDX-License-Identifier: Apache-2.0
// The table of bad inputs, on the backend under test: every field of every public struct and every argument of every
// public function. A row gets its own status and a message that names the field; no byte and no CUDA error changes.
#include <cctype>

#include "bad_input/scene.h"

#ifdef SWD_TEST_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace swd::test {

const std::vector<StepCall>& step_calls() {
  static const std::vector<StepCall> calls = {
      [](Scene& s, const swd_buffers* b, const swd_step_args* a) {
        return swd_step(s.runner.plan(), b, a, s.runner.stream());
      },
      [](Scene& s, const swd_buffers* b, const swd_step_args* a) {
        return swd_reduce(s.runner.plan(), b, a, SWD_PHASE_GRAD, 0, 2, s.runner.stream());
      },
      [](Scene& s, const swd_buffers* b, const swd_step_args* a) {
        return swd_fold(s.runner.plan(), b, a, SWD_PHASE_GRAD, nullptr, 0, s.runner.stream());
      },
      [](Scene& s, const swd_buffers* b, const swd_step_args* a) {
        return swd_decide(s.runner.plan(), b, a, SWD_PHASE_GRAD, nullptr, 0, s.runner.stream());
      },
      [](Scene& s, const swd_buffers* b, const swd_step_args* a) {
        return swd_update(s.runner.plan(), b, a, s.runner.stream());
      },
  };
  return calls;
}

namespace {

// The error that the caller's own CUDA call left behind, or none: whatever it is, a refused call must not touch it.
class CallersError {
 public:
  explicit CallersError(bool present) {
    (void)present;
#ifdef SWD_TEST_WITH_CUDA
    if (backend_under_test() == SWD_BACKEND_CUDA && present) error_ = cudaSetDevice(-1);
#endif
  }
  void expect_unchanged() {
#ifdef SWD_TEST_WITH_CUDA
    if (backend_under_test() == SWD_BACKEND_CUDA) EXPECT_EQ(cudaGetLastError(), error_);
#endif
  }

 private:
#ifdef SWD_TEST_WITH_CUDA
  cudaError_t error_ = cudaSuccess;
#endif
};

Rows all_rows() {
  Rows rows;
  add_plan_rows(rows);
  add_segment_rows(rows);
  add_buffer_rows(rows);
  add_step_args_rows(rows);
  add_piece_rows(rows);
  add_workspace_rows(rows);
  add_state_rows(rows);
  add_narrow_rows(rows);
  return rows;
}

// Whether a message has this name, and not a longer one that contains it: exp_avg is no exp_avg_sq.
bool names(const std::string& message, const std::string& name) {
  auto goes_on = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (size_t at = message.find(name); at != std::string::npos; at = message.find(name, at + 1)) {
    size_t end = at + name.size();
    bool whole = end == message.size() || !goes_on(message[end]) || !goes_on(name.back());  // rows may say "segments["
    if (whole && (at == 0 || !goes_on(message[at - 1]))) return true;
  }
  return false;
}

TEST(BadInput, EveryRowHasItsStatusNamesItsFieldAndChangesNothing) {
  Rows rows = all_rows();
  for (Kind kind : {Kind::kPlain, Kind::kFull, Kind::kList, Kind::kNarrow, Kind::kNarrowList}) {
    Scene scene(kind);
    std::vector<uint8_t> before = scene.snapshot();
    for (size_t i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i];
      if (row.kind != kind) continue;
      for (bool error_present : {false, true}) {
        scene.reset();
        CallersError error(error_present);
        swd_status status = row.call(scene);
        error.expect_unchanged();
        std::string detail = swd_error_detail();
        std::string what = "row " + std::to_string(i) + ", " + row.field + ": " + detail;
        EXPECT_EQ(swd_status_name(status), std::string(swd_status_name(row.status))) << what;
        if (row.status != SWD_OK) EXPECT_TRUE(names(detail, row.field)) << what;
        EXPECT_TRUE(scene.canaries_intact()) << what;
        std::vector<uint8_t> after = scene.snapshot();
        EXPECT_TRUE(after == before) << what;
        before = std::move(after);
      }
    }
    scene.reset();
    scene.runner.step();  // and the next call succeeds
    EXPECT_EQ(scene.runner.stats().result, SWD_RESULT_APPLIED);
  }
  printf("%zu rows\n", rows.size());
  EXPECT_GE(rows.size(), 1000u);
}

// On a device a step that lacks a pointer is skipped instead.
TEST(BadInput, APointerThatIsMissingIsNamed) {
  if (backend_under_test() != SWD_BACKEND_CPU) return;
  const char* tables[] = {"param",      "grad",      "exp_avg",       "exp_avg_sq",      "max_exp_avg_sq",
                          "param_copy", "remainder", "exp_avg_scale", "exp_avg_sq_scale"};
  for (Kind kind : {Kind::kList, Kind::kNarrowList}) {
    for (int b = 0; b < kBuffers; ++b) {
      Scene s(kind);
      Runner& r = s.runner;
      if (b == SWD_BUFFER_GRAD || r.array_bytes(b) == 0) continue;  // without a gradient is no mistake
      const void* none = nullptr;
      r.ok(swd_set_pointers(r.plan(), r.buffers.workspace, b, 1, 1, &none, nullptr));
      EXPECT_EQ(swd_step(r.plan(), &r.buffers, &r.args(), nullptr), SWD_ERR_NULL) << tables[b];
      std::string detail = swd_error_detail();
      EXPECT_TRUE(names(detail, std::string("table ") + tables[b]) && names(detail, "segment 1")) << detail;
    }
  }
}

// A longer struct whose tail is zero is a newer caller's: it is taken.
TEST(BadInput, LongerStructsWithAZeroTailAreTaken) {
  Scene s(Kind::kPlain);
  for (uint32_t more : {1u, 8u, 3900u}) {
    swd_plan* plan = nullptr;
    ASSERT_EQ(swd_plan_create(s.lengthened(s.plan_args, sizeof(swd_plan_args) + more, 0), &plan), SWD_OK) << more;
    ASSERT_EQ(swd_plan_destroy(plan), SWD_OK);
    s.reset();
    ASSERT_EQ(
        swd_step(s.runner.plan(), s.lengthened(s.buffers, sizeof(swd_buffers) + more, 0), &s.args, s.runner.stream()),
        SWD_OK);
    s.reset();
    ASSERT_EQ(
        swd_step(s.runner.plan(), &s.buffers, s.lengthened(s.args, sizeof(swd_step_args) + more, 0), s.runner.stream()),
        SWD_OK);
    s.reset();
  }
  EXPECT_EQ(s.runner.stats().steps_applied, 7u);
}

TEST(BadInput, NamesOfUnknownThings) {
  for (int32_t unknown : {-1, 13, 99, INT32_MAX, INT32_MIN}) {
    EXPECT_STREQ(swd_status_name(unknown), "unknown");
    EXPECT_STREQ(swd_result_name(unknown), "unknown");
  }
  EXPECT_EQ(swd_sizeof(nullptr), 0u);
  EXPECT_EQ(swd_sizeof(""), 0u);
  EXPECT_EQ(swd_sizeof("x"), 0u);
  EXPECT_EQ(swd_sizeof("swd_segmen"), 0u);
  EXPECT_EQ(swd_sizeof("swd_segment "), 0u);
  EXPECT_EQ(swd_plan_destroy(nullptr), SWD_OK);
}

}  // namespace
}  // namespace swd::test
