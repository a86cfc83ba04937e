// SPDX-License-Identifier: Apache-2.0
// Every code of a 16-bit gradient, and every power of two of an fp32 one, from several states, against a long-double
// step; under the CUDA backend also against the CPU backend, to the bit.
#include <cmath>

#include "support/one_element.h"
#include "support/runner.h"

namespace swd::test {
namespace {

constexpr int64_t kCodes = 65536;

struct StatePoint {
  float p, m, v;
};
const StatePoint kPoints[] = {
    {1.0f, 0.0f, 0.0f},     {-0.75f, 0.5f, 0.25f},    {3e-3f, -1e-20f, 1e-37f},   {1e-40f, -2.0f, 1e-30f},
    {-1e30f, 1e15f, 1e30f}, {0.0f, FLT_MIN, FLT_MIN}, {-0.0f, -1e-38f, 0x1p126f}, {0x1p-149f, 0x1p-149f, 0x1p-149f},
};

// All the values of a dtype's codes; those that `keep` refuses are replaced by zero.
template <class Keep>
std::vector<float> values(swd_dtype dtype, const Keep& keep) {
  std::vector<float> out;
  for (int64_t code = 0; code < kCodes; ++code) {
    float x = code_value(dtype, static_cast<uint16_t>(code));
    out.push_back(keep(x) ? x : 0.0f);
  }
  return out;
}

// One segment a state point, each with all gradients.
RunSetup setup(swd_backend backend, swd_dtype dtype, int64_t count, size_t points) {
  RunSetup s;
  s.backend = backend;
  s.grad = dtype;
  s.counts.assign(points, count);
  s.decay = {SWD_DECAY_DECOUPLED};
  s.groups = {{1e-3, 0.9, 0.999, 1e-8, 1e-2, nullptr, 0.0}};
  return s;
}

void start(Runner& r, const std::vector<float>& grad) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    r.set(SWD_BUFFER_PARAM, k, std::vector<float>(grad.size(), kPoints[k].p));
    r.set(SWD_BUFFER_EXP_AVG, k, std::vector<float>(grad.size(), kPoints[k].m));
    r.set(SWD_BUFFER_EXP_AVG_SQ, k, std::vector<float>(grad.size(), kPoints[k].v));
    r.set(SWD_BUFFER_GRAD, k, grad);
  }
}

void expect_close(Runner& r, const std::vector<float>& grad, double loss_scale) {
  ElementSetup element;
  element.group = r.setup().groups[0];
  element.scale = 1.0L / static_cast<long double>(loss_scale);
  element.decay = static_cast<long double>(element.group.lr) * static_cast<long double>(element.group.weight_decay);
  Distance worst{0.0, 0.0, 0.0};
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> p = r.get(SWD_BUFFER_PARAM, k), m = r.get(SWD_BUFFER_EXP_AVG, k),
                       v = r.get(SWD_BUFFER_EXP_AVG_SQ, k);
    const StatePoint& before = kPoints[k];
    for (size_t i = 0; i < grad.size(); ++i) {
      Distance d = distance(element, grad[i], {before.p, before.m, before.v}, {p[i], m[i], v[i]});
      // !(x <= y), so that NaN does not pass.
      if (!(d.m <= 3.0) || !(d.v <= 3.0) || !(d.p <= 4.0)) {
        ADD_FAILURE() << "state " << k << ", gradient " << grad[i] << ": " << d.m << ", " << d.v << ", " << d.p
                      << " ulp";
        return;
      }
      worst = {std::max(worst.m, d.m), std::max(worst.v, d.v), std::max(worst.p, d.p)};
    }
  }
  printf("largest distances in ulp: exp_avg %.2f, exp_avg_sq %.2f, param %.2f\n", worst.m, worst.v, worst.p);
}

