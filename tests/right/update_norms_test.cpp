// SPDX-License-Identifier: Apache-2.0
// Norms and decays whose answers are known by heart: powers of two, so that every sum is exact.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

void set_all(Runner& r, int buffer, float value) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    r.set(buffer, k, std::vector<float>(static_cast<size_t>(r.setup().counts[k]), value));
  }
}

RunSetup halving(std::vector<int64_t> counts, swd_decay decay = SWD_DECAY_DECOUPLED) {
  RunSetup s = one_segment(decay);
  s.counts = std::move(counts);
  s.flags = SWD_PLAN_UPDATE_NORMS;
  s.groups[0].lr = 0.5;
  s.groups[0].weight_decay = 1.0;
  return s;
}

// A gradient of zero leaves decay alone: 4 loses half of itself.
TEST(UpdateNorms, CountWhatDecayTakes) {
  for (int64_t count : {1, 4, 1024, 4096 * 4}) {
    Runner r(halving({count}));
    set_all(r, SWD_BUFFER_PARAM, 4.0f);
    set_all(r, SWD_BUFFER_GRAD, 0.0f);
    r.args().max_decay = 1.0;
    r.step();
    double root = std::sqrt(static_cast<double>(count));
    EXPECT_EQ(r.stats().param_norm, 2.0 * root) << count;
    EXPECT_EQ(r.stats().update_norm, 2.0 * root) << count;
    EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 0)[0], 2.0f);
  }
}

// And a segment without a gradient, or with no decay, loses nothing; the former is not in the norm of parameters
// either.
TEST(UpdateNorms, LeaveOutSegmentsWithoutGradient) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_LIST}}) {
    RunSetup s = halving({4096, 16, 4, 0, 16});
    s.flags |= flags;
    s.flags_of = {0, 0, SWD_SEGMENT_NO_DECAY, 0, 0};
    Runner r(s);
    set_all(r, SWD_BUFFER_PARAM, 4.0f);
    set_all(r, SWD_BUFFER_GRAD, 0.0f);
    DeviceBuffer has_grad(s.backend, 5);
    const uint8_t only[] = {0, 1, 1, 1, 0};
    has_grad.write(0, only, 5);
    r.args().has_grad = has_grad.data();
    r.args().max_decay = 1.0;
    r.step();
    EXPECT_EQ(r.stats().update_norm, std::sqrt(16 * 4.0));
    EXPECT_EQ(r.stats().param_norm, std::sqrt(16 * 4.0 + 4 * 16.0));
    const float expected[] = {4.0f, 2.0f, 4.0f, 0.0f, 4.0f};
    for (size_t k : {0u, 1u, 2u, 4u}) EXPECT_EQ(r.get(SWD_BUFFER_PARAM, k)[0], expected[k]) << k;
    const uint8_t none[5] = {};
    has_grad.write(0, none, 5);
    r.step();  // nobody moved: not the norms of the step before
    EXPECT_EQ(r.stats().update_norm, 0.0);
    EXPECT_EQ(r.stats().param_norm, 0.0);
  }
}

// L2 decay joins the gradient, but not of a segment that has none: there a gradient of zero moves nothing.
TEST(UpdateNorms, NoDecayUnderL2) {
  RunSetup s = halving({64, 64}, SWD_DECAY_L2);
  s.flags_of = {SWD_SEGMENT_NO_DECAY, 0};
  s.groups[0].beta1 = s.groups[0].beta2 = 0.0;
  Runner r(s);
  set_all(r, SWD_BUFFER_PARAM, 4.0f);
  set_all(r, SWD_BUFFER_GRAD, 0.0f);
  r.step();
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 0), std::vector<float>(64, 4.0f));
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 0), std::vector<float>(64, 0.0f));
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 1), std::vector<float>(64, 3.5f));  // the step of a lone gradient is lr
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 1), std::vector<float>(64, 4.0f));
  EXPECT_EQ(r.stats().update_norm, std::sqrt(64 * 0.25));
}

