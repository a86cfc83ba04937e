// SPDX-License-Identifier: Apache-2.0
// SWD_DECAY_RELATIVE: AdamW to the bit until the reference step, SWD with the converted weight_decay from there on,
// with a reference that lives in the state.
#include <cmath>

#include "support/blob.h"
#include "support/small_model.h"

namespace swd::test {
namespace {

constexpr uint64_t kReference = 7;

RunSetup with_decay(swd_decay decay, uint32_t flags = 0, double weight_decay = 0.1) {
  RunSetup s = small(flags);
  s.decay = {decay};
  s.groups[0].weight_decay = weight_decay;
  return s;
}

// Gradients that grow and shrink, unclipped: clipping would keep vbar where it is.
void step(Runner& r, int t) {
  fill(r, t, 1.0 + 0.3 * (t % 5));
  r.args().reference_step = kReference;
  r.step();
}

swd_state_header header(Runner& r) {
  std::vector<uint8_t> image = r.image();
  swd_state_header out{};
  EXPECT_EQ(swd_state_header_get(r.plan(), image.data(), image.size(), &out, sizeof out), SWD_OK);
  return out;
}

void set_reference(Runner& r, double reference) {
  std::vector<uint8_t> image = r.image();
  swd_state_header in = header(r);
  in.vbar_reference = reference;
  r.ok(swd_state_header_set(r.plan(), image.data(), image.size(), &in, sizeof in));
  r.set_image(image);
}

const uint32_t kKinds[] = {0, SWD_PLAN_LIST, SWD_PLAN_AMSGRAD};

TEST(RelativeDecay, IsDecoupledUpToTheReferenceStep) {
  for (uint32_t flags : kKinds) {
    Runner relative(with_decay(SWD_DECAY_RELATIVE, flags)), decoupled(with_decay(SWD_DECAY_DECOUPLED, flags));
    start(relative);
    start(decoupled);
    for (int t = 1; t <= static_cast<int>(kReference) + 1; ++t) {
      step(relative, t);
      step(decoupled, t);
      std::vector<double> lambda_eff;
      swd_stats stats = relative.stats(&lambda_eff);
      ASSERT_EQ(stats.result, SWD_RESULT_APPLIED);
      bool decided = t >= static_cast<int>(kReference);
      EXPECT_EQ(header(relative).vbar_reference, stats.vbar_reference);
      if (t <= static_cast<int>(kReference)) {
        EXPECT_EQ(params(relative), params(decoupled)) << t;
        EXPECT_EQ(lambda_eff[0], 0.1);
        EXPECT_EQ(stats.vbar_reference, decided ? stats.vbar : 0.0) << t;
      } else {
        EXPECT_NE(params(relative), params(decoupled));
        EXPECT_NEAR(lambda_eff[0], 0.1 * std::sqrt(stats.vbar_reference / stats.vbar), 1e-15);
      }
    }
  }
}

// Over 1,000 steps from the reference on; both runs start from the same bytes.
TEST(RelativeDecay, IsScheduledFromTheReferenceOn) {
  for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD}}) {
    Runner relative(with_decay(SWD_DECAY_RELATIVE, flags));
    start(relative);
    for (int t = 1; t <= static_cast<int>(kReference); ++t) step(relative, t);
    double reference = relative.stats().vbar_reference;
    ASSERT_GT(reference, 0.0);
    Runner scheduled(with_decay(SWD_DECAY_SCHEDULED, flags, 0.1 * std::sqrt(reference)));
    for (int b : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ, SWD_BUFFER_MAX_EXP_AVG_SQ}) {
      if (b == SWD_BUFFER_MAX_EXP_AVG_SQ && flags == 0) continue;
      for (size_t k = 0; k < 4; ++k) scheduled.set(b, k, relative.get(b, k));
    }
    scheduled.set_image(relative.image());
    int steps = relative.setup().backend == SWD_BACKEND_CPU ? 1000 : 30;
    for (int t = 1; t <= steps; ++t) {
      double factor = 0.2 + 0.001 * t;  // so that the schedule has something to follow
      for (Runner* r : {&relative, &scheduled}) {
        fill(*r, t % 50, factor);
        r->args().reference_step = kReference;
        r->step();
      }
    }
    swd_stats a = relative.stats(), b = scheduled.stats();
    EXPECT_EQ(a.steps_applied, b.steps_applied);
    EXPECT_EQ(a.vbar_reference, reference);
    EXPECT_NEAR(a.largest_decay, b.largest_decay, 1e-14 * b.largest_decay);
    std::vector<float> p = params(relative), q = params(scheduled);
    for (size_t i = 0; i < p.size(); ++i) ASSERT_NEAR(p[i], q[i], 1e-6 * std::fabs(q[i]) + 1e-9) << i;
  }
}

