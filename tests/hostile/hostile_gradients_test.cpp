// SPDX-License-Identifier: Apache-2.0
// NaN and both infinities at each class of position, in each dtype and layout: skipped without a changed byte, or, when
// asked for, applied where they are and nowhere else.
#include <cmath>

#include "support/runner.h"

namespace swd::test {
namespace {

// Segment 1 has two chunks, the second one of 300 elements: 4396.
constexpr size_t kPositions[] = {0, 1, 255, 256, 1000, 2049, 4095, 4096, 4097, 4096 + 255, 4392, 4395};

struct Layout {
  const char* name;
  uint32_t flags;
  uint64_t shift;
  uint32_t gap;
};
constexpr Layout kLayouts[] = {{"flat", 0, 0, 0}, {"misaligned", 0, 1, 3}, {"list", SWD_PLAN_LIST, 1, 1}};

RunSetup setup(swd_dtype dtype, const Layout& layout, swd_decay decay) {
  RunSetup s;
  s.backend = backend_under_test();
  s.grad = dtype;
  s.copy = SWD_DTYPE_BF16;
  s.flags = layout.flags | SWD_PLAN_AMSGRAD;
  s.shift = layout.shift;
  s.gap = layout.gap;
  s.counts = {5, 4396, 1};
  s.decay = {decay};
  s.groups[0].weight_decay = 1e-2;
  return s;
}

std::vector<float> gradient(size_t k, int64_t n) {
  std::vector<float> g = uniform(2, k, n);
  for (float& x : g) x = rounded_to(SWD_DTYPE_BF16, 0.5f * x);  // the same in every dtype
  return g;
}

void start(Runner& r) {
  for (size_t k = 0; k < 3; ++k) {
    r.set(SWD_BUFFER_PARAM, k, uniform(1, k, r.setup().counts[k]));
    r.set(SWD_BUFFER_GRAD, k, gradient(k, r.setup().counts[k]));
  }
  r.step();
}

// The gradient with `value` at one place, or at none.
void place(Runner& r, size_t k, size_t at, float value) {
  std::vector<float> g = gradient(k, r.setup().counts[k]);
  g[at] = value;
  r.set(SWD_BUFFER_GRAD, k, g);
}

std::vector<float> all(Runner& r, int buffer) {
  std::vector<float> out;
  for (size_t k = 0; k < 3; ++k) {
    std::vector<float> x = r.get(buffer, k);
    out.insert(out.end(), x.begin(), x.end());
  }
  return out;
}

class HostileGradients : public ::testing::TestWithParam<std::tuple<swd_dtype, Layout>> {};

TEST_P(HostileGradients, AreSkippedWithoutAChangedByte) {
  auto [dtype, layout] = GetParam();
  Runner r(setup(dtype, layout, SWD_DECAY_SCHEDULED));
  start(r);
  uint64_t skipped = 0;
  auto expect_skipped = [&](double bad) {
    std::vector<uint8_t> before = r.bytes();
    before[8] = static_cast<uint8_t>(++skipped);
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_NONFINITE);
    EXPECT_EQ(r.stats().bad, bad);
    EXPECT_EQ(r.stats().steps_skipped, skipped);
    EXPECT_TRUE(r.bytes() == before);
  };
  std::vector<float> values{std::nanf(""), -INFINITY, INFINITY, -std::nanf("")};
  values.resize(scaled<size_t>(4, 2));  // a simulated device takes 10 ms a step
  for (float value : values) {
    for (size_t at : kPositions) {
      place(r, 1, at, value);
      expect_skipped(1.0);
    }
    place(r, 1, 0, 0.5f);
    for (size_t k : {size_t{0}, size_t{2}}) {  // another segment; its last element
      size_t last = static_cast<size_t>(r.setup().counts[k]) - 1;
      place(r, k, last, value);
      expect_skipped(1.0);
      place(r, k, last, 0.25f);
    }
  }
  // They are counted, opposite infinities do not cancel.
  for (size_t k = 0; k < 3; ++k) place(r, k, 0, k == 1 ? -INFINITY : INFINITY);
  expect_skipped(3.0);
  r.set(SWD_BUFFER_GRAD, 1, std::vector<float>(4396, std::nanf("")));
  expect_skipped(4398.0);
  for (size_t k = 0; k < 3; ++k) r.set(SWD_BUFFER_GRAD, k, gradient(k, r.setup().counts[k]));
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
}

// Without decay or clipping elements do not know each other: NaN stays where it was.
TEST_P(HostileGradients, ArePropagatedOnlyWhereTheyAre) {
  auto [dtype, layout] = GetParam();
  std::vector<float> values{std::nanf(""), -INFINITY, INFINITY};
  values.resize(scaled<size_t>(3, 1));
  for (float value : values) {
    for (size_t at : {size_t{0}, size_t{2049}, size_t{4096}, size_t{4395}}) {
      Runner with(setup(dtype, layout, SWD_DECAY_DECOUPLED)), without(setup(dtype, layout, SWD_DECAY_DECOUPLED));
      start(with);
      start(without);
      place(with, 1, at, value);
      with.args().flags = without.args().flags = SWD_STEP_PROPAGATE;
      with.step();
      without.step();
      EXPECT_EQ(with.stats().result, SWD_RESULT_APPLIED);
      EXPECT_EQ(with.stats().flags & SWD_STATS_NONFINITE, uint32_t{SWD_STATS_NONFINITE});
      EXPECT_EQ(with.stats().bad, 1.0);
      for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ, SWD_BUFFER_MAX_EXP_AVG_SQ}) {
        std::vector<float> a = all(with, buffer), b = all(without, buffer);
        EXPECT_FALSE(std::isfinite(a[5 + at])) << "buffer " << buffer << " at " << at;
        a[5 + at] = b[5 + at] = 0.0f;
        EXPECT_TRUE(memcmp(a.data(), b.data(), 4 * a.size()) == 0) << "buffer " << buffer << " at " << at;
      }
    }
  }
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<swd_dtype, Layout>>& info) {
  const char* dtypes[] = {"none", "f32", "bf16", "f16"};
  return std::string(dtypes[std::get<0>(info.param)]) + "_" + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Everywhere, HostileGradients,
                         ::testing::Combine(::testing::Values(SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16),
                                            ::testing::ValuesIn(kLayouts)),
                         name_of);

