// SPDX-License-Identifier: Apache-2.0
// Parameters split into a bf16 number and 16, 8 or 0 bits more, and moments in bf16: every pattern of fp32 in the long
// tier, 2.9 million of them otherwise, the edges among them. What is counted is the same in both.
#include <gtest/gtest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "kernels/split.h"
#include "support/long_tier.h"
#include "support/numbers.h"

namespace swd::test {
namespace {

bool is_nan(uint32_t bits) { return (bits & 0x7FFFFFFFu) > 0x7F800000u; }
bool is_infinite(uint32_t bits) { return (bits & 0x7FFFFFFFu) == 0x7F800000u; }
uint32_t widened(uint16_t high) { return static_cast<uint32_t>(high) << 16; }
uint32_t magnitude_of(uint32_t bits) { return bits & 0x7FFFFFFFu; }

uint32_t distance(uint32_t a, uint32_t b) {  // of two numbers of one sign, in units in fp32's last place
  uint32_t x = magnitude_of(a), y = magnitude_of(b);
  return x > y ? x - y : y - x;
}

template <int kRemainder>
uint32_t joined(SplitWords words) {
  return float_bits(join(Split<kRemainder>{}, words.high, words.low));
}

struct Counts {
  uint64_t broken16 = 0, broken8 = 0, broken0 = 0;  // promises that do not hold
  uint64_t not_apex = 0;                            // numbers whose halves are not those of Apex and Transformer Engine
  uint64_t apex_hides_nan = 0;                      // theirs, not ours
  uint64_t not_even = 0;                            // visible halves that are not those of ties to even
  uint64_t shown_infinite = 0;                      // finite numbers whose visible half is infinite
  uint64_t became_infinite8 = 0;                    // finite numbers that 24 bits round to infinity
  uint64_t patterns = 0;

