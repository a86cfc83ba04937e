// SPDX-License-Identifier: Apache-2.0
// swd_state_load and swd_state_store: to nearest and back, the second moment itself whatever the unit, what is NULL
// left alone; and swd_state_rebuild, which sums what they would show.
#include <cmath>

#include "support/figure.h"
#include "support/narrow_model.h"

namespace swd::test {
namespace {

const int kValues[] = {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ};

class NarrowConvert : public ::testing::TestWithParam<NarrowFormat> {};
INSTANTIATE_TEST_SUITE_P(Formats, NarrowConvert, ::testing::ValuesIn(narrow_formats()),
                         [](const auto& info) { return test_name(info.param); });

// Largest error of a value within a factor of 8 of its block's largest.
double error_bound(const NarrowFormat& f, int buffer) {
  if (buffer == SWD_BUFFER_PARAM) {
    return f.param == SWD_DTYPE_F32 || f.remainder == SWD_DTYPE_I16 ? 0.0
           : f.remainder == SWD_DTYPE_I8                            ? 0x1p-16
                                                                    : 0x1p-8;
  }
  if (f.moment == SWD_DTYPE_F32) return 0.0;
  if (f.moment == SWD_DTYPE_BF16) return 0x1p-8;
  return buffer == SWD_BUFFER_EXP_AVG ? 1.0 / 33 : 1.0 / 65;
}

std::vector<float> values_of(int buffer, size_t k, int64_t count) {
  std::vector<float> x = uniform(50 + static_cast<uint64_t>(buffer), k, count);
  for (float& value : x) {
    value = std::copysign(0.125f + 0.875f * std::fabs(value), value);
    if (buffer == SWD_BUFFER_EXP_AVG_SQ) value = std::fabs(value) * 0x1p-20f;
  }
  return x;
}

TEST_P(NarrowConvert, LoadedValuesAreNearAndStay) {
  for (uint32_t flags : {0u, uint32_t{SWD_PLAN_LIST}}) {
    Runner r(narrow_model(GetParam(), flags));
    for (int buffer : kValues) {
      Figure error(test_name(GetParam()) + " buffer " + std::to_string(buffer),
                   error_bound(GetParam(), buffer) * 1.000001);
      for (size_t k = 0; k < r.setup().counts.size(); ++k) r.set(buffer, k, values_of(buffer, k, r.setup().counts[k]));
      for (size_t k = 0; k < r.setup().counts.size(); ++k) {
        std::vector<float> want = values_of(buffer, k, r.setup().counts[k]), got = r.get(buffer, k);
        for (size_t i = 0; i < want.size(); ++i) {
          error.add(relative_error(static_cast<double>(got[i]), static_cast<double>(want[i])));
        }
      }
      error.check(false);
    }
    // What was loaded once is loaded as it is, but for 8-bit blocks whose largest element has the largest code: their
    // byte rises, and what loses a bit is rounded again, once.
    std::vector<Stored> seen{stored(r)};
    for (int round = 0; round < 2; ++round) {
      for (int buffer : kValues) {
        for (size_t k = 0; k < r.setup().counts.size(); ++k) r.set(buffer, k, r.get(buffer, k));
      }
      seen.push_back(stored(r));
    }
    EXPECT_TRUE(seen[2] == seen[1]);
    if (GetParam().moment != SWD_DTYPE_BLOCK8) EXPECT_TRUE(seen[1] == seen[0]);
    EXPECT_TRUE(seen[1].of(SWD_BUFFER_PARAM, 2) == seen[0].of(SWD_BUFFER_PARAM, 2));
  }
}

TEST_P(NarrowConvert, StoreShowsTheSecondMomentItselfAndChangesNothing) {
  Runner r(narrow_model(GetParam()));
  begin(r);
  for (int t = 1; t <= 5; ++t) gradients(r, t), r.step();
  std::vector<uint8_t> before = r.bytes();
  for (size_t k : {size_t{0}, size_t{2}, size_t{6}}) {
    swd_segment_state state = r.segment_state(k);
    const double unit = unit_of(state);
    if (GetParam().has_narrow_moments()) {
      const double beta2 = k == 6 ? 0.95 : 0.999;
      EXPECT_EQ(unit, beta2 * beta2 * beta2 * beta2 * beta2);
    } else {
      EXPECT_EQ(state.exp_avg_sq_unit, 0.0);
    }
    double sum = 0.0;
    std::vector<float> v = r.get(SWD_BUFFER_EXP_AVG_SQ, k);
    for (float x : v) sum += static_cast<double>(x);
    EXPECT_NEAR(sum, state.exp_avg_sq_sum, 0.05 * sum) << k;
    if (GetParam().moment != SWD_DTYPE_BF16) continue;
    std::vector<uint16_t> codes = r.get_codes(SWD_BUFFER_EXP_AVG_SQ, k);
    for (size_t i = 0; i < v.size(); ++i) {
      ASSERT_EQ(v[i], static_cast<float>(unit) * float_of(static_cast<uint32_t>(codes[i]) << 16));
    }
  }
  EXPECT_EQ(r.bytes(), before);
}

TEST_P(NarrowConvert, RebuildIsTheUnitTimesTheSum) {
  Runner r(narrow_model(GetParam()));
  begin(r);
  for (int t = 1; t <= 5; ++t) gradients(r, t), r.step();
  Stored before = stored(r);
  r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
  Stored rebuilt = stored(r);
  EXPECT_TRUE(rebuilt.arrays == before.arrays);
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    EXPECT_EQ(rebuilt.states[k].exp_avg_sq_unit, before.states[k].exp_avg_sq_unit);
    double sum = 0.0;
    for (float x : r.get(SWD_BUFFER_EXP_AVG_SQ, k)) sum += static_cast<double>(x);
    EXPECT_NEAR(rebuilt.states[k].exp_avg_sq_sum, sum, 1e-6 * sum);
    if (!GetParam().has_narrow_moments() || r.setup().counts[k] == 0) continue;
    swd_segment_state other = before.states[k];
    other.exp_avg_sq_unit = 1.0;
    r.set_segment_state(k, other);
  }
  r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    EXPECT_EQ(rebuilt.states[k].exp_avg_sq_sum, unit_of(before.states[k]) * r.segment_state(k).exp_avg_sq_sum) << k;
  }
}

