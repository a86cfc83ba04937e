// SPDX-License-Identifier: Apache-2.0
// Reads a fuzzer's bytes as choices and numbers that are worth trying. No allocation. Used by every fuzz target.
#pragma once
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace swd::fuzz {

// A property of the library that does not hold. Aborts, so that libFuzzer keeps the input.
#define SWD_FUZZ_EXPECT(condition)                                                   \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      fprintf(stderr, "latest error of the library: %s\n", swd_error_detail());      \
      abort();                                                                       \
    }                                                                                \
  } while (0)

// Past its end an input reads as zeros, which mean "as it should be" in every target.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  bool empty() const { return at_ == end_; }
  uint8_t byte() { return at_ == end_ ? uint8_t{0} : *at_++; }
  uint32_t below(uint32_t n) { return byte() % n; }

  uint64_t bits(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(byte()) << (8 * i);
    return value;
  }

  // Around the ends of every integer type of the header, or any number.
  int64_t integer() {
    static constexpr int64_t kEdges[] = {0,
                                         1,
                                         -1,
                                         2,
                                         3,
                                         7,
                                         8,
                                         16,
                                         4096,
                                         4097,
                                         INT32_MAX,
                                         INT32_MIN,
                                         INT64_MAX,
                                         INT64_MIN,
                                         INT64_MAX / 4,
                                         int64_t{1} << 32};
    constexpr uint32_t kCount = sizeof kEdges / sizeof kEdges[0];
    uint32_t kind = below(kCount + 4);
    return kind < kCount ? kEdges[kind] : static_cast<int64_t>(bits(1 << (kind - kCount)));
  }

  double real() {
    static const double kEdges[] = {0.0,     -0.0,         1.0,       -1.0,    0.5,          1e-8,
                                    NAN,     HUGE_VAL,     -HUGE_VAL, FLT_MIN, FLT_TRUE_MIN, FLT_MAX,
                                    DBL_MIN, DBL_TRUE_MIN, DBL_MAX,   1e30,    1.0 - 0x1p-53};
    constexpr uint32_t kCount = sizeof kEdges / sizeof kEdges[0];
    uint32_t kind = below(kCount + 3);
    if (kind < kCount) return kEdges[kind];
    uint64_t raw = bits(8);
    double value;
    memcpy(&value, &raw, sizeof value);
    return value;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace swd::fuzz
