// SPDX-License-Identifier: Apache-2.0
// The 8-bit codes of moments: every code and block byte, and magnitudes through all octaves. In the long tier
// (scripts/accuracy.sh) every magnitude of an octave, otherwise one in 1,009.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/block8.h"
#include "support/figure.h"
#include "support/long_tier.h"
#include "support/numbers.h"

namespace swd::test {
namespace {

// What the two moments differ in.
struct First {
  static constexpr int kBits = kFirstBits;
  static constexpr uint32_t kTop = 127, kNearest = kNearestHalf, kMost = 0xFFFF;
  static BlockScale scale(uint32_t byte) { return block_scale<kBits>(byte); }
  static float decode(uint32_t code, uint32_t byte) { return decode_first(static_cast<uint8_t>(code), scale(byte)); }
  static uint32_t encode(float x, uint32_t byte, uint32_t r) { return encode_first(x, scale(byte), r); }
};
struct Second {
  static constexpr int kBits = kSecondBits;
  static constexpr uint32_t kTop = 255, kNearest = kNearestHalf / 2, kMost = 0x7FFF;
  static BlockScale scale(uint32_t byte) { return block_scale<kBits>(byte); }
  static float decode(uint32_t code, uint32_t byte) { return decode_second(static_cast<uint8_t>(code), scale(byte)); }
  static uint32_t encode(float x, uint32_t byte, uint32_t r) { return encode_second(x, scale(byte), r); }
};

constexpr uint32_t kLargestByte = 254;
uint32_t step_of_tier() { return long_tier() ? 1 : 1009; }

template <class Moment>
class Block8Test : public ::testing::Test {
 protected:
  static constexpr uint32_t kLeastByte = 4 * Moment::kBits;
};
using Moments = ::testing::Types<First, Second>;
TYPED_TEST_SUITE(Block8Test, Moments);

TYPED_TEST(Block8Test, EveryCodeSurvivesAnyRandomBits) {
  Dice dice(5);
  uint64_t broken = 0, codes = 0;
  for (uint32_t byte = this->kLeastByte; byte <= kLargestByte; ++byte) {
    float below = 0.0f;
    for (uint32_t code = 1; code <= TypeParam::kTop; ++code, ++codes) {
      float x = TypeParam::decode(code, byte);
      broken += !(x > below && x >= FLT_MIN && x <= FLT_MAX);  // ascending, and never a denormal
      below = x;
      uint32_t any = static_cast<uint32_t>(dice.bits()) & TypeParam::kMost;
      for (uint32_t r : {0u, any, TypeParam::kNearest, TypeParam::kMost}) {
        broken += TypeParam::encode(x, byte, r) != code;
        if (TypeParam::kBits != kFirstBits) continue;
        broken += TypeParam::encode(-x, byte, r) != (code | 0x80u) || TypeParam::decode(code | 0x80u, byte) != -x;
      }
    }
  }
  EXPECT_EQ(broken, 0u);
  EXPECT_EQ(codes, TypeParam::kTop * (kLargestByte - this->kLeastByte + 1));
}

TYPED_TEST(Block8Test, ZeroStaysZeroAndHasOneCode) {
  for (uint32_t byte = this->kLeastByte; byte <= kLargestByte; ++byte) {
    for (uint32_t r = 0; r <= TypeParam::kMost; r += byte == this->kLeastByte ? 1 : 13) {
      ASSERT_EQ(TypeParam::encode(0.0f, byte, r), 0u) << byte << " " << r;
      ASSERT_EQ(TypeParam::encode(-0.0f, byte, r), 0u) << byte << " " << r;
    }
    ASSERT_EQ(bits_of(TypeParam::decode(0, byte)), 0u);
  }
  EXPECT_EQ(bits_of(decode_first(0x80, block_scale<kFirstBits>(130))), 0u);
  EXPECT_EQ(encode_first(-FLT_MIN, block_scale<kFirstBits>(250), 0), 0u) << "what rounds to zero loses its sign";
}

// The largest magnitudes that have a block byte do not get past the largest code, whatever the bits.
TYPED_TEST(Block8Test, NothingOverflows) {
  for (uint32_t byte = this->kLeastByte; byte <= kLargestByte; ++byte) {
    uint32_t first_of_next = ((byte + 1) << 23) - (1u << (26 - TypeParam::kBits)) + 8;
    uint32_t top = bits_of(TypeParam::decode(TypeParam::kTop, byte));
    ASSERT_EQ(block_byte<TypeParam::kBits>(top), byte) << "a block keeps its byte";
    ASSERT_EQ(first_of_next - top, 8u);
    ASSERT_EQ(block_byte<TypeParam::kBits>(first_of_next), byte == kLargestByte ? kNotFiniteBlock : byte + 1);
    for (uint32_t below = 1; below <= 40; ++below) {
      uint32_t bits = first_of_next - below;
      ASSERT_EQ(block_byte<TypeParam::kBits>(bits), byte);
      for (uint32_t r : {0u, TypeParam::kNearest, TypeParam::kMost}) {
        uint32_t code = TypeParam::encode(float_of(bits), byte, r);
        ASSERT_TRUE(code == TypeParam::kTop || (below > 8 && code == TypeParam::kTop - 1)) << byte << " " << r;
      }
    }
  }
}

// With the same bits a larger number never gets a smaller code, and each is one of the two codes around it.
TYPED_TEST(Block8Test, MonotoneAndNextToTheNumber) {
  Dice dice(7);
  uint64_t broken = 0;
  for (uint32_t byte : {this->kLeastByte, this->kLeastByte + 33u, 150u, kLargestByte}) {
    for (uint32_t r : {0u, static_cast<uint32_t>(dice.bits()) & TypeParam::kMost, TypeParam::kMost}) {
      uint32_t last = 0, lowest = byte > 40 ? (byte - 40) << 23 : 0x00800000u;
      for (uint32_t bits = lowest; block_byte<TypeParam::kBits>(bits) <= byte; bits += step_of_tier()) {
        float x = float_of(bits);
        uint32_t code = TypeParam::encode(x, byte, r);
        broken += code < last;
        last = code;
        float down = TypeParam::decode(code == 0 ? 0 : code - 1, byte);
        float up = code == TypeParam::kTop ? INFINITY : TypeParam::decode(code + 1, byte);
        broken += !(down < x || code <= 1) || !(x < up);
      }
    }
  }
  EXPECT_EQ(broken, 0u);
}

TEST(Block8, ASecondMomentAboveZeroIsNeverStoredAsZero) {
  Dice dice(9);
  for (uint32_t byte = 32; byte <= kLargestByte; ++byte) {
    for (uint32_t exponent = 1; exponent <= byte; ++exponent) {
      for (uint32_t fraction : {0u, static_cast<uint32_t>(dice.below(1 << 23)), 0x7FFFFFu}) {
        float w = float_of(exponent << 23 | fraction);
        if (block_byte<kSecondBits>(bits_of(w)) > byte) continue;
        uint32_t code = encode_second(w, block_scale<kSecondBits>(byte), 0);
        ASSERT_NE(code, 0u) << w << " in block " << byte;
        if (exponent + 32 <= byte) ASSERT_EQ(code, 1u) << "raised to the smallest";
      }
    }
  }
}

TYPED_TEST(Block8Test, WhatIsNotFiniteMakesItsBlockNan) {
  for (float bad : {INFINITY, NAN}) EXPECT_EQ(block_byte<TypeParam::kBits>(bits_of(bad)), kNotFiniteBlock);
  for (uint32_t code = 0; code <= 255; ++code) {
    EXPECT_TRUE(std::isnan(TypeParam::decode(code, kNotFiniteBlock)));
    float x = TypeParam::decode(code, 100);
    EXPECT_EQ(TypeParam::encode(x, kNotFiniteBlock, TypeParam::kMost), 0u);
  }
  for (float bad : {INFINITY, -INFINITY, NAN}) EXPECT_EQ(TypeParam::encode(bad, kNotFiniteBlock, 0), 0u);
}

TYPED_TEST(Block8Test, ABlockOfZerosHasTheLeastByte) {
  EXPECT_EQ(block_byte<TypeParam::kBits>(0), this->kLeastByte);
  EXPECT_EQ(block_byte<TypeParam::kBits>(bits_of(FLT_MIN)), this->kLeastByte);
  EXPECT_EQ(block_byte<TypeParam::kBits>(127u << 23), 127u);
}

// Where a block's largest magnitude leaves its octave, its codes are written anew.
TYPED_TEST(Block8Test, ABlockByteThatMovesKeepsMostCodes) {
  Figure risen("codes that change as the block byte rises", 0.15);
  for (uint32_t byte = this->kLeastByte + 1; byte < kLargestByte; ++byte) {
    uint32_t changed_down = 0, changed_up = 0;
    for (uint32_t code = 1; code <= TypeParam::kTop; ++code) {
      float x = TypeParam::decode(code, byte);
      auto moved_to = [&](uint32_t other) {
        return TypeParam::decode(TypeParam::encode(x, other, TypeParam::kNearest), other) != x;
      };
      if (block_byte<TypeParam::kBits>(bits_of(x)) < byte) changed_down += moved_to(byte - 1);
      changed_up += moved_to(byte + 1);
    }
    ASSERT_LE(changed_down, 3u) << byte;
    risen.add(static_cast<double>(changed_up) / TypeParam::kTop);
  }
  risen.check();
}

// Largest error of rounding to nearest, in percent, by octaves below the block's largest magnitude: half a step of as
// many bits as a code has there, which is one less every 4 octaves. With none left it is a whole one.
// As many bits as random ones would have tell which neighbour is the nearer one, so a number just beyond the middle may
// go the other way: 2^-15 or 2^-14 more at most, which only the long tier meets.
TYPED_TEST(Block8Test, ErrorOfNearestByOctave) {
  const uint32_t byte = 150;
  const double half_a_step = 100.0 * (1 + 1.0 / TypeParam::kNearest);
  for (uint32_t group = 0; group < 6; ++group) {
    uint32_t bits_left = TypeParam::kBits - 2 - group;
    Figure figure(std::to_string(TypeParam::kBits) + " bits, octaves from " + std::to_string(4 * group) + ", percent",
                  bits_left == 0 ? half_a_step : half_a_step / ((1 << bits_left) + 1));
    for (uint32_t octave = 4 * group; octave < 4 * group + 4; ++octave) {
      for (uint32_t fraction = 0; fraction < 1u << 23; fraction += step_of_tier()) {
        uint32_t bits = (byte - octave) << 23 | fraction;
        if (block_byte<TypeParam::kBits>(bits) > byte) break;
        float x = float_of(bits), got = TypeParam::decode(TypeParam::encode(x, byte, TypeParam::kNearest), byte);
        figure.add(100.0 * relative_error(static_cast<double>(got), static_cast<double>(x)));
      }
    }
    figure.check();
  }
}

// The mean over all random bits is the number itself, to the digits that one fp32 addition leaves, in the octaves where
// a code's neighbours are equidistant.
TYPED_TEST(Block8Test, RoundingIsUnbiased) {
  Dice dice(11);
  const uint32_t byte = 140, octaves = 4 * (TypeParam::kBits - 2);
  for (int i = 0; i < 60; ++i) {
    uint32_t bits = (byte - static_cast<uint32_t>(dice.below(octaves))) << 23;
    bits |= static_cast<uint32_t>(dice.below((1 << 23) - (1 << 20)));
    float x = float_of(bits);
    double mean = 0.0, largest = 0.0;
    for (uint32_t r = 0; r <= TypeParam::kMost; ++r) {
      double got = static_cast<double>(TypeParam::decode(TypeParam::encode(x, byte, r), byte));
      mean += got / (TypeParam::kMost + 1.0);
      largest = std::max(largest, std::fabs(got - static_cast<double>(x)));
    }
    EXPECT_NEAR(mean, static_cast<double>(x), 2.0 * largest / (TypeParam::kMost + 1.0)) << std::hex << bits;
  }
}

}  // namespace
}  // namespace swd::test
