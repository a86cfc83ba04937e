// SPDX-License-Identifier: Apache-2.0
// Pass 2 on CUDA has a short form for parts with block8 moments in their usual case (block8_part.cuh). Here are blocks
// at both sides of each border of that case, and far outside: scales, gradients and constants from end to end of their
// range, zeros, what is not finite. The CPU, which has one form for all, says what is right.
#include <cmath>

#include "support/narrow.h"

namespace swd::test {
namespace {

constexpr size_t kBlock = 128;

// Block bytes. Of exp_avg, borders at 57 (its least code is 2^-97) and 207 (its largest is below 2^80); of exp_avg_sq
// at 68 and 151 (2^24).
const std::vector<uint8_t> kFirst = {28, 40, 56, 57, 58, 80, 110, 130, 206, 207, 208, 240, 254, 255};
const std::vector<uint8_t> kSecond = {32, 48, 66, 67, 68, 69, 90, 120, 149, 150, 151, 152, 200, 254, 255};
// Gradients, as powers of two, all of a block of that order; -200: all zero.
const std::vector<int> kGradient = {-200, -110, -48, -10, 0, 16, 17, 18, 60, 127};

struct Blocks {
  std::vector<uint8_t> first_scales, second_scales, first, second;
  std::vector<float> gradients;
};

// Every pair of scales, with gradients in turn; in each eighth block one code is 0, in each ninth all codes are small,
// in each seventh all are the largest, which no step writes where the scale says that nothing is finite; in each fifth
// a few gradients leave the others 60 octaves behind, so that their codes end below the least one.
Blocks blocks() {
  Blocks out;
  size_t block = 0;
  for (uint8_t first : kFirst) {
    for (uint8_t second : kSecond) {
      for (int turn = 0; turn < 2; ++turn, ++block) {
        out.first_scales.push_back(first);
        out.second_scales.push_back(second);
        int power = kGradient[(block * 7 + static_cast<size_t>(turn) * 3) % kGradient.size()];
        for (size_t i = 0; i < kBlock; ++i) {
          uint64_t random = mix(block * kBlock + i);
          bool small = block % 9 == 1, large = block % 7 == 2, zero = block % 8 == 5 && i == random % kBlock;
          uint64_t m = large ? 127 : random % (small ? 3 : 127) + 1,
                   v = large ? 255 : (random >> 8) % (small ? 3 : 255) + 1;
          out.first.push_back(static_cast<uint8_t>((zero && block % 16 == 5 ? 0 : m) | (random >> 20 & 1) << 7));
          out.second.push_back(static_cast<uint8_t>(zero && block % 16 != 5 ? 0 : v));
          float g =
              power == -200 ? 0.0f : std::ldexp(1.0f + static_cast<float>(random >> 40 & 0xFFFF) * 0x1p-16f, power);
          if (block % 5 == 3 && i % 41 != 0) g = std::ldexp(g, -60);
          out.gradients.push_back(random >> 21 & 1 ? -g : g);
        }
      }
    }
  }
  for (size_t i = 3 * kBlock; i < 12 * kBlock; i += 3 * kBlock) out.gradients[i] = i % 2 == 0 ? INFINITY : NAN;
  return out;
}

std::vector<uint8_t> run(const NarrowFormat& format, const swd_group& group, swd_backend backend) {
  const Blocks in = blocks();
  RunSetup setup;
  setup.counts = {static_cast<int64_t>(in.first.size())};
  setup.groups = {group};
  setup.decay = {SWD_DECAY_DECOUPLED};
  setup.seed = 5;
  setup.backend = backend;
  Runner r(format.in(setup));
  std::vector<float> params = uniform(7, 0, setup.counts[0]);
  for (size_t i = 0; i < params.size(); ++i) {
    if (i / kBlock % 2 == 0) params[i] = 0.0f;  // there each bit of the step is seen
  }
  r.set(SWD_BUFFER_PARAM, 0, params);
  r.set_stored(SWD_BUFFER_EXP_AVG, 0, in.first);
  r.set_stored(SWD_BUFFER_EXP_AVG_SQ, 0, in.second);
  r.set_stored(SWD_BUFFER_EXP_AVG_SCALE, 0, in.first_scales);
  r.set_stored(SWD_BUFFER_EXP_AVG_SQ_SCALE, 0, in.second_scales);
  r.set(SWD_BUFFER_GRAD, 0, in.gradients);
  r.args().flags = SWD_STEP_SKIP_NORM | SWD_STEP_PROPAGATE;
  std::vector<uint8_t> out;
  for (int t = 0; t < 2; ++t) {  // both are looked at: what becomes infinite is NaN a step later
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
    std::vector<uint8_t> bytes = r.bytes();
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

void expect_equal(const char* what, const swd_group& group) {
  ASSERT_EQ(backend_under_test(), SWD_BACKEND_CUDA);
  for (const NarrowFormat& format : narrow_formats()) {
    // Of fp32 parameters the payload of a NaN is nobody's promise.
    if (format.moment != SWD_DTYPE_BLOCK8 || format.param == SWD_DTYPE_F32 || format.grad == SWD_DTYPE_BF16) continue;
    EXPECT_TRUE(run(format, group, SWD_BACKEND_CPU) == run(format, group, SWD_BACKEND_CUDA)) << what << format.name;
  }
}

swd_group group(double beta2, double eps) { return {1.0, 0.9, beta2, eps, 1e-2, nullptr, 0.0}; }

TEST(CudaBlock8Usual, Blocks) { expect_equal("", group(0.999, 1e-8)); }

// eps has its border at 2^20. The last one has no normal reciprocal.
TEST(CudaBlock8Usual, Eps) {
  for (double eps : {1e-30, 0x1p20, 0x1.000002p20, 0x1.8p126}) expect_equal("eps ", group(0.999, eps));
}

// The correction of the root has its border at 2^12, which is a beta2 of 1 - 2^-24.
TEST(CudaBlock8Usual, Corrections) {
  for (double distance : {0x1p-24, 0x1p-25, 0x1p-52}) expect_equal("beta2 ", group(1.0 - distance, 1e-8));
}

TEST(CudaBlock8Usual, Betas) {
  for (double beta2 : {0.5, 0.4999}) expect_equal("beta2 ", group(beta2, 1e-8));
}

}  // namespace
}  // namespace swd::test
