// SPDX-License-Identifier: Apache-2.0
// The bits that codes are rounded by: known answers, and a battery of statistics over indices, steps, seeds and input
// bits, which a weak generator fails by far. 2^18 samples each, or 2^22 in the long tier (scripts/accuracy.sh).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/block8.h"
#include "kernels/rounding.h"
#include "kernels/split.h"
#include "support/figure.h"
#include "support/long_tier.h"
#include "support/numbers.h"

namespace swd::test {
namespace {

int64_t samples() { return int64_t{1} << (long_tier() ? 22 : 18); }

// 64 bits of an element: the words a and b of rounding_bits.
struct Ours {
  static uint64_t word(uint64_t seed, int64_t step, uint64_t index) {
    RoundingBits bits =
        rounding_bits(rounding_key(seed, step), static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32));
    return static_cast<uint64_t>(bits.a) << 32 | bits.b;
  }
};

// One multiplication: what the battery has to refuse.
struct Weak {
  static uint64_t word(uint64_t seed, int64_t step, uint64_t index) {
    uint32_t x = (static_cast<uint32_t>(index) ^ static_cast<uint32_t>(splitmix64(seed + static_cast<uint64_t>(step))));
    x *= 0x9E3779B1u;
    return static_cast<uint64_t>(x) << 32 | x * 0x85EBCA6Bu;
  }
};

// How far a statistic is from what independent fair bits give, in standard deviations. Some 9,000 are looked at, of
// which fair ones exceed 5.5 once in 3,000 batteries.
constexpr double kBound = 5.5;
constexpr int kTimeSteps = 1 << 12;

double fair(double ones, double n) { return (ones - n / 2) / std::sqrt(n / 4); }

double chi_square(const std::vector<uint32_t>& cells, double n) {
  double expected = n / static_cast<double>(cells.size()), sum = 0.0, freedom = static_cast<double>(cells.size()) - 1;
  for (uint32_t count : cells) sum += (count - expected) * (count - expected) / expected;
  return (sum - freedom) / std::sqrt(2 * freedom);
}

double centred(uint64_t word) { return static_cast<double>(word >> 32) * 0x1p-32 - 0.5; }

template <class Bits>
void bias_of_each_bit(Figure& f) {
  const int64_t n = samples();
  std::vector<int64_t> ones(64);
  for (int64_t i = 0; i < n; ++i) {
    uint64_t word = Bits::word(1, 1000, static_cast<uint64_t>(i));
    for (size_t bit = 0; bit < 64; ++bit) ones[bit] += static_cast<int64_t>(word >> bit & 1u);
  }
  for (int64_t count : ones) f.add(std::fabs(fair(static_cast<double>(count), static_cast<double>(n))));
}

// The fields that are used together, and pairs: neighbours in index, in step and in seed, halves of one word.
template <class Bits>
void chi_squares(Figure& f) {
  const int64_t n = samples();
  std::vector<std::vector<uint32_t>> cells(8, std::vector<uint32_t>(65536));
  auto bytes = [](uint64_t x, uint64_t y) { return static_cast<size_t>((x & 0xFFu) << 8 | (y & 0xFFu)); };
  for (int64_t i = 0; i < n; ++i) {
    uint64_t index = static_cast<uint64_t>(i), word = Bits::word(1, 1000, index);
    uint64_t next = Bits::word(1, 1000, index + 1), later = Bits::word(1, 1001, index),
             other = Bits::word(2, 1000, index);
    ++cells[0][word >> 48];
    ++cells[1][word >> 16 & 0xFFFFu];
    ++cells[2][bytes(word >> 32, word)];  // a parameter in bf16
    ++cells[3][bytes(word >> 56, word >> 24)];
    if (i % 2 == 0) ++cells[4][bytes(word >> 56, next >> 56)], ++cells[5][bytes(word >> 24, next >> 24)];
    ++cells[6][bytes(word >> 56, later >> 56)];
    ++cells[7][bytes(word >> 56, other >> 56)];
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    f.add(std::fabs(chi_square(cells[i], static_cast<double>(i == 4 || i == 5 ? n / 2 : n))));
  }
}

template <class Bits>
void correlations(Figure& f) {
  const int64_t n = samples();
  std::vector<double> u(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) u[static_cast<size_t>(i)] = centred(Bits::word(1, 1000, static_cast<uint64_t>(i)));
  for (size_t lag : {1u, 2u, 3u, 4u, 8u, 32u, 127u, 128u, 256u, 768u, 4096u}) {
    double sum = 0.0;
    for (size_t i = lag; i < u.size(); ++i) sum += u[i] * u[i - lag];
    f.add(std::fabs(sum * 12 / std::sqrt(static_cast<double>(u.size() - lag))));
  }
  for (uint64_t element = 0; element < 64; ++element) {  // of one element from step to step
    std::vector<uint32_t> cells(256);
    double sum = 0.0, last = 0.0;
    for (int64_t t = 1; t <= kTimeSteps; ++t) {
      uint64_t word = Bits::word(1, t, element * 977);
      ++cells[word >> 56];
      sum += centred(word) * last;
      last = centred(word);
    }
    f.add(std::fabs(chi_square(cells, kTimeSteps)));
    f.add(std::fabs(sum * 12 / std::sqrt(kTimeSteps - 1.0)));
  }
}

// Sums of 1,024 coins of probability 1/64 vary as independent ones do.
template <class Bits>
void coins(Figure& f) {
  const int64_t blocks = samples() / 1024;
  double squares = 0.0;
  for (int64_t block = 0; block < blocks; ++block) {
    double heads = 0.0;
    for (int64_t i = 0; i < 1024; ++i) {
      heads += Bits::word(1, 1000, static_cast<uint64_t>(block * 1024 + i)) >> 58 == 0 ? 1.0 : 0.0;
    }
    squares += (heads - 16.0) * (heads - 16.0);
  }
  double variance = 16.0 * 63 / 64, n = static_cast<double>(blocks);
  f.add(std::fabs(squares / n / variance - 1.0) * std::sqrt(n / 2));
}

// Each bit of index, step and seed flips each bit of the word in half of the cases.
template <class Bits>
void avalanche(Figure& f) {
  const int64_t n = samples() / 128;
  for (int input = 0; input < 128; ++input) {
    std::vector<int64_t> flips(64);
    for (int64_t i = 0; i < n; ++i) {
      uint64_t index = static_cast<uint64_t>(i) * 7919, seed = 1, flip = uint64_t{1} << (input % 64);
      int64_t step = 1000 + i;
      uint64_t before = Bits::word(seed, step, index);
      uint64_t change =
          before ^ (input < 64 ? Bits::word(seed, step, index ^ flip) : Bits::word(seed ^ flip, step, index));
      for (size_t bit = 0; bit < 64; ++bit) flips[bit] += static_cast<int64_t>(change >> bit & 1u);
    }
    for (int64_t count : flips) f.add(std::fabs(fair(static_cast<double>(count), static_cast<double>(n))));
  }
}

template <class Bits>
std::vector<Figure> battery() {
  std::vector<Figure> out;
  const std::pair<const char*, void (*)(Figure&)> parts[] = {{"bias of each bit", bias_of_each_bit<Bits>},
                                                             {"chi-square of fields and pairs", chi_squares<Bits>},
                                                             {"correlations", correlations<Bits>},
                                                             {"variance of coins", coins<Bits>},
                                                             {"avalanche", avalanche<Bits>}};
  for (const auto& [name, part] : parts) {
    out.emplace_back(std::string(name) + ", standard deviations", kBound);
    part(out.back());
  }
  return out;
}

TEST(RoundingBits, PassTheBattery) {
  for (const Figure& figure : battery<Ours>()) figure.check();
}

TEST(RoundingBits, TheBatteryRefusesAWeakGenerator) {
  double worst = 0.0;
  for (const Figure& figure : battery<Weak>()) worst = std::max(worst, figure.worst());
  EXPECT_GT(worst, 100.0);
}

// Of the golden files' generator, and computed by a program of its own from docs/numerics.md.
TEST(RoundingBits, KnownAnswers) {
  EXPECT_EQ(splitmix64(0), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(splitmix64(1234567), 6457827717110365317u);
  for (uint64_t x : {uint64_t{1}, uint64_t{42}, UINT64_MAX}) EXPECT_EQ(splitmix64(x), mix(x));
  const struct {
    uint64_t seed;
    int64_t step;
    uint64_t index;
    uint32_t low, high, a, b;
  } rows[] = {
      {0, 1, 0, 0x7439611Eu, 0x5E41AB08u, 0x04B86759u, 0x021476A5u},
      {0, 1, 1, 0x7439611Eu, 0x5E41AB08u, 0x8C1D9452u, 0x5F30C624u},
      {0, 2, 0, 0x0FD784B4u, 0x64684C4Fu, 0x7301CA2Bu, 0xE66A0682u},
      {1, 1, 0, 0xD65AF21Eu, 0xE9FD6049u, 0x43871468u, 0x54B40F7Bu},
      {0x0123456789ABCDEFu, 1000, 123456789, 0x0CBEAC8Eu, 0xEE3EA131u, 0xF6B13A53u, 0x7B86C0F3u},
      {UINT64_MAX, (INT64_C(1) << 53) + 1, (UINT64_C(1) << 32) + 17, 0x86C112D7u, 0x8622AD57u, 0x8E1B051Au,
       0xF8542AE4u},
      {42, 7, (UINT64_C(1) << 62) + 5, 0xDF268FBCu, 0x6EAB8625u, 0x132FF248u, 0xE3C25CFBu},
  };
  for (const auto& row : rows) {
    RoundingKey key = rounding_key(row.seed, row.step);
    RoundingBits bits = rounding_bits(key, static_cast<uint32_t>(row.index), static_cast<uint32_t>(row.index >> 32));
    EXPECT_EQ(key.low, row.low);
    EXPECT_EQ(key.high, row.high);
    EXPECT_EQ(bits.a, row.a);
    EXPECT_EQ(bits.b, row.b);
  }
}

}  // namespace
}  // namespace swd::test
