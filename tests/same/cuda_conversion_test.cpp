// SPDX-License-Identifier: Apache-2.0
// 16-bit conversions on the device against the host's: every code of a gradient, and parameters around every place
// where rounding to a copy turns.
#include <cmath>

#include "support/runner.h"

namespace swd::test {
namespace {

class ConversionTest : public ::testing::TestWithParam<swd_dtype> {};

// Every finite code as a gradient: exp_avg becomes a tenth of it.
TEST_P(ConversionTest, EveryGradientCode) {
  std::vector<float> values;
  for (uint32_t code = 0; code < 0x10000u; ++code) {
    float value = code_value(GetParam(), static_cast<uint16_t>(code));
    if (std::isfinite(value) && std::fabs(value) < 1e14f) values.push_back(value);
  }
  EXPECT_GT(values.size(), 40000u);
  std::vector<float> result[2];
  for (swd_backend backend : {SWD_BACKEND_CPU, SWD_BACKEND_CUDA}) {
    RunSetup setup;
    setup.backend = backend;
    setup.grad = GetParam();
    setup.counts = {static_cast<int64_t>(values.size())};
    Runner runner(setup);
    runner.set(SWD_BUFFER_GRAD, 0, values);
    runner.step();
    EXPECT_EQ(runner.stats().result, SWD_RESULT_APPLIED);
    result[backend == SWD_BACKEND_CUDA] = runner.get(SWD_BUFFER_EXP_AVG, 0);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(bits_of(result[0][i]), bits_of(result[1][i])) << "gradient " << values[i];
    ASSERT_TRUE(result[1][i] != 0.0f || std::fabs(values[i]) < 1e-36f) << "gradient " << values[i];
  }
}

// With lr = 0 the parameters stay, and the copy is their rounding.
TEST_P(ConversionTest, EveryTurningPointOfACopy) {
  std::vector<float> values = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 65504.0f, 65519.99f, 65520.0f, 3.4e38f};
  for (uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (uint32_t mantissa : {0u, 1u, 0x7FFFFFu}) values.push_back(float_of(exponent << 23 | mantissa));
    for (uint32_t bit = 0; bit < 23; ++bit) {
      for (uint32_t around : {(1u << bit) - 1u, 1u << bit, (1u << bit) + 1u, 3u << bit, (3u << bit) - 1u}) {
        values.push_back(float_of((bit % 2) << 31 | exponent << 23 | (around & 0x7FFFFFu)));
      }
    }
  }
  std::vector<uint16_t> result[2];
  for (swd_backend backend : {SWD_BACKEND_CPU, SWD_BACKEND_CUDA}) {
    RunSetup setup;
    setup.backend = backend;
    setup.copy = GetParam();
    setup.decay = {SWD_DECAY_NONE};
    setup.groups[0].lr = 0.0;
    setup.counts = {static_cast<int64_t>(values.size())};
    Runner runner(setup);
    runner.set(SWD_BUFFER_PARAM, 0, values);
    runner.set(SWD_BUFFER_GRAD, 0, std::vector<float>(values.size(), 1.0f));
    runner.step();
    EXPECT_EQ(runner.stats().result, SWD_RESULT_APPLIED);
    result[backend == SWD_BACKEND_CUDA] = runner.get_codes(SWD_BUFFER_PARAM_COPY, 0);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(result[0][i], result[1][i]) << "parameter " << values[i] << ", bits " << std::hex << bits_of(values[i]);
    if (!std::isnan(values[i]))
      ASSERT_EQ(result[1][i], nearest_code(GetParam(), values[i])) << "parameter " << values[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ConversionTest, ::testing::Values(SWD_DTYPE_BF16, SWD_DTYPE_F16),
                         [](const auto& info) { return info.param == SWD_DTYPE_BF16 ? "bf16" : "f16"; });

}  // namespace
}  // namespace swd::test
