// SPDX-License-Identifier: Apache-2.0
// Sharded training: every rank reduces its own segments, the norm records are summed, all ranks step alike. Against the
// unsharded run the sum of squares is within 2^-44 where shards are cut at chunk boundaries, 1e-6 elsewhere.
#include <algorithm>
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

constexpr int kSteps = 4;
constexpr int64_t kChunk = 4096;

using Arrays = std::vector<std::vector<float>>;  // [tensor][element]

// Elements [begin, end) of each tensor belong to one rank.
struct Shard {
  std::unique_ptr<Runner> runner;
  std::vector<int64_t> begin, end;
};

std::vector<Shard> cut(const RunSetup& whole, int ranks, int64_t grain) {
  std::vector<Shard> shards(static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    Shard& shard = shards[static_cast<size_t>(rank)];
    RunSetup s = whole;
    s.counts.clear();
    for (int64_t count : whole.counts) {
      auto border = [&](int r) { return r == ranks ? count : std::min(count, count * r / ranks / grain * grain); };
      shard.begin.push_back(border(rank));
      shard.end.push_back(border(rank + 1));
      s.counts.push_back(shard.end.back() - shard.begin.back());
    }
    shard.runner = std::make_unique<Runner>(s);
  }
  return shards;
}

void scatter(std::vector<Shard>& shards, int buffer, size_t k, const std::vector<float>& x) {
  for (Shard& shard : shards) {
    shard.runner->set(buffer, k, {x.begin() + shard.begin[k], x.begin() + shard.end[k]});
  }
}

// The sum of all ranks' records, as an all-reduce gives it to each.
swd_norm_record all_reduce(std::vector<DeviceRecord*>& records) {
  double sum[8] = {};
  for (auto* record : records) {
    swd_norm_record r = record->get();
    double parts[8];
    static_assert(sizeof r == sizeof parts);
    memcpy(parts, &r, sizeof r);
    for (int i = 0; i < 8; ++i) sum[i] += parts[i];
  }
  swd_norm_record out;
  memcpy(&out, sum, sizeof out);
  return out;
}

void compare(int ranks, int64_t grain, double bound, bool amsgrad) {
  RunSetup s = small(amsgrad ? uint32_t{SWD_PLAN_AMSGRAD} : 0u);
  s.counts = {30000, 4097, 12288, 77};
  s.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_L2};
  s.groups.assign(2, s.groups[0]);
  s.group_of = {0, 0, 1, 0};
  Runner whole(s);
  start(whole);
  std::vector<Shard> shards = cut(s, ranks, grain);
  for (size_t k = 0; k < s.counts.size(); ++k) scatter(shards, SWD_BUFFER_PARAM, k, uniform(3, k, s.counts[k]));
  std::vector<std::unique_ptr<DeviceRecord>> owned;
  std::vector<DeviceRecord*> records;
  for (int rank = 0; rank < ranks; ++rank) {
    owned.push_back(std::make_unique<DeviceRecord>(s.backend));
    records.push_back(owned.back().get());
  }
  whole.args().max_grad_norm = 0.7;
  for (int t = 1; t <= kSteps; ++t) {
    fill(whole, t);
    whole.step();
    for (size_t k = 0; k < s.counts.size(); ++k) {
      scatter(shards, SWD_BUFFER_GRAD, k, uniform(100 + static_cast<uint64_t>(t), k, s.counts[k]));
    }
    for (swd_phase phase = SWD_PHASE_GRAD; phase <= (amsgrad ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
      for (size_t i = 0; i < shards.size(); ++i) {
        Runner& r = *shards[i].runner;
        r.args().max_grad_norm = 0.7;
        r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, 0, 4, r.stream()));
        r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), phase, records[i]->pointer(), kRecordDoubles, r.stream()));
        synchronize(s.backend);
      }
      swd_norm_record sum = all_reduce(records);
      for (size_t i = 0; i < shards.size(); ++i) {
        Runner& r = *shards[i].runner;
        records[i]->set(sum);
        r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), phase, records[i]->pointer(), kRecordDoubles, r.stream()));
      }
    }
    swd_stats expected = whole.stats();
    swd_stats first{};
    for (size_t i = 0; i < shards.size(); ++i) {
      Runner& r = *shards[i].runner;
      r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
      swd_stats stats = r.stats();
      if (i == 0) first = stats;
      EXPECT_EQ(memcmp(&stats, &first, sizeof stats), 0) << "all ranks step alike";
    }
    EXPECT_EQ(first.result, SWD_RESULT_APPLIED);
    EXPECT_NEAR(first.grad_norm, expected.grad_norm, bound * expected.grad_norm);
    EXPECT_NEAR(first.vbar, expected.vbar, 2.0 * bound * expected.vbar);
  }
  for (size_t k = 0; k < s.counts.size(); ++k) {
    std::vector<float> p = whole.get(SWD_BUFFER_PARAM, k);
    for (Shard& shard : shards) {
      std::vector<float> part = shard.runner->get(SWD_BUFFER_PARAM, k);
      for (size_t i = 0; i < part.size(); ++i) {
        float expected = p[static_cast<size_t>(shard.begin[k]) + i];
        // One shard is the unsharded run; else s may differ in its last bit, and a step is at most lr.
        if (ranks == 1) ASSERT_EQ(part[i], expected);
        ASSERT_NEAR(part[i], expected, kSteps * (1e-3 * bound + 0x1p-23)) << "tensor " << k << ", element " << i;
      }
    }
  }
}

TEST(Shard, CutAtChunks) {
  for (int ranks : {1, 2, 3, 7}) compare(ranks, kChunk, 0x1p-44, false);
}

TEST(Shard, CutAnywhere) {
  for (int ranks : {1, 2, 3, 7}) compare(ranks, 1, 1e-6, false);
}

TEST(Shard, AmsgradHasASecondRound) {
  for (int ranks : {1, 3}) compare(ranks, kChunk, 0x1p-24, true);
}

}  // namespace
}  // namespace swd::test
