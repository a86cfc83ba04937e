// SPDX-License-Identifier: Apache-2.0
// What later formats of state blobs added: blobs of 0.1 are read; keys, references and units agree where they are set.
#include <limits>

#include "support/blob.h"

namespace swd::test {
namespace {

const std::vector<std::pair<int64_t, int64_t>> kCuts = {{0, 100}, {100, 7}, {107, 0}, {200, 50}};
const std::vector<Record> kRecords = {{0, 100, 5, 1.5}, {100, 7, 5, 0.25}, {200, 50, 4, 0.0}, {107, 0, 0, 0.0}};

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

TEST(StateBlobVersions, Version1IsRead) {
  StatePlan plan(kCuts, SWD_PLAN_LIST | SWD_PLAN_INDEXED, 7);
  Blob old = blob_of(kRecords, {}, 1);
  ASSERT_EQ(plan.import({old}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(plan.header().steps_applied, 9u);
  EXPECT_EQ(plan.header().vbar_reference, 0.0);
  EXPECT_EQ(plan.get(3).step, 4);
  EXPECT_EQ(plan.get(0).exp_avg_sq_sum, 1.5);
  BlobStart start;
  start.key = 7;
  EXPECT_TRUE(plan.export_blob() == blob_of(kRecords, start));
  old.pop_back();
  plan.expect_refused({old}, SWD_ERR_BLOB_SIZE, "shorter");
}

TEST(StateBlobVersions, ModelKeysAndReferencesAgreeWhereTheyAreSet) {
  auto with = [](uint64_t key, double reference, uint64_t seed, const std::vector<Record>& records) {
    BlobStart start;
    start.key = key;
    start.reference = reference;
    start.seed = seed;
    return blob_of(records, start);
  };
  const std::vector<Record> first{kRecords[0]}, rest{kRecords[1], kRecords[2]};
  StatePlan plan(kCuts, SWD_PLAN_LIST | SWD_PLAN_INDEXED, 7), keyless(kCuts);
  plan.expect_refused({with(8, 0.0, 0, kRecords)}, SWD_ERR_BLOB_PLAN, "key", "model key 8");
  plan.expect_refused({with(7, 0.0, 0, first), with(9, 0.0, 0, rest)}, SWD_ERR_BLOB_PLAN, "key", "blobs[1]");
  keyless.expect_refused({with(7, 0.0, 0, first), with(9, 0.0, 0, rest)}, SWD_ERR_BLOB_PLAN, "key", "blobs[1]");
  plan.expect_refused({with(7, 0.5, 0, first), with(7, 0.25, 0, rest)}, SWD_ERR_BLOB_PLAN, "reference", "reference");
  plan.expect_refused({with(7, 0.5, 1, first), with(7, 0.5, 2, rest)}, SWD_ERR_BLOB_PLAN, "seed", "seed");
  for (double bad : {-1.0, kInf, kNan}) {
    plan.expect_refused({with(7, bad, 0, kRecords)}, SWD_ERR_BLOB_VALUE, "reference", "reference");
  }
  EXPECT_EQ(keyless.import({with(7, 0.0, 0, first), with(7, 0.0, 0, rest)}), SWD_OK);
  ASSERT_EQ(plan.import({with(0, 0.0, 3, first), with(7, 0.25, 3, rest)}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(plan.header().vbar_reference, 0.25);
  EXPECT_TRUE(plan.export_blob() == with(7, 0.25, 3, {kRecords[0], kRecords[1], kRecords[2], {107, 0, 0, 0.0}}));
}

// Units are of narrow moments (narrow_plans_test, narrow_shards_test).
TEST(StateBlobVersions, PlansOfFp32MomentsTakeNoUnits) {
  StatePlan plan({{0, 100}});
  plan.expect_refused({blob_of({{0, 50, 3, 1.0, 1.0}, {50, 50, 3, 1.0, 0.75}})}, SWD_ERR_BLOB_PLAN, "unit", "unit");
  plan.expect_refused({blob_of({{0, 200, 3, 1.0, 0.75}})}, SWD_ERR_BLOB_PLAN, "unit", "F32");
  plan.expect_refused({blob_of({{0, 100, 3, 1.0, 0.25}})}, SWD_ERR_BLOB_VALUE, "unit", "unit");
  EXPECT_EQ(plan.import({blob_of({{0, 50, 3, 1.0, 1.0}, {50, 50, 3, 1.0, 0.0}})}), SWD_OK);
}

}  // namespace
}  // namespace swd::test
