// SPDX-License-Identifier: Apache-2.0
// Shards of a model with narrow states, cut at multiples of 4,096 elements of a tensor, with SWD_PLAN_INDEXED: every
// stored byte is the unsharded run's, and their blobs together are its state.
#include <algorithm>
#include <memory>

#include "support/blob.h"
#include "support/narrow_model.h"

namespace swd::test {
namespace {

constexpr int kSteps = 3;
constexpr int64_t kChunk = 4096;

// Elements [begin, end) of each tensor, as a plan of its own.
struct Shard {
  std::unique_ptr<Runner> runner;
  std::vector<int64_t> begin, end;
};

RunSetup whole_model(const NarrowFormat& format) {
  RunSetup s = narrow_model(format);
  s.counts = {20000, 0, 4097, 12288, 77};
  s.group_of = {0, 1, 0, 1, 1};
  s.seed = 99;
  return s;
}

std::vector<Shard> cut(const RunSetup& whole, int64_t ranks) {
  std::vector<Shard> shards(static_cast<size_t>(ranks));
  for (int64_t rank = 0; rank < ranks; ++rank) {
    Shard& shard = shards[static_cast<size_t>(rank)];
    RunSetup s = whole;
    s.counts.clear();
    s.flags |= SWD_PLAN_INDEXED;
    int64_t first = 0;  // of the tensor, in the model
    for (int64_t count : whole.counts) {
      auto border = [&](int64_t r) { return r == ranks ? count : count * r / ranks / kChunk * kChunk; };
      shard.begin.push_back(border(rank));
      shard.end.push_back(border(rank + 1));
      s.counts.push_back(shard.end.back() - shard.begin.back());
      s.index_of.push_back(first + shard.begin.back());
      first += count;
    }
    shard.runner = std::make_unique<Runner>(s);
  }
  return shards;
}

void scatter(Runner& whole, std::vector<Shard>& shards, int buffer, size_t k) {
  const std::vector<uint8_t> bytes = whole.stored(buffer, k);
  const size_t count = static_cast<size_t>(whole.setup().counts[k]), width = count == 0 ? 0 : bytes.size() / count;
  for (Shard& shard : shards) {
    auto at = [&](int64_t i) { return bytes.begin() + static_cast<int64_t>(width) * i; };
    shard.runner->set_stored(buffer, k, {at(shard.begin[k]), at(shard.end[k])});
  }
}

void step(std::vector<Shard>& shards, std::vector<std::unique_ptr<DeviceRecord>>& records) {
  const int64_t segments = static_cast<int64_t>(shards[0].runner->setup().counts.size());
  for (size_t i = 0; i < shards.size(); ++i) {
    Runner& r = *shards[i].runner;
    r.args().max_grad_norm = 0.7;
    r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, segments, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, records[i]->pointer(), kRecordDoubles, r.stream()));
  }
  Runner& first = *shards[0].runner;
  for (size_t i = 1; i < shards.size(); ++i) {
    first.ok(
        swd_record_add(first.plan(), records[0]->pointer(), records[i]->pointer(), kRecordDoubles, first.stream()));
  }
  for (Shard& shard : shards) {
    Runner& r = *shard.runner;
    r.ok(
        swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, records[0]->pointer(), kRecordDoubles, r.stream()));
    r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
  }
}

