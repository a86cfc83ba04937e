// SPDX-License-Identifier: Apache-2.0
// Numbers rounded with the bits that steps round with, over many steps: the mean is the number, within 5 of its
// standard errors. 64 numbers and 2^15 steps each, or 2^20 in the long tier (scripts/accuracy.sh).
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/block8.h"
#include "kernels/split.h"
#include "support/figure.h"
#include "support/long_tier.h"
#include "support/numbers.h"

namespace swd::test {
namespace {

constexpr double kBound = 5.0;

// round(x, byte, bits) -> what is read back. x is up to `octaves` below the largest magnitudes of block `byte`.
template <class Round>
void check_bias(const char* name, int octaves, const Round& round) {
  const int64_t steps = int64_t{1} << (long_tier() ? 20 : 15);
  Figure figure(std::string("mean error of ") + name + ", standard errors", kBound);
  Dice dice(13);
  for (int i = 0; i < 64; ++i) {
    const uint32_t byte = 60 + static_cast<uint32_t>(dice.below(120));
    const uint32_t bits = (byte - 1 - static_cast<uint32_t>(dice.below(octaves))) << 23;
    const float x = float_of(bits | static_cast<uint32_t>(dice.below(1 << 23)));
    const uint64_t index = dice.bits() >> 2;
    double sum = 0.0, squares = 0.0;
    for (int64_t t = 1; t <= steps; ++t) {
      RoundingBits random =
          rounding_bits(rounding_key(7, t), static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32));
      double error = (static_cast<double>(round(x, byte, random)) - static_cast<double>(x)) / static_cast<double>(x);
      sum += error;
      squares += error * error;
    }
    // What the codes hold has no error at all.
    if (squares > 0.0) figure.add(std::fabs(sum) / std::sqrt(squares));
  }
  figure.check();
}

TEST(RoundingBias, FirstMomentInEightBits) {
  check_bias("exp_avg in 8 bits", 19, [](float x, uint32_t byte, RoundingBits bits) {
    BlockScale scale = block_scale<kFirstBits>(byte);
    return decode_first(encode_first(x, scale, bits.b >> 16), scale);
  });
}

TEST(RoundingBias, SecondMomentInEightBits) {
  check_bias("exp_avg_sq in 8 bits", 23, [](float x, uint32_t byte, RoundingBits bits) {
    BlockScale scale = block_scale<kSecondBits>(byte);
    return decode_second(encode_second(x, scale, bits.a >> 17), scale);
  });
}

TEST(RoundingBias, MomentsInBf16) {
  check_bias("exp_avg in bf16", 23, [](float x, uint32_t, RoundingBits bits) {
    return float_of(static_cast<uint32_t>(upper_half(x, bits.b >> 16)) << 16);
  });
  check_bias("exp_avg_sq in bf16", 23, [](float x, uint32_t, RoundingBits bits) {
    return float_of(static_cast<uint32_t>(upper_half(x, bits.a >> 16)) << 16);
  });
}

template <int kBits>
float through(float x, RoundingBits bits) {
  SplitWords words = split(Split<kBits>{}, x, param_bits(Split<kBits>{}, bits));
  return join(Split<kBits>{}, words.high, words.low);
}

TEST(RoundingBias, Parameters) {
  check_bias("parameters in 24 bits", 23, [](float x, uint32_t, RoundingBits bits) { return through<8>(x, bits); });
  check_bias("parameters in bf16", 23, [](float x, uint32_t, RoundingBits bits) { return through<0>(x, bits); });
}

// To nearest the same measure sees what is wrong.
TEST(RoundingBias, NearestIsRefused) {
  const float x = 1.0f + 0x1p-12f;
  double sum = 0.0, squares = 0.0;
  for (int t = 0; t < 1000; ++t) {
    double error = static_cast<double>(float_of(static_cast<uint32_t>(upper_half(x, kNearestHalf)) << 16) - x);
    sum += error;
    squares += error * error;
  }
  EXPECT_GT(std::fabs(sum) / std::sqrt(squares), 30.0);
}

}  // namespace
}  // namespace swd::test
