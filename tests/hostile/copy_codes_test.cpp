// SPDX-License-Identifier: Apache-2.0
// param_copy is the nearest 16-bit number, ties to even: at every code, at every middle between two codes, beside both,
// and for NaN of any payload.
#include <cmath>

#include "support/runner.h"

namespace swd::test {
namespace {

// With a learning rate of 0 parameters stay as they are, and the copy is their rounding.
std::vector<uint16_t> copies_of(swd_dtype copy, const std::vector<float>& x) {
  RunSetup s;
  s.backend = backend_under_test();
  s.copy = copy;
  s.counts = {static_cast<int64_t>(x.size())};
  s.groups[0].lr = 0.0;
  Runner r(s);
  r.set(SWD_BUFFER_PARAM, 0, x);
  r.set(SWD_BUFFER_GRAD, 0, std::vector<float>(x.size()));
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  return r.get_codes(SWD_BUFFER_PARAM_COPY, 0);
}

class CopyCodes : public testing::TestWithParam<swd_dtype> {};

TEST_P(CopyCodes, RoundToNearestEven) {
  const uint16_t infinity = GetParam() == SWD_DTYPE_BF16 ? 0x7F80 : 0x7C00;
  std::vector<float> x;
  for (uint16_t code = 0; code < infinity; code = static_cast<uint16_t>(code + scaled(1, 7))) {
    double here = code_value(GetParam(), code), next = code_value(GetParam(), static_cast<uint16_t>(code + 1));
    if (code + 1 == infinity)
      next = std::ldexp(1.0, GetParam() == SWD_DTYPE_BF16 ? 127 : 16);  // bf16: fp32 holds no more
    float middle = static_cast<float>((here + next) / 2);
    for (float value :
         {static_cast<float>(here), middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)}) {
      x.push_back(value);
      x.push_back(-value);
    }
  }
  x.insert(x.end(), {65504.0f, 65519.9f, 65520.0f, 65535.0f, 65536.0f, 3.4e38f, INFINITY, -INFINITY});
  std::vector<uint16_t> codes = copies_of(GetParam(), x);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(codes[i], nearest_code(GetParam(), x[i])) << x[i];
}

TEST_P(CopyCodes, ANaNStaysOne) {
  std::vector<float> x;
  for (uint32_t bits : {0x7FC00000u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0xFFC00001u, 0x7FFF8000u}) x.push_back(float_of(bits));
  for (uint16_t code : copies_of(GetParam(), x)) EXPECT_TRUE(std::isnan(code_value(GetParam(), code))) << code;
}

INSTANTIATE_TEST_SUITE_P(Both, CopyCodes, testing::Values(SWD_DTYPE_BF16, SWD_DTYPE_F16));

}  // namespace
}  // namespace swd::test
