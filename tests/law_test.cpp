// SPDX-License-Identifier: Apache-2.0
// Laws of a step that hold to the bit, on the backend under test.
#include <cmath>

#include "support/runner.h"

namespace swd::test {
namespace {

RunSetup small(uint32_t flags = 0) {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = flags;
  s.counts = {700, 0, 4097, 33};
  s.groups[0].weight_decay = 1e-2;
  return s;
}

void fill(Runner& r, int t, double factor = 1.0) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> g = uniform(100 + static_cast<uint64_t>(t), k, r.setup().counts[k]);
    for (float& x : g) x = static_cast<float>(x * factor);
    r.set(SWD_BUFFER_GRAD, k, g);
  }
}

void start(Runner& r) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) r.set(SWD_BUFFER_PARAM, k, uniform(3, k, r.setup().counts[k]));
}

std::vector<float> params(Runner& r) {
  std::vector<float> out;
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> x = r.get(SWD_BUFFER_PARAM, k);
    out.insert(out.end(), x.begin(), x.end());
  }
  return out;
}

std::vector<float> run(const RunSetup& s, int steps, double factor, double loss_scale) {
  Runner r(s);
  start(r);
  r.args().loss_scale = loss_scale;
  r.args().max_grad_norm = 0.7;
  for (int t = 1; t <= steps; ++t) {
    fill(r, t, factor);
    r.step();
  }
  return params(r);
}

TEST(Law, GradientsAndLossScaleByAPowerOfTwo) { EXPECT_EQ(run(small(), 5, 1024.0, 1024.0), run(small(), 5, 1.0, 1.0)); }

TEST(Law, MaximizeIsTheNegatedGradient) {
  EXPECT_EQ(run(small(SWD_PLAN_MAXIMIZE), 5, -1.0, 1.0), run(small(), 5, 1.0, 1.0));
}

TEST(Law, NoDecayIsAdam) {
  RunSetup scheduled = small(), none = small();
  scheduled.groups[0].weight_decay = 0.0;
  none.decay[0] = SWD_DECAY_NONE;
  EXPECT_EQ(run(scheduled, 5, 1.0, 1.0), run(none, 5, 1.0, 1.0));
}

TEST(Law, ListIsFlat) { EXPECT_EQ(run(small(SWD_PLAN_LIST), 5, 1.0, 1.0), run(small(), 5, 1.0, 1.0)); }

TEST(Law, AlignmentDoesNotMatter) {
  RunSetup shifted = small();
  shifted.shift = 1;
  shifted.gap = 3;
  EXPECT_EQ(run(shifted, 5, 1.0, 1.0), run(small(), 5, 1.0, 1.0));
}

TEST(Law, ZeroLearningRateKeepsParameters) {
  RunSetup s = small();
  s.groups[0].lr = 0.0;
  EXPECT_EQ(run(s, 3, 1.0, 1.0), run(s, 0, 1.0, 1.0));
}

void expect_skipped(Runner& r, swd_step_status status) {
  std::vector<float> before = params(r);
  swd_segment_state state = r.segment_state(2);
  r.step();
  swd_stats stats = r.stats();
  EXPECT_EQ(stats.status, status) << swd_step_status_name(stats.status);
  EXPECT_EQ(stats.steps_skipped, 1u);
  EXPECT_EQ(stats.steps_applied, 1u);
  EXPECT_EQ(params(r), before);
  EXPECT_EQ(r.segment_state(2).step, state.step);
  EXPECT_EQ(r.segment_state(2).exp_avg_sq_sum, state.exp_avg_sq_sum);
}

TEST(Law, NonFiniteGradientsChangeNothing) {
  for (float bad : {INFINITY, -INFINITY, NAN}) {
    for (size_t at : {size_t{0}, size_t{2000}, size_t{4095}, size_t{4096}}) {
      Runner r(small());
      start(r);
      fill(r, 1);
      r.step();
      std::vector<float> g = uniform(9, 2, 4097);
      g[at] = bad;
      r.set(SWD_BUFFER_GRAD, 2, g);
      expect_skipped(r, SWD_STEP_SKIPPED_NONFINITE);
      EXPECT_EQ(r.stats().bad, 1.0);
    }
  }
}

TEST(Law, FoundInfOverflowUnderflowAndBadScalarsSkip) {
  struct Row {
    swd_step_status status;
    float found_inf, loss_scale;
    double factor;
  };
  for (const Row& row : {Row{SWD_STEP_SKIPPED_NONFINITE, 1.0f, 1.0f, 1.0}, Row{SWD_STEP_SKIPPED_OVERFLOW, 0.0f, 1.0f, 0x1p100},
                         Row{SWD_STEP_SKIPPED_UNDERFLOW, 0.0f, 0x1.8p127f, 1.0}, Row{SWD_STEP_SKIPPED_INVALID, 0.0f, 0.0f, 1.0},
                         Row{SWD_STEP_SKIPPED_INVALID, 0.0f, NAN, 1.0}, Row{SWD_STEP_SKIPPED_OVERFLOW, 0.0f, 1e-39f, 0.0}}) {
    Runner r(small());
    start(r);
    fill(r, 1);
    r.step();
    DeviceValue<float> found_inf(r.setup().backend, row.found_inf), loss_scale(r.setup().backend, row.loss_scale);
    r.args().found_inf = found_inf.pointer();
    r.args().loss_scale_pointer = loss_scale.pointer();
    fill(r, 2, row.factor);
    expect_skipped(r, row.status);
  }
}

TEST(Law, ClippingRescuesHugeGradients) {
  Runner r(small());
  start(r);
  fill(r, 1, 0x1p120);
  r.args().max_grad_norm = 1.0;
  r.step();
  EXPECT_EQ(r.stats().status, SWD_STEP_APPLIED);
  for (float p : params(r)) EXPECT_TRUE(std::isfinite(p));
}