void check(swd_dtype dtype, const std::vector<float>& grad, double loss_scale) {
  // Under a simulated device each element costs microseconds.
  size_t points = scaled<size_t>(8, 4);
  Runner r(setup(backend_under_test(), dtype, static_cast<int64_t>(grad.size()), points));
  start(r, grad);
  r.args().loss_scale = loss_scale;
  r.step();
  ASSERT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  expect_close(r, grad, loss_scale);
  if (backend_under_test() == SWD_BACKEND_CPU) return;
  Runner cpu(setup(SWD_BACKEND_CPU, dtype, static_cast<int64_t>(grad.size()), points));
  start(cpu, grad);
  cpu.args().loss_scale = loss_scale;
  cpu.step();
  EXPECT_TRUE(cpu.bytes() == r.bytes()) << "CPU and CUDA differ";
}

class GradientCodes : public ::testing::TestWithParam<swd_dtype> {};

TEST_P(GradientCodes, FiniteCodesThatAStepCanTakeAsTheyAre) {
  check(GetParam(), values(GetParam(), [](float x) { return std::fabs(x) <= 0x1p50f; }), 1.0);
}

// Squares of these overflow fp32, so the step takes them through a loss scale.
TEST_P(GradientCodes, FiniteCodesThatNeedALossScale) {
  check(GetParam(), values(GetParam(), [](float x) { return std::isfinite(x); }), 0x1p80);
}

// With beta 0 the first moment is the gradient itself: the conversion is exact, but for what counts as zero.
TEST_P(GradientCodes, AreConvertedExactly) {
  std::vector<float> grad = values(GetParam(), [](float x) { return std::fabs(x) <= 0x1p50f; });
  RunSetup s = setup(backend_under_test(), GetParam(), kCodes, 1);
  s.groups[0].beta1 = s.groups[0].beta2 = 0.0;
  Runner r(s);
  start(r, grad);
  r.step();
  for (float& x : grad) x = std::fabs(x) < FLT_MIN ? 0.0f : x;
  EXPECT_TRUE(r.get(SWD_BUFFER_EXP_AVG, 0) == grad);
}

TEST_P(GradientCodes, EveryNonFiniteCodeIsCounted) {
  std::vector<float> all = values(GetParam(), [](float) { return true; });
  Runner r(setup(backend_under_test(), GetParam(), kCodes, 1));
  start(r, all);
  std::vector<uint8_t> codes(2 * kCodes), before;
  for (size_t code = 0; code < kCodes; ++code) {  // themselves, not what rounding makes of a NaN
    codes[2 * code] = static_cast<uint8_t>(code);
    codes[2 * code + 1] = static_cast<uint8_t>(code >> 8);
  }
  r.set_bytes(SWD_BUFFER_GRAD, codes);
  before = r.bytes();
  before[8] = 1;  // steps_skipped
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_NONFINITE);
  EXPECT_EQ(r.stats().bad, GetParam() == SWD_DTYPE_BF16 ? 256.0 : 2048.0);
  EXPECT_TRUE(r.bytes() == before);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, GradientCodes, ::testing::Values(SWD_DTYPE_BF16, SWD_DTYPE_F16),
                         [](const auto& info) { return info.param == SWD_DTYPE_BF16 ? "bf16" : "fp16"; });

// From the smallest denormal to FLT_MAX, both signs, and the neighbours of each power of two.
TEST(GradientCodesF32, EveryBinade) {
  std::vector<float> grad{0.0f, -0.0f, FLT_MAX, -FLT_MAX};
  for (int exponent = -149; exponent <= 127; ++exponent) {
    float x = std::ldexp(1.0f, exponent);
    for (float y : {x, -x, std::nextafter(x, 0.0f), std::nextafter(x, INFINITY), 1.5f * x}) grad.push_back(y);
  }
  std::vector<float> small;
  for (float x : grad) small.push_back(std::fabs(x) <= 0x1p50f ? x : 0.0f);
  check(SWD_DTYPE_F32, small, 1.0);
  check(SWD_DTYPE_F32, grad, 0x1p80);
  check(SWD_DTYPE_F32, grad, 0x1p120);
}

}  // namespace
}  // namespace swd::test
