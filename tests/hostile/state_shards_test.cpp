// SPDX-License-Identifier: Apache-2.0
// Shards of a state: any cut of a model into blobs can be merged again, in any order, and cut elsewhere. Steps and vbar
// survive.
#include <algorithm>
#include <cmath>

#include "support/blob.h"
#include "support/numbers.h"

namespace swd::test {
namespace {

using Cuts = std::vector<std::pair<int64_t, int64_t>>;

// [begin, begin + count) cut into at most `most` parts.
Cuts cut(Dice& dice, int64_t begin, int64_t count, int64_t most) {
  std::vector<int64_t> at{0, count};
  for (int64_t i = dice.below(most); i > 0; --i) at.push_back(dice.below(count + 1));
  std::sort(at.begin(), at.end());
  Cuts out;
  for (size_t i = 1; i < at.size(); ++i) {
    if (at[i] > at[i - 1]) out.push_back({begin + at[i - 1], at[i] - at[i - 1]});
  }
  return out;
}

template <class T>
void shuffle(Dice& dice, std::vector<T>& x) {
  for (size_t i = x.size(); i > 1; --i)
    std::swap(x[i - 1], x[static_cast<size_t>(dice.below(static_cast<int64_t>(i)))]);
}

// The mean of the running sums over all elements, as vbar sees it.
double total(StatePlan& plan, size_t segments) {
  double sum = 0.0;
  for (size_t k = 0; k < segments; ++k) sum += plan.get(static_cast<int64_t>(k)).exp_avg_sq_sum;
  return sum;
}

TEST(StateShards, SplitAnywhereAndMergedInAnyOrder) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    // A model of some tensors, all at one step.
    Cuts tensors;
    std::vector<Record> records;
    int64_t end = 0;
    for (int64_t k = dice.below(5) + 1; k > 0; --k) {
      int64_t count = dice.below(1000) + 1;
      tensors.push_back({end, count});
      records.push_back({end, count, 12, dice.unit() * static_cast<double>(count)});
      end += count;
    }
    StatePlan whole(tensors);
    ASSERT_EQ(whole.import({blob_of(records)}), SWD_OK) << swd_error_detail();
    // Ranks take parts of the flat buffer; a part may span tensors, a rank may have several, in any order.
    Cuts parts = cut(dice, 0, end, 12);
    shuffle(dice, parts);
    std::vector<Blob> shards;
    double shard_total = 0.0;
    for (size_t first = 0; first < parts.size();) {
      size_t count = std::min(parts.size() - first, static_cast<size_t>(dice.below(3)) + 1);
      Cuts mine(parts.begin() + static_cast<std::ptrdiff_t>(first),
                parts.begin() + static_cast<std::ptrdiff_t>(first + count));
      StatePlan rank(mine);
      ASSERT_EQ(rank.import({whole.export_blob()}), SWD_OK) << swd_error_detail();
      for (size_t k = 0; k < count; ++k) EXPECT_EQ(rank.get(static_cast<int64_t>(k)).step, 12);
      shard_total += total(rank, count);
      shards.push_back(rank.export_blob());
      first += count;
    }
    shuffle(dice, shards);
    StatePlan merged(tensors);
    ASSERT_EQ(merged.import(shards), SWD_OK) << swd_error_detail();
    EXPECT_EQ(merged.header().steps_applied, 9u);
    EXPECT_EQ(merged.header().steps_skipped, 2u);
    double wanted = total(whole, tensors.size());
    EXPECT_NEAR(shard_total, wanted, 1e-14 * wanted) << seed;
    EXPECT_NEAR(total(merged, tensors.size()), wanted, 1e-14 * wanted) << seed;
    for (size_t k = 0; k < tensors.size(); ++k) EXPECT_EQ(merged.get(static_cast<int64_t>(k)).step, 12);
    // One shard less is not the model.
    if (shards.size() > 1) {
      shards.pop_back();
      merged.expect_refused(shards, SWD_ERR_BLOB_PLAN, "a shard is missing", "no record covers");
    }
  }
}

