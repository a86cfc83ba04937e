// SPDX-License-Identifier: Apache-2.0
// What holds to the bit for every narrow format: layouts, pieces, resume, steps that change nothing, ways from and to
// fp32. Compared are all stored bytes: codes, scales, remainders, units.
#include <cmath>

#include "support/blob.h"
#include "support/narrow.h"
#include "support/narrow_model.h"

namespace swd::test {
namespace {

constexpr int kSteps = 3;

class NarrowLaws : public ::testing::TestWithParam<NarrowFormat> {};
INSTANTIATE_TEST_SUITE_P(Formats, NarrowLaws, ::testing::ValuesIn(narrow_formats()),
                         [](const auto& info) { return test_name(info.param); });

TEST_P(NarrowLaws, ListIsFlatAndAlignmentDoesNotMatter) {
  Stored expected = trained(narrow_model(GetParam()), kSteps);
  RunSetup shifted = narrow_model(GetParam());
  shifted.shift = 1;
  shifted.gap = 3;
  EXPECT_TRUE(trained(shifted, kSteps) == expected) << "shifted";
  EXPECT_TRUE(trained(narrow_model(GetParam(), SWD_PLAN_LIST), kSteps) == expected) << "list";
  shifted.flags |= SWD_PLAN_LIST;
  EXPECT_TRUE(trained(shifted, kSteps) == expected) << "shifted list";
}

TEST_P(NarrowLaws, UpdateNormsChangeNothing) {
  EXPECT_TRUE(trained(narrow_model(GetParam(), SWD_PLAN_UPDATE_NORMS), kSteps) ==
              trained(narrow_model(GetParam()), kSteps));
}

TEST_P(NarrowLaws, PiecesAreTheWholeStep) {
  RunSetup s = narrow_model(GetParam());
  Runner r(s);
  begin(r);
  for (int t = 1; t <= kSteps; ++t) {
    gradients(r, t);
    auto reduce = [&](int64_t first, int64_t count) {
      r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, first, count, r.stream()));
    };
    reduce(3, 4), reduce(0, 3), reduce(1, 3);
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, nullptr, 0, r.stream()));
    r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
  }
  EXPECT_TRUE(stored(r) == trained(s, kSteps));
}

// Somebody sets visible halves to 0, of either sign, where the remainder is negative: as if it were 0, too.
TEST_P(NarrowLaws, OfPrunedParametersTheRemainderDoesNotCount) {
  const uint64_t width = GetParam().remainder == SWD_DTYPE_I16 ? 2 : 1;
  if (GetParam().remainder == SWD_DTYPE_NONE) return;
  std::vector<Stored> seen;
  for (bool whole : {false, true}) {
    Runner r(narrow_model(GetParam(), SWD_PLAN_UPDATE_NORMS));
    begin(r);
    for (int t = 1; t <= kSteps; ++t) {
      gradients(r, t);
      r.step();
      for (size_t k = 0; k < r.setup().counts.size(); ++k) {
        std::vector<uint16_t> codes = r.get_codes(SWD_BUFFER_PARAM, k);
        std::vector<uint8_t> rest = r.stored(SWD_BUFFER_REMAINDER, k);
        for (size_t i = 0; i < codes.size(); ++i) {
          if (rest[(i + 1) * width - 1] < 0x80 || mix(i + k) % 5 != 0) continue;
          codes[i] &= 0x8000;
          for (uint64_t byte = 0; whole && byte < width; ++byte) rest[i * width + byte] = 0;
        }
        r.set_codes(SWD_BUFFER_PARAM, k, codes);
        r.set_stored(SWD_BUFFER_REMAINDER, k, rest);
      }
    }
    gradients(r, kSteps + 1);
    r.step();
    seen.push_back(stored(r));
    for (size_t k = 0; k < r.setup().counts.size(); ++k) {
      for (float x : r.get(SWD_BUFFER_PARAM, k)) ASSERT_FALSE(std::isnan(x)) << k;
    }
  }
  EXPECT_TRUE(seen[0] == seen[1]);
}

// Without pass 1 the bits are the same, and so are units and keys, which it leaves behind.
TEST_P(NarrowLaws, SkipNormGivesTheSameCodes) {
  RunSetup s = narrow_model(GetParam());
  s.decay.assign(2, SWD_DECAY_DECOUPLED);
  std::vector<Stored> seen;
  for (uint32_t flag : {0u, uint32_t{SWD_STEP_SKIP_NORM}}) {
    Runner r(s);
    begin(r);
    r.args().max_grad_norm = 0.0;
    r.args().flags = SWD_STEP_PROPAGATE | flag;
    for (int t = 1; t <= kSteps; ++t) {
      gradients(r, t);
      r.step();
    }
    seen.push_back(stored(r));
    for (swd_segment_state& state : seen.back().states) state.exp_avg_sq_sum = 0.0;  // unknown, without
  }
  EXPECT_TRUE(seen[0] == seen[1]);
}