  void add(const Counts& other) {
    broken16 += other.broken16, broken8 += other.broken8, broken0 += other.broken0;
    not_apex += other.not_apex, apex_hides_nan += other.apex_hides_nan, not_even += other.not_even;
    shown_infinite += other.shown_infinite, became_infinite8 += other.became_infinite8, patterns += other.patterns;
  }
};

// 16 bits: together exactly fp32, and the visible half is a nearest bf16 number.
void look16(uint32_t u, Counts& c) {
  SplitWords words = split(Split<16>{}, bits_float(u), 0);
  uint32_t visible = widened(words.high), again = joined<16>(words);
  uint16_t apex =
      static_cast<uint16_t>((u >> 16) + (u >> 15 & 1u));  // the upper half, one more if the lower is negative
  if (is_nan(u)) {
    c.broken16 += !is_nan(visible) || !is_nan(again);
    c.apex_hides_nan += !is_nan(widened(apex));
    return;
  }
  c.broken16 += again != u || (visible ^ u) >> 31 != 0 || distance(visible, u) > 0x8000u;
  c.not_apex += words.high != apex || words.low != static_cast<uint16_t>(u);
  bool tie = (u & 0xFFFFu) == 0x8000u, not_even = words.high != nearest_code(SWD_DTYPE_BF16, bits_float(u));
  c.not_even += not_even;
  c.broken16 += not_even && !tie;
  c.shown_infinite += is_infinite(visible) && !is_infinite(u);
}

// 8 bits: to nearest within half a step of 24 bits; what was stored once stays, whatever the bits.
void look8(uint32_t u, Counts& c) {
  SplitWords words = split(Split<8>{}, bits_float(u), nearest_param(Split<8>{}));
  uint32_t again = joined<8>(words), any = (u * 2654435761u) >> 24;
  if (is_nan(u)) {
    c.broken8 += !is_nan(widened(words.high)) || !is_nan(again);
    return;
  }
  c.broken8 += (again ^ u) >> 31 != 0 || distance(again, u) > 0x80u || (is_infinite(u) && again != u);
  c.became_infinite8 += is_infinite(again) && !is_infinite(u);
  for (uint32_t r : {0u, any, 0xFFu}) c.broken8 += joined<8>(split(Split<8>{}, bits_float(again), r)) != again;
  uint32_t rounded = joined<8>(split(Split<8>{}, bits_float(u), any));
  c.broken8 += magnitude_of(rounded) != ((magnitude_of(u) + any) & ~0xFFu);
}

// None: the number below or above, NaN and infinity as they were, and what bf16 holds stays.
void look0(uint32_t u, Counts& c) {
  uint32_t any = (u * 2654435761u) >> 16;
  for (uint32_t r : {0u, any, 0xFFFFu}) {
    uint32_t got = joined<0>(split(Split<0>{}, bits_float(u), r));
    if (is_nan(u)) {
      c.broken0 += !is_nan(got);
    } else {
      c.broken0 += got != ((u & 0xFFFFu) + r >= 0x10000u ? (u & 0xFFFF0000u) + 0x10000u : u & 0xFFFF0000u);
      c.broken0 += is_infinite(u) && got != u;
    }
    c.broken0 += widened(upper_half(bits_float(u), r)) != got;
  }
}

void look(uint32_t upper, uint32_t lower, Counts& c) {
  uint32_t u = upper << 16 | lower;
  look16(u, c);
  look8(u, c);
  look0(u, c);
  ++c.patterns;
}

// Where something special happens in the upper half: all lower ones are looked at in either tier.
bool special(uint32_t upper) {
  uint32_t magnitude = upper & 0x7FFFu;
  return magnitude <= 1 || magnitude == 0x007F || magnitude == 0x0080 || magnitude == 0x3F80 || magnitude == 0x7F7E ||
         magnitude == 0x7F7F || (magnitude >= 0x7F80 && magnitude <= 0x7F82) || magnitude >= 0x7FFE;
}

Counts look_at_upper_halves(uint32_t first, uint32_t end) {
  static constexpr uint32_t kEdges[] = {0x0000, 0x0001, 0x007F, 0x0080, 0x0081, 0x00FF, 0x0100, 0x0180, 0x7F7F, 0x7F80,
                                        0x7FFE, 0x7FFF, 0x8000, 0x8001, 0x8080, 0xFF7F, 0xFF80, 0xFF81, 0xFFFE, 0xFFFF};
  Counts c;
  for (uint32_t upper = first; upper < end; ++upper) {
    if (long_tier() || special(upper)) {
      for (uint32_t lower = 0; lower <= 0xFFFFu; ++lower) look(upper, lower, c);
      continue;
    }
    for (uint32_t lower : kEdges) look(upper, lower, c);
  }
  return c;
}

TEST(Split, EveryPattern) {
  Counts total, other;
  std::thread half([&] { other = look_at_upper_halves(0x8000, 0x10000); });
  total = look_at_upper_halves(0, 0x8000);
  half.join();
  total.add(other);
  printf("[  FIGURE  ] %llu patterns of fp32\n", static_cast<unsigned long long>(total.patterns));
  EXPECT_EQ(total.broken16, 0u);
  EXPECT_EQ(total.broken8, 0u);
  EXPECT_EQ(total.broken0, 0u);
  EXPECT_EQ(total.not_apex, 0u);
  EXPECT_EQ(total.apex_hides_nan, 131070u);
  EXPECT_EQ(total.not_even, 32640u);
  EXPECT_EQ(total.shown_infinite, 65536u);
  EXPECT_EQ(total.became_infinite8, 256u);
  if (long_tier()) EXPECT_EQ(total.patterns, uint64_t{1} << 32);
}

// Every pair of halves is a number that splits into itself, but those whose sum is NaN: they are their visible half.
template <int kRemainder>
uint64_t changed_pairs(uint32_t step) {
  constexpr uint32_t kLows = 1u << kRemainder, kUnit = 0x10000u / kLows;
  uint64_t changed = 0;
  for (uint32_t high = 0; high <= 0xFFFFu; ++high) {
    if (high % step != 0 && !special(high)) continue;
    for (uint32_t low = 0; low < kLows; ++low) {
      SplitWords words{static_cast<uint16_t>(high), static_cast<uint16_t>(low)};
      uint32_t sum = (high << 16) + low * kUnit - (low >= kLows / 2 ? 0x10000u : 0u), got = joined<kRemainder>(words);
      SplitWords again = split(Split<kRemainder>{}, bits_float(got), 0xFFu % kUnit);
      if (is_nan(sum)) {
        changed += got != widened(words.high);
      } else {
        changed += got != sum || again.high != high || again.low != low;
      }
    }
  }
  return changed;
}

TEST(Split, EveryStoredPairOfHalvesIsReadAndWrittenAgain) {
  EXPECT_EQ(changed_pairs<8>(long_tier() ? 1 : 7), 0u);
  EXPECT_EQ(changed_pairs<16>(long_tier() ? 1 : 1021), 0u);
}

// Somebody sets the visible half to 0, and the remainder is another number's.
TEST(Split, ZeroIsZeroWhateverTheRemainder) {
  for (uint16_t zero : {uint16_t{0x0000}, uint16_t{0x8000}}) {
    for (uint32_t low = 0; low <= 0xFFFFu; ++low) {
      uint16_t rest = static_cast<uint16_t>(low);
      ASSERT_LT(std::fabs(join(Split<16>{}, zero, rest)), 1e-40f) << zero << " " << low;
      ASSERT_LT(std::fabs(join(Split<8>{}, zero, rest & 0xFFu)), 1e-40f) << zero << " " << low;
    }
  }
}

// The mean over all random bits is the number itself: exactly, as patterns between two neighbours are equidistant.
TEST(Split, RoundingIsUnbiased) {
  Dice dice(3);
  for (int i = 0; i < 200; ++i) {
    uint32_t u = static_cast<uint32_t>(dice.bits() >> 33) % 0x7F000000u;
    u |= dice.chance(0.5) ? 0x80000000u : 0u;
    double x = static_cast<double>(bits_float(u)), half = 0.0, eight = 0.0;
    for (uint32_t r = 0; r < 0x10000u; ++r)
      half += static_cast<double>(bits_float(widened(upper_half(bits_float(u), r)))) / 65536;
    for (uint32_t r = 0; r < 0x100u; ++r) {
      eight += static_cast<double>(bits_float(joined<8>(split(Split<8>{}, bits_float(u), r)))) / 256;
    }
    EXPECT_NEAR(half, x, 1e-12 * std::fabs(x)) << std::hex << u;
    EXPECT_NEAR(eight, x, 1e-12 * std::fabs(x)) << std::hex << u;
  }
}

// No bit of an element is used twice: in its parameter, and in its moments.
TEST(Split, ParameterBitsAreTheLowestBytes) {
  EXPECT_EQ(param_bits(Split<16>{}, {0xFFFFFFFFu, 0xFFFFFFFFu}), 0u);
  EXPECT_EQ(param_bits(Split<8>{}, {0xFFFFFFFFu, 0xFFFFFF5Au}), 0x5Au);
  EXPECT_EQ(param_bits(Split<0>{}, {0xFFFFFF12u, 0xFFFFFF34u}), 0x1234u);
}

}  // namespace
}  // namespace swd::test