// Loading the second moment makes the unit 1 and leaves step and sum; loading anything else leaves the state alone.
TEST_P(NarrowConvert, OnlyWhatIsGivenIsTouched) {
  for (uint32_t flags : {0u, uint32_t{SWD_PLAN_LIST}}) {
    RunSetup s = narrow_model(GetParam(), flags);
    s.gap = 5;
    Runner r(s);
    begin(r);
    gradients(r, 1);
    r.step();
    for (int buffer : kValues) {
      Stored before = stored(r);
      std::vector<uint8_t> all = r.bytes();
      DeviceBuffer values(s.backend, 4 * 20000);
      values.fill(0);
      std::vector<const void*> tensors(s.counts.size(), nullptr);
      tensors[2] = values.data();
      swd_fp32_arrays from = SWD_FP32_ARRAYS_INIT;
      r.ok(swd_state_load(r.plan(), &r.buffers, &from, r.stream()));
      EXPECT_EQ(r.bytes(), all) << "nothing given";
      const void* base = flags ? static_cast<const void*>(tensors.data()) : values.data();
      (buffer == SWD_BUFFER_PARAM ? from.param : buffer == SWD_BUFFER_EXP_AVG ? from.exp_avg : from.exp_avg_sq) = base;
      swd_buffers used = SWD_BUFFERS_INIT;  // and nothing else is needed
      used.workspace = r.buffers.workspace, used.workspace_bytes = r.buffers.workspace_bytes;
      if (buffer == SWD_BUFFER_PARAM) used.param = r.buffers.param, used.remainder = r.buffers.remainder;
      if (buffer == SWD_BUFFER_EXP_AVG) used.exp_avg = r.buffers.exp_avg, used.exp_avg_scale = r.buffers.exp_avg_scale;
      if (buffer == SWD_BUFFER_EXP_AVG_SQ) {
        used.exp_avg_sq = r.buffers.exp_avg_sq, used.exp_avg_sq_scale = r.buffers.exp_avg_sq_scale;
        used.state = r.buffers.state, used.state_bytes = r.buffers.state_bytes;
      }
      r.ok(swd_state_load(r.plan(), &used, &from, r.stream()));
      Stored after = stored(r);
      for (size_t k = 0; k < s.counts.size(); ++k) {
        const bool loaded = !flags || k == 2;
        for (int b = 0; b < kBuffers; ++b) {
          bool belongs = b == buffer || (buffer == SWD_BUFFER_PARAM && b == SWD_BUFFER_REMAINDER) ||
                         (buffer == SWD_BUFFER_EXP_AVG && b == SWD_BUFFER_EXP_AVG_SCALE) ||
                         (buffer == SWD_BUFFER_EXP_AVG_SQ && b == SWD_BUFFER_EXP_AVG_SQ_SCALE);
          if (!loaded || !belongs) EXPECT_EQ(after.of(b, k), before.of(b, k)) << b << " of segment " << k;
        }
        if (loaded) EXPECT_EQ(r.get(buffer, k), std::vector<float>(static_cast<size_t>(s.counts[k])));
        EXPECT_EQ(after.states[k].step, before.states[k].step);
        EXPECT_EQ(after.states[k].exp_avg_sq_sum, before.states[k].exp_avg_sq_sum);
        const bool unit_goes = loaded && buffer == SWD_BUFFER_EXP_AVG_SQ && s.counts[k] > 0;
        EXPECT_EQ(after.states[k].exp_avg_sq_unit, unit_goes ? 0.0 : before.states[k].exp_avg_sq_unit) << k;
      }
      EXPECT_TRUE(values.canaries_intact());
    }
  }
}

TEST_P(NarrowConvert, GapsAreNotTouched) {
  RunSetup s = narrow_model(GetParam());
  s.gap = 4;
  Runner r(s);
  begin(r);
  gradients(r, 1);
  r.step();
  for (int b = 0; b < kBuffers; ++b) {
    const bool scale = b == SWD_BUFFER_EXP_AVG_SCALE || b == SWD_BUFFER_EXP_AVG_SQ_SCALE;
    if (scale || !is_written(r, b)) continue;
    for (size_t k = 0; k + 1 < s.counts.size(); ++k) {
      const uint8_t* first = static_cast<uint8_t*>(r.at(b, 0));
      const uint64_t next = static_cast<uint64_t>(static_cast<uint8_t*>(r.at(b, k + 1)) - first);
      const uint64_t width = r.stored(b, 0).size() / static_cast<uint64_t>(s.counts[0]);
      for (uint64_t at = next - 4 * width; at < next; ++at) {
        ASSERT_EQ(r.array_byte(b, at), DeviceBuffer::poison(at)) << "buffer " << b << ", behind segment " << k;
      }
    }
  }
}

}  // namespace
}  // namespace swd::test