// The shards' bytes of one tensor, one behind the other.
std::vector<uint8_t> gathered(std::vector<Shard>& shards, int buffer, size_t k) {
  std::vector<uint8_t> out;
  for (Shard& shard : shards) {
    std::vector<uint8_t> part = shard.runner->stored(buffer, k);
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

Blob exported(Runner& r) {
  std::vector<uint8_t> image = r.image();
  uint64_t bytes = 0;
  r.ok(swd_state_blob_size(r.plan(), &bytes));
  Blob blob(bytes);
  r.ok(swd_state_export(r.plan(), image.data(), image.size(), blob.data(), bytes));
  return blob;
}

// Steps, seeds and units are those of the whole; sums are of parts, added in another order.
void compare_states(Runner& whole, std::vector<Shard>& shards) {
  std::vector<Blob> blobs;
  for (Shard& shard : shards) blobs.push_back(exported(*shard.runner));
  std::vector<const void*> pointers;
  std::vector<uint64_t> bytes;
  for (const Blob& blob : blobs) pointers.push_back(blob.data()), bytes.push_back(blob.size());
  std::vector<uint8_t> image(whole.image().size());
  whole.ok(swd_state_import(whole.plan(), pointers.data(), bytes.data(), static_cast<int64_t>(blobs.size()),
                            image.data(), image.size()));
  swd_state_header header{};
  whole.ok(swd_state_header_get(whole.plan(), image.data(), image.size(), &header, sizeof header));
  EXPECT_EQ(header.rounding_seed, 99u);
  for (size_t k = 0; k < whole.setup().counts.size(); ++k) {
    swd_segment_state got{}, want = whole.segment_state(k);
    whole.ok(swd_state_get(whole.plan(), image.data(), image.size(), static_cast<int64_t>(k), &got, sizeof got));
    EXPECT_EQ(got.step, want.step);
    if (whole.setup().counts[k] > 0) EXPECT_EQ(unit_of(got), unit_of(want)) << k;
    EXPECT_NEAR(got.exp_avg_sq_sum, want.exp_avg_sq_sum, 1e-12 * want.exp_avg_sq_sum);
  }
}

class NarrowShards : public ::testing::TestWithParam<NarrowFormat> {};
INSTANTIATE_TEST_SUITE_P(Formats, NarrowShards, ::testing::ValuesIn(narrow_formats()),
                         [](const auto& info) { return test_name(info.param); });

TEST_P(NarrowShards, CutAtChunksAreTheWholeToTheBit) {
  for (int64_t ranks : {1, 2, 3}) {
    Runner whole(whole_model(GetParam()));
    std::vector<Shard> shards = cut(whole.setup(), ranks);
    std::vector<std::unique_ptr<DeviceRecord>> records;
    for (int64_t i = 0; i < ranks; ++i) records.push_back(std::make_unique<DeviceRecord>(whole.setup().backend));
    begin(whole);
    for (size_t k = 0; k < whole.setup().counts.size(); ++k) {
      for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_REMAINDER}) {
        if (is_written(whole, buffer)) scatter(whole, shards, buffer, k);
      }
    }
    for (int t = 1; t <= kSteps; ++t) {
      gradients(whole, t);
      for (size_t k = 0; k < whole.setup().counts.size(); ++k) scatter(whole, shards, SWD_BUFFER_GRAD, k);
      whole.step();
      step(shards, records);
    }
    EXPECT_EQ(whole.stats().result, SWD_RESULT_APPLIED);
    for (int buffer = 0; buffer < kBuffers; ++buffer) {
      for (size_t k = 0; is_written(whole, buffer) && k < whole.setup().counts.size(); ++k) {
        EXPECT_EQ(gathered(shards, buffer, k), whole.stored(buffer, k)) << ranks << " ranks, buffer " << buffer;
      }
    }
    compare_states(whole, shards);
  }
}

// An element's bits are those of its index: also where its lower half overflows within a block. bf16 moments, so that
// no block ties elements together, and no decay, so that no sum does.
TEST(NarrowShards, AnIndexMayCrossTwoToTheThirtyTwo) {
  RunSetup one = narrow_presets()[1].in({});
  one.backend = backend_under_test();
  one.flags = SWD_PLAN_INDEXED;
  one.decay = {SWD_DECAY_NONE};
  one.seed = 3;
  RunSetup two = one;
  one.counts = {300};
  one.index_of = {(INT64_C(1) << 32) - 50};
  two.counts = {50, 250};
  two.index_of = {one.index_of[0], INT64_C(1) << 32};
  Runner whole(one), parts(two);
  std::vector<float> p = uniform(1, 1, 300);
  for (int t = 0; t <= 3; ++t) {
    std::vector<float> g = t == 0 ? p : uniform(static_cast<uint64_t>(t), 2, 300);
    const int buffer = t == 0 ? SWD_BUFFER_PARAM : SWD_BUFFER_GRAD;
    whole.set(buffer, 0, g);
    parts.set(buffer, 0, {g.begin(), g.begin() + 50});
    parts.set(buffer, 1, {g.begin() + 50, g.end()});
    if (t == 0) continue;
    whole.step();
    parts.step();
  }
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_REMAINDER, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    std::vector<uint8_t> joined = parts.stored(buffer, 0), rest = parts.stored(buffer, 1);
    joined.insert(joined.end(), rest.begin(), rest.end());
    EXPECT_EQ(joined, whole.stored(buffer, 0)) << buffer;
  }
}

}  // namespace
}  // namespace swd::test