TEST(RelativeDecay, TheReferenceCanBeSetByHand) {
  Runner r(with_decay(SWD_DECAY_RELATIVE)), scheduled(with_decay(SWD_DECAY_SCHEDULED, 0, 0.1 * std::sqrt(0.04)));
  start(r);
  start(scheduled);
  set_reference(r, 0.04);
  step(r, 1);
  step(scheduled, 1);
  EXPECT_EQ(r.stats().vbar_reference, 0.04);
  EXPECT_NEAR(r.stats().largest_decay, scheduled.stats().largest_decay, 1e-15 * scheduled.stats().largest_decay);
  set_reference(r, 0.0);  // taken anew, with the first step that may give it
  for (int t = 2; t <= static_cast<int>(kReference); ++t) step(r, t);
  EXPECT_EQ(r.stats().vbar_reference, r.stats().vbar);
}

TEST(RelativeDecay, SkippedStepsAndStepsWithoutAMeanGiveNoReference) {
  Runner r(with_decay(SWD_DECAY_RELATIVE));
  start(r);
  for (int t = 1; t < static_cast<int>(kReference); ++t) step(r, t);
  DeviceValue<float> found_inf(r.setup().backend, 1.0f);
  r.args().found_inf = found_inf.pointer();
  step(r, 7);
  EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_NONFINITE);
  EXPECT_EQ(header(r).vbar_reference, 0.0);
  r.args().found_inf = nullptr;
  DeviceBuffer none(r.setup().backend, 4);
  none.fill(0);
  r.args().has_grad = none.data();  // vbar is 0: no member has a gradient
  step(r, 7);
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_EQ(header(r).vbar_reference, 0.0);
  r.args().has_grad = nullptr;
  step(r, 8);
  EXPECT_EQ(header(r).vbar_reference, r.stats().vbar);
  EXPECT_GT(r.stats().vbar, 0.0);
}

TEST(RelativeDecay, TheDefaultReferenceStepIs100) {
  RunSetup s = with_decay(SWD_DECAY_RELATIVE);
  s.counts = {5};
  Runner r(s);
  start(r);
  for (int t = 1; t <= 100; ++t) {
    fill(r, t);
    EXPECT_EQ(header(r).vbar_reference, 0.0) << t;
    r.step();
  }
  EXPECT_EQ(header(r).vbar_reference, r.stats().vbar);
}

TEST(RelativeDecay, PiecesAndResumeKeepTheBits) {
  for (uint32_t flags : kKinds) {
    Runner whole(with_decay(SWD_DECAY_RELATIVE, flags)), pieces(with_decay(SWD_DECAY_RELATIVE, flags));
    start(whole);
    start(pieces);
    for (int t = 1; t <= 10; ++t) {
      step(whole, t);
      fill(pieces, t, 1.0 + 0.3 * (t % 5));
      swd_step_args* args = &pieces.args();
      args->reference_step = kReference;
      for (swd_phase phase = 0; phase <= (flags & SWD_PLAN_AMSGRAD ? 1 : 0); ++phase) {
        pieces.ok(swd_reduce(pieces.plan(), &pieces.buffers, args, phase, 0, 4, pieces.stream()));
        pieces.ok(swd_fold(pieces.plan(), &pieces.buffers, args, phase, nullptr, 0, pieces.stream()));
        pieces.ok(swd_decide(pieces.plan(), &pieces.buffers, args, phase, nullptr, 0, pieces.stream()));
      }
      pieces.ok(swd_update(pieces.plan(), &pieces.buffers, args, pieces.stream()));
      // Through a blob, as a checkpoint goes.
      std::vector<uint8_t> image = pieces.image(), back(image.size());
      uint64_t bytes = 0;
      pieces.ok(swd_state_blob_size(pieces.plan(), &bytes));
      Blob blob(bytes);
      pieces.ok(swd_state_export(pieces.plan(), image.data(), image.size(), blob.data(), bytes));
      const void* blobs[] = {blob.data()};
      pieces.ok(swd_state_import(pieces.plan(), blobs, &bytes, 1, back.data(), back.size()));
      EXPECT_EQ(back, image);
      pieces.set_image(back);
    }
    EXPECT_EQ(pieces.bytes(), whole.bytes());
    EXPECT_GT(whole.stats().vbar_reference, 0.0);
  }
}

// It needs vbar from the first step on, wherever scheduled decay does.
TEST(RelativeDecay, CountsAsScheduledWhereVbarIsNeeded) {
  Runner r(with_decay(SWD_DECAY_RELATIVE));
  start(r);
  step(r, 1);
  r.set_segment_state(0, {1, -1.0});
  step(r, 2);
  EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_SUM_UNKNOWN);
  r.args().flags = SWD_STEP_PROPAGATE | SWD_STEP_SKIP_NORM;
  EXPECT_EQ(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()), SWD_ERR_FLAGS);
  EXPECT_EQ(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_MAX, 0, 4, r.stream()), SWD_ERR_FLAGS);
  r.args().flags = 0;
  EXPECT_EQ(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_MAX, 0, 4, r.stream()), SWD_ERR_UNEXPECTED);
}

// A reference that no state can have, written into the image by hand.
TEST(RelativeDecay, AnImpossibleReferenceSkips) {
  for (double bad : {-1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    Runner r(with_decay(SWD_DECAY_RELATIVE));
    start(r);
    std::vector<uint8_t> image = r.image();
    memcpy(image.data() + 24, &bad, sizeof bad);
    r.set_image(image);
    step(r, 1);
    EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_INVALID) << bad;
  }
}

}  // namespace
}  // namespace swd::test