TEST(Law, ResumeThroughABlobIsRunThrough) {
  RunSetup s = small();
  Runner whole(s), first(s), second(s);
  start(whole);
  start(first);
  for (int t = 1; t <= 4; ++t) {
    fill(whole, t);
    whole.step();
  }
  for (int t = 1; t <= 2; ++t) {
    fill(first, t);
    first.step();
  }
  uint64_t bytes = 0, image_bytes = first.buffers.state_bytes;
  ASSERT_EQ(swd_state_blob_size(first.plan(), &bytes), SWD_OK);
  std::vector<uint8_t> blob(bytes), image = first.image();
  ASSERT_EQ(swd_state_export(first.plan(), image.data(), image_bytes, blob.data(), bytes), SWD_OK) << swd_error_detail();
  const void* blobs[] = {blob.data()};
  std::vector<uint8_t> again(image_bytes, 0xEE);
  ASSERT_EQ(swd_state_import(second.plan(), blobs, &bytes, 1, again.data(), image_bytes), SWD_OK) << swd_error_detail();
  EXPECT_EQ(again, image);
  second.set_image(again);
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    for (size_t k = 0; k < s.counts.size(); ++k) second.set(buffer, k, first.get(buffer, k));
  }
  for (int t = 3; t <= 4; ++t) {
    fill(second, t);
    second.step();
  }
  EXPECT_EQ(params(second), params(whole));
}

TEST(Law, BlobsAreRefusedWholeOrNotAtAll) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.step();
  uint64_t bytes = 0, image_bytes = r.buffers.state_bytes;
  ASSERT_EQ(swd_state_blob_size(r.plan(), &bytes), SWD_OK);
  std::vector<uint8_t> blob(bytes), image = r.image(), target(image_bytes, 0x5A), untouched = target;
  ASSERT_EQ(swd_state_export(r.plan(), image.data(), image_bytes, blob.data(), bytes), SWD_OK);
  for (uint64_t i = 0; i < bytes; ++i) {
    std::vector<uint8_t> damaged = blob;
    damaged[i] ^= 0x40;
    const void* blobs[] = {damaged.data()};
    EXPECT_GE(swd_state_import(r.plan(), blobs, &bytes, 1, target.data(), image_bytes), SWD_ERR_BLOB_MAGIC) << i;
    const void* cut[] = {blob.data()};
    EXPECT_GE(swd_state_import(r.plan(), cut, &i, 1, target.data(), image_bytes), SWD_ERR_BLOB_MAGIC) << i;
  }
  EXPECT_EQ(target, untouched);
}

TEST(Law, RowsWithoutGradientEndAtZeroMoments) {
  RunSetup s = small();
  s.counts = {64};
  s.groups[0].beta1 = 0.5;
  s.groups[0].beta2 = 0.5;
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  r.set(SWD_BUFFER_GRAD, 0, std::vector<float>(64));
  for (int t = 0; t < 200; ++t) r.step();
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG, 0), std::vector<float>(64));
  EXPECT_EQ(r.get(SWD_BUFFER_EXP_AVG_SQ, 0), std::vector<float>(64));
}

TEST(Law, SumUnknownIsSkippedUntilRebuilt) {
  RunSetup s = small();
  Runner r(s);
  start(r);
  fill(r, 1);
  r.step();
  double known = r.segment_state(2).exp_avg_sq_sum;
  std::vector<uint8_t> image = r.image();
  swd_segment_state unknown = r.segment_state(2);
  unknown.exp_avg_sq_sum = -1.0;
  ASSERT_EQ(swd_state_set(r.plan(), image.data(), image.size(), 2, &unknown), SWD_OK) << swd_error_detail();
  r.set_image(image);
  fill(r, 2);
  expect_skipped(r, SWD_STEP_SKIPPED_SUM_UNKNOWN);
  ASSERT_EQ(swd_state_rebuild(r.plan(), &r.buffers, r.stream()), SWD_OK) << swd_error_detail();
  EXPECT_NEAR(r.segment_state(2).exp_avg_sq_sum, known, 1e-6 * known);
  r.step();
  EXPECT_EQ(r.stats().status, SWD_STEP_APPLIED);
}

TEST(Law, UpdateAloneChangesNothing) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.step();
  std::vector<uint8_t> before = r.bytes();
  ASSERT_EQ(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()), SWD_OK) << swd_error_detail();
  EXPECT_EQ(r.stats().status, SWD_STEP_NOT_ARMED);
  EXPECT_EQ(r.bytes(), before);
}

TEST(Law, SkipNormGivesTheSameBitsAndUnknownSums) {
  RunSetup s = small();
  s.decay[0] = SWD_DECAY_DECOUPLED;
  Runner with(s), without(s);
  for (Runner* r : {&with, &without}) {
    start(*r);
    fill(*r, 1);
    r->args().flags = SWD_STEP_PROPAGATE | (r == &without ? SWD_STEP_SKIP_NORM : 0u);
    r->step();
  }
  EXPECT_EQ(params(with), params(without));
  EXPECT_EQ(without.segment_state(2).exp_avg_sq_sum, -1.0);
  EXPECT_GT(with.segment_state(2).exp_avg_sq_sum, 0.0);
}

TEST(Law, MissingGradientsKeepTheirSegment) {
  Runner r(small(SWD_PLAN_LIST));
  start(r);
  fill(r, 1);
  std::vector<float> before = r.get(SWD_BUFFER_PARAM, 2);
  r.missing[2] = 1;
  r.step();
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), before);
  EXPECT_EQ(r.segment_state(2).step, 0);
  EXPECT_EQ(r.segment_state(0).step, 1);
}

}  // namespace
}  // namespace swd::test