// Empty segments anywhere, also so many that their record is folded in groups, are as none: they have no gradient, no
// step, and nobody waits for them.
TEST(UpdateNorms, EmptySegmentsAreAsNone) {
  for (size_t empty : {size_t{1}, size_t{300}, size_t{1500}}) {
    RunSetup full = small(SWD_PLAN_UPDATE_NORMS), gaps = full;
    full.counts = {700, 4097, 33};
    gaps.counts.assign(empty, 0);
    std::vector<size_t> where;
    for (int64_t count : full.counts) {
      where.push_back(gaps.counts.size());
      gaps.counts.push_back(count);
      gaps.counts.insert(gaps.counts.end(), empty, 0);
    }
    Runner a(full), b(gaps);
    for (size_t k = 0; k < 3; ++k) {
      for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_GRAD}) {
        a.set(buffer, k, uniform(static_cast<uint64_t>(buffer) + 1, k, full.counts[k]));
        b.set(buffer, where[k], uniform(static_cast<uint64_t>(buffer) + 1, k, full.counts[k]));
      }
    }
    b.set_segment_state(0, {5, -1.0});  // what is not known of nothing stops no step
    a.step();
    b.step();
    EXPECT_EQ(b.stats().result, SWD_RESULT_APPLIED) << empty;
    EXPECT_DOUBLE_EQ(b.stats().grad_norm, a.stats().grad_norm);  // segments are lanes of a sum: another order
    EXPECT_EQ(b.stats().param_norm, a.stats().param_norm);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(b.segment_state(where[k]).step, 1);
      EXPECT_EQ(b.get(SWD_BUFFER_EXP_AVG_SQ, where[k]), a.get(SWD_BUFFER_EXP_AVG_SQ, k));
    }
    EXPECT_EQ(b.segment_state(0).step, 5) << empty;
    EXPECT_EQ(b.segment_state(gaps.counts.size() - 1).step, 0) << empty;
  }
}

// 0 * NaN: no decay was asked for, and vbar is none, so nothing but the element with the NaN is lost.
TEST(UpdateNorms, ADecayOfZeroIsNoneWhateverVbarIs) {
  for (swd_decay decay : {SWD_DECAY_SCHEDULED, SWD_DECAY_RELATIVE}) {
    for (float bad : {NAN, INFINITY}) {
      for (bool flagged : {false, true}) {
        RunSetup s = one_segment(decay);
        s.counts = {100, 100};
        s.group_of = {0, 1};
        s.decay.assign(2, decay);
        s.groups.assign(2, s.groups[0]);
        s.groups[0].weight_decay = flagged ? 0.5 : 0.0;
        if (flagged) s.flags_of = {SWD_SEGMENT_NO_DECAY, 0};
        s.groups[1].weight_decay = 0.0;
        Runner r(s);
        start(r);
        fill(r, 1);
        std::vector<float> g = uniform(1, 2, 100);
        g[3] = bad;
        r.set(SWD_BUFFER_GRAD, 1, g);
        r.args().flags = SWD_STEP_PROPAGATE;
        r.step();
        std::vector<double> lambda_eff;
        swd_stats stats = r.stats(&lambda_eff);
        EXPECT_EQ(stats.result, SWD_RESULT_APPLIED);
        EXPECT_FALSE(std::isfinite(stats.vbar));
        EXPECT_EQ(lambda_eff[1], 0.0);
        if (!flagged) EXPECT_EQ(stats.largest_decay, 0.0);
        for (size_t k = 0; k < 2; ++k) {
          std::vector<float> p = r.get(SWD_BUFFER_PARAM, k);
          for (size_t i = 0; i < p.size(); ++i) EXPECT_EQ(std::isfinite(p[i]), k == 0 || i != 3) << k << " " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace swd::test