TEST(StateShards, ASumIsSharedOutByCount) {
  StatePlan parts({{0, 10}, {10, 30}, {40, 24}});
  ASSERT_EQ(parts.import({blob_of({{0, 64, 3, 6.4}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(parts.get(0).exp_avg_sq_sum, 6.4 * (10.0 / 64.0));
  EXPECT_EQ(parts.get(1).exp_avg_sq_sum, 6.4 * (30.0 / 64.0));
  EXPECT_EQ(parts.get(2).exp_avg_sq_sum, 6.4 * (24.0 / 64.0));
  StatePlan whole({{0, 64}});
  ASSERT_EQ(whole.import({blob_of({{0, 16, 3, 0.5}}), blob_of({{16, 48, 3, 0.25}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(whole.get(0).exp_avg_sq_sum, 0.75);
}

TEST(StateShards, AnUnknownSumMakesTheWholeUnknown) {
  StatePlan whole({{0, 64}, {64, 6}});
  ASSERT_EQ(whole.import({blob_of({{0, 16, 3, -1.0}}), blob_of({{16, 54, 3, 0.25}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(whole.get(0).exp_avg_sq_sum, -1.0);
  EXPECT_EQ(whole.get(1).exp_avg_sq_sum, 0.25 * (6.0 / 54.0));
  ASSERT_EQ(whole.import({blob_of({{0, 16, 3, 0.25}}), blob_of({{16, 54, 3, -1.0}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(whole.get(0).exp_avg_sq_sum, -1.0);
  StatePlan parts({{0, 5}, {5, 11}});
  ASSERT_EQ(parts.import({blob_of({{0, 16, 3, -1.0}})}), SWD_OK);
  EXPECT_EQ(parts.get(0).exp_avg_sq_sum, -1.0);
  EXPECT_EQ(parts.get(1).exp_avg_sq_sum, -1.0);
}

TEST(StateShards, StepCountsAreTheLargest) {
  Blob first = blob_of({{0, 4, 3, 0.0}}, {7, 100}), second = blob_of({{4, 4, 2, 0.0}}, {90, 1});
  for (const std::vector<Blob>& blobs : {std::vector<Blob>{first, second}, std::vector<Blob>{second, first}}) {
    StatePlan whole({{0, 4}, {4, 4}});
    ASSERT_EQ(whole.import(blobs), SWD_OK) << swd_error_detail();
    EXPECT_EQ(whole.header().steps_applied, 90u);
    EXPECT_EQ(whole.header().steps_skipped, 100u);
    EXPECT_EQ(whole.get(0).step, 3);
    EXPECT_EQ(whole.get(1).step, 2);
  }
}

TEST(StateShards, WithoutIndicesSegmentsFollowEachOther) {
  StatePlan plan({{0, 5}, {0, 11}, {0, 0}, {0, 3}}, SWD_PLAN_LIST);
  ASSERT_EQ(plan.import({blob_of({{0, 5, 3, 0.5}, {5, 11, 3, 1.0}, {16, 3, 3, 0.25}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(plan.get(0).exp_avg_sq_sum, 0.5);
  EXPECT_EQ(plan.get(1).exp_avg_sq_sum, 1.0);
  EXPECT_EQ(plan.get(3).exp_avg_sq_sum, 0.25);
}

// Indices of a model of 2^62 elements, of which this rank has the last ones.
TEST(StateShards, IndicesAtTheEnd) {
  StatePlan last({{INT64_MAX - 10, 10}});
  ASSERT_EQ(last.import({blob_of({{INT64_MAX - 20, 20, 8, 2.0}})}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(last.get(0).exp_avg_sq_sum, 1.0);
  EXPECT_EQ(last.get(0).step, 8);
}

}  // namespace
}  // namespace swd::test