// Infinite moments would stay for ever, so a step that could make one is skipped at a stated bound.
TEST(HostileNorms, ABoundOnTheSumOfSquares) {
  for (int64_t count : {1, 4096, 5000}) {
    RunSetup s;
    s.backend = backend_under_test();
    s.counts = {count};
    Runner r(s);
    auto step = [&](float first, double loss_scale) {
      std::vector<float> g(static_cast<size_t>(count));
      g.back() = first;
      r.set(SWD_BUFFER_GRAD, 0, g);
      r.args().loss_scale = loss_scale;
      r.step();
      return r.stats().result;
    };
    EXPECT_EQ(step(0x1p63f, 1.0), SWD_RESULT_APPLIED);  // its square is 2^126
    EXPECT_EQ(step(std::nextafter(0x1p63f, INFINITY), 1.0), SWD_RESULT_SKIPPED_OVERFLOW);
    EXPECT_EQ(step(FLT_MAX, 1.0), SWD_RESULT_SKIPPED_OVERFLOW);
    EXPECT_EQ(step(-FLT_MAX, 0x1p64), SWD_RESULT_SKIPPED_OVERFLOW);
    EXPECT_EQ(step(-FLT_MAX, 0x1p65), SWD_RESULT_APPLIED);
    EXPECT_EQ(r.stats().grad_norm, static_cast<double>(FLT_MAX) * 0x1p-65);
    EXPECT_EQ(step(0x1p-149f, 1.0), SWD_RESULT_APPLIED);  // and the other end
    EXPECT_EQ(r.stats().grad_norm, 0x1p-149);
    EXPECT_EQ(step(0x1p-149f, 0x1p-126), SWD_RESULT_APPLIED);
    EXPECT_EQ(r.stats().grad_norm, 0x1p-23);
    for (float x : r.get(SWD_BUFFER_PARAM, 0)) ASSERT_TRUE(std::isfinite(x));
    for (float x : r.get(SWD_BUFFER_EXP_AVG_SQ, 0)) ASSERT_TRUE(std::isfinite(x));
  }
}

}  // namespace
}  // namespace swd::test
