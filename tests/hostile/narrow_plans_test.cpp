// SPDX-License-Identifier: Apache-2.0
// Every combination of dtypes: a plan of those that swd.h lists, and of no other. And blobs of narrow moments, which
// plans with others refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "support/blob.h"
#include "support/narrow.h"

namespace swd::test {
namespace {

// As swd.h says it: F32 with or without a copy; narrow moments; parameters split.
bool is_offered(swd_dtype param, swd_dtype grad, swd_dtype copy, swd_dtype moment, swd_dtype remainder) {
  const bool wide = moment == SWD_DTYPE_NONE || moment == SWD_DTYPE_F32;
  if (!wide && moment != SWD_DTYPE_BF16 && moment != SWD_DTYPE_BLOCK8) return false;
  if (param == SWD_DTYPE_F32 && wide) {
    auto is_float = [](swd_dtype d) { return d == SWD_DTYPE_BF16 || d == SWD_DTYPE_F16; };
    return (grad == SWD_DTYPE_F32 || is_float(grad)) && (copy == SWD_DTYPE_NONE || is_float(copy)) &&
           remainder == SWD_DTYPE_NONE;
  }
  if ((grad != SWD_DTYPE_F32 && grad != SWD_DTYPE_BF16) || copy != SWD_DTYPE_NONE) return false;
  if (param == SWD_DTYPE_F32) return remainder == SWD_DTYPE_NONE;
  if (param != SWD_DTYPE_BF16) return false;
  if (remainder == SWD_DTYPE_I8) return moment == SWD_DTYPE_BLOCK8;
  return remainder == SWD_DTYPE_I16 || (remainder == SWD_DTYPE_NONE && !wide);
}

TEST(NarrowPlans, EveryCombinationOfDtypes) {
  const swd_segment segment{0, 300, 0, 0, 0};
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.backend = backend_under_test();
  args.segments = &segment;
  args.segment_count = 1;
  int offered = 0;
  for (int code = 0; code < 7 * 7 * 7 * 7 * 7; ++code) {
    args.param_dtype = code % 7;
    args.grad_dtype = code / 7 % 7;
    args.copy_dtype = code / 49 % 7;
    args.moment_dtype = code / 343 % 7;
    args.remainder_dtype = code / 2401;
    const bool wanted =
        is_offered(args.param_dtype, args.grad_dtype, args.copy_dtype, args.moment_dtype, args.remainder_dtype);
    const bool wide = args.moment_dtype == SWD_DTYPE_NONE || args.moment_dtype == SWD_DTYPE_F32;
    for (uint32_t flags : {0u, uint32_t{SWD_PLAN_AMSGRAD}}) {
      args.flags = flags;
      swd_plan* plan = nullptr;
      swd_status status = swd_plan_create(&args, &plan);
      ASSERT_EQ(status == SWD_OK, wanted && (flags == 0 || wide)) << code << " " << swd_error_detail();
      if (status != SWD_OK) ASSERT_TRUE(status == SWD_ERR_UNSUPPORTED || status == SWD_ERR_UNEXPECTED) << status;
      offered += status == SWD_OK && flags == 0;
      ASSERT_EQ(swd_plan_destroy(plan), SWD_OK);
    }
  }
  // 9 + 2 rows with F32 moments, which are named in two ways, and 14 with narrow ones.
  EXPECT_EQ(offered, 2 * 11 + 14);
}

TEST(NarrowPlans, FormatsOfTheTestsAreTheTable) { EXPECT_EQ(narrow_formats().size(), 16u); }

TEST(NarrowPlans, ScalesLieAtChunks) {
  RunSetup s = narrow_presets()[2].in({});
  s.backend = backend_under_test();
  s.counts = {1, 0, 4096, 4097, 20000, 0};
  s.gap = 7;
  Runner r(s);
  uint64_t bytes = 0, expected = 0;
  for (size_t k = 0; k < s.counts.size(); ++k) {
    uint64_t offset = 99;
    r.ok(swd_scale_offset(r.plan(), static_cast<int64_t>(k), &offset));
    EXPECT_EQ(offset, expected) << k;
    expected += 32 * static_cast<uint64_t>((s.counts[k] + 4095) / 4096);
  }
  r.ok(swd_scale_size(r.plan(), &bytes));
  EXPECT_EQ(bytes, expected);
  RunSetup wide;
  wide.backend = s.backend;
  wide.counts = s.counts;
  Runner none(wide);
  none.ok(swd_scale_size(none.plan(), &bytes));
  EXPECT_EQ(bytes, 0u);
}

// Plans that differ in how one array is stored do not share workspaces.
TEST(NarrowPlans, WorkspacesOfOtherFormatsAreForeign) {
  std::vector<std::unique_ptr<Runner>> runners;
  for (const NarrowFormat& format : narrow_formats()) {
    RunSetup s = format.in({});
    s.backend = backend_under_test();
    s.counts = {300, 5};
    runners.push_back(std::make_unique<Runner>(s));
    for (size_t k = 0; k < 2; ++k) runners.back()->set(SWD_BUFFER_GRAD, k, uniform(1, k, s.counts[k]));
  }
  for (auto& mine : runners) {
    for (auto& other : runners) {
      if (mine == other) continue;
      swd_buffers buffers = mine->buffers;
      buffers.workspace = other->buffers.workspace;
      buffers.workspace_bytes = other->buffers.workspace_bytes;
      swd_status status = swd_step(mine->plan(), &buffers, &mine->args(), mine->stream());
      const swd_status foreign = mine->setup().backend == SWD_BACKEND_CPU ? SWD_ERR_WORKSPACE : SWD_OK;
      EXPECT_TRUE(status == foreign || status == SWD_ERR_SIZE) << status;  // the other may be too small
    }
  }
  for (auto& runner : runners) {
    EXPECT_EQ(runner->segment_state(0).step, 0);
    runner->step();
    EXPECT_EQ(runner->stats().result, SWD_RESULT_APPLIED);
  }
}

// A unit belongs to what the buffer holds, so it cannot be dropped.
TEST(NarrowPlans, BlobsOfNarrowMomentsAreForNarrowPlans) {
  StatePlan wide({{0, 10}, {10, 20}});
  const Blob narrow = blob_of({{0, 10, 3, 0.5, 0.75}, {10, 20, 3, 0.5, 0.0}});
  wide.expect_refused({narrow}, SWD_ERR_BLOB_PLAN, "unit of narrow moments");
  EXPECT_EQ(wide.import({blob_of({{0, 10, 3, 0.5, 1.0}, {10, 20, 3, 0.5, 0.0}})}), SWD_OK) << swd_error_detail();
  for (double unit : {0.25, 1.5, -1.0, std::nan("")}) {
    wide.expect_refused({blob_of({{0, 10, 3, 0.5, unit}, {10, 20, 3, 0.5, 0.0}})}, SWD_ERR_BLOB_VALUE, "no unit");
  }
  StatePlan split({{0, 10}, {10, 20}}, SWD_PLAN_LIST | SWD_PLAN_INDEXED, 0, SWD_DTYPE_BF16);
  ASSERT_EQ(split.import({narrow}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(split.get(0).exp_avg_sq_unit, 0.75);
  // A segment of records with different units, and blobs of different seeds.
  StatePlan one({{0, 30}}, SWD_PLAN_LIST | SWD_PLAN_INDEXED, 0, SWD_DTYPE_BF16);
  one.expect_refused({blob_of({{0, 10, 3, 0.5, 0.75}, {10, 20, 3, 0.5, 0.5}})}, SWD_ERR_BLOB_PLAN, "two units");
  ASSERT_EQ(one.import({blob_of({{0, 10, 3, 0.5, 0.75}, {10, 20, 3, 0.25, 0.75}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(one.get(0).exp_avg_sq_unit, 0.75);
  EXPECT_EQ(one.get(0).exp_avg_sq_sum, 0.75);
  BlobStart seven, eight;
  seven.seed = 7, eight.seed = 8;
  split.expect_refused({blob_of({{0, 10, 3, 0.5, 0.75}}, seven), blob_of({{10, 20, 3, 0.5, 0.75}}, eight)},
                       SWD_ERR_BLOB_PLAN, "two seeds");
  ASSERT_EQ(split.import({blob_of({{0, 10, 3, 0.5, 0.75}}, seven), blob_of({{10, 20, 3, 0.5, 0.75}}, seven)}), SWD_OK)
      << swd_error_detail();
  EXPECT_EQ(split.header().rounding_seed, 7u);
  EXPECT_EQ(split.export_blob(), blob_of({{0, 10, 3, 0.5, 0.75}, {10, 20, 3, 0.5, 0.75}}, {9, 2, 0, 7}));
}

}  // namespace
}  // namespace swd::test