TEST_P(NarrowLaws, ResumeThroughBlobAndBuffersIsRunThrough) {
  RunSetup s = narrow_model(GetParam());
  s.seed = 0x0123456789ABCDEFu;
  Runner first(s);
  begin(first);
  for (int t = 1; t <= 2; ++t) gradients(first, t), first.step();
  std::vector<uint8_t> image = first.image();
  uint64_t bytes = 0;
  ASSERT_EQ(swd_state_blob_size(first.plan(), &bytes), SWD_OK);
  Blob blob(bytes);
  first.ok(swd_state_export(first.plan(), image.data(), image.size(), blob.data(), bytes));
  RunSetup fresh = s;
  fresh.seed = 0;  // the blob has it
  Runner second(fresh);
  const void* blobs[] = {blob.data()};
  std::vector<uint8_t> again(image.size(), 0xEE);
  second.ok(swd_state_import(second.plan(), blobs, &bytes, 1, again.data(), again.size()));
  EXPECT_EQ(again, image);
  second.set_image(again);
  copy_arrays(first, second);
  second.args().max_grad_norm = first.args().max_grad_norm;
  for (int t = 3; t <= 4; ++t) gradients(second, t), second.step();
  EXPECT_TRUE(stored(second) == trained(s, 4));
}

TEST_P(NarrowLaws, TheSeedIsInEveryNarrowCode) {
  RunSetup s = narrow_model(GetParam());
  Stored zero = trained(s, kSteps);
  s.seed = 1;
  Stored one = trained(s, kSteps);
  for (size_t buffer = 0; buffer < kBuffers; ++buffer) {
    bool rounded = (buffer == SWD_BUFFER_PARAM && s.remainder != SWD_DTYPE_I16 && s.param == SWD_DTYPE_BF16) ||
                   buffer == SWD_BUFFER_EXP_AVG || buffer == SWD_BUFFER_EXP_AVG_SQ;
    if (s.moment == SWD_DTYPE_F32) {
      EXPECT_TRUE(zero == one) << "nothing is rounded";
    } else if (rounded) {
      EXPECT_NE(zero.arrays[buffer], one.arrays[buffer]) << buffer;
    }
  }
  EXPECT_TRUE(trained(s, kSteps) == one);
}

TEST_P(NarrowLaws, SegmentsWithoutGradientKeepEverything) {
  Runner r(narrow_model(GetParam(), SWD_PLAN_LIST));
  begin(r);
  for (int t = 1; t <= kSteps; ++t) gradients(r, t), r.step();
  Stored before = stored(r);
  r.missing[2] = 1;
  gradients(r, kSteps + 1);
  r.step();
  Stored after = stored(r);
  EXPECT_EQ(memcmp(&before.states[2], &after.states[2], sizeof before.states[2]), 0);
  EXPECT_NE(memcmp(&before.states[4], &after.states[4], sizeof before.states[4]), 0);
  for (int buffer = 0; buffer < kBuffers; ++buffer) EXPECT_EQ(before.of(buffer, 2), after.of(buffer, 2)) << buffer;
}

// Every reason of a step that is skipped, with gradients that would change everything.
TEST_P(NarrowLaws, ASkippedStepChangesNoBit) {
  struct Row {
    swd_result result;
    float found_inf, loss_scale;
    double factor;
    float last = 0.0f;
  };
  RunSetup s = narrow_model(GetParam());
  Runner r(s);
  begin(r);
  gradients(r, 1);
  r.step();
  DeviceValue<float> found_inf(s.backend, 0.0f), loss_scale(s.backend, 1.0f);
  r.args().found_inf = found_inf.pointer();
  r.args().loss_scale_pointer = loss_scale.pointer();
  r.args().max_grad_norm = 0.0;
  auto expect_skipped = [&](swd_result result) {
    Stored before = stored(r);
    r.step();
    EXPECT_EQ(r.stats().result, result) << swd_result_name(r.stats().result);
    EXPECT_TRUE(stored(r) == before) << swd_result_name(result);
  };
  for (const Row& row :
       {Row{SWD_RESULT_SKIPPED_NONFINITE, 1.0f, 1.0f, 1.0}, Row{SWD_RESULT_SKIPPED_NONFINITE, 0.0f, 1.0f, 1.0, NAN},
        Row{SWD_RESULT_SKIPPED_OVERFLOW, 0.0f, 1.0f, 0x1p100}, Row{SWD_RESULT_SKIPPED_UNDERFLOW, 0.0f, 0x1.8p127f, 1.0},
        Row{SWD_RESULT_SKIPPED_INVALID, 0.0f, 0.0f, 1.0}, Row{SWD_RESULT_SKIPPED_INVALID, 0.0f, NAN, 1.0}}) {
    found_inf.set(row.found_inf);
    loss_scale.set(row.loss_scale);
    gradients(r, 2, row.factor, row.last);
    expect_skipped(row.result);
  }
  found_inf.set(0.0f);
  loss_scale.set(1.0f);
  gradients(r, 2);
  swd_segment_state good = r.segment_state(2), bad = good;
  bad.exp_avg_sq_sum = -1.0;
  r.set_segment_state(2, bad);
  expect_skipped(SWD_RESULT_SKIPPED_SUM_UNKNOWN);
  bad.exp_avg_sq_sum = INFINITY;
  r.set_segment_state(2, bad);
  expect_skipped(SWD_RESULT_SKIPPED_VBAR);
  for (double unit : {0.25, 1.5, -1.0, std::nan("")}) {
    bad = good;
    bad.exp_avg_sq_unit = unit;
    r.set_segment_state(2, bad);
    expect_skipped(SWD_RESULT_SKIPPED_INVALID);
  }
  r.set_segment_state(2, good);
  Stored before = stored(r);
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
  EXPECT_EQ(r.stats().result, SWD_RESULT_NOT_ARMED);
  EXPECT_TRUE(stored(r) == before);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  EXPECT_FALSE(stored(r) == before);
}

}  // namespace
}  // namespace swd::test
