// SPDX-License-Identifier: Apache-2.0
// The order of sums in docs/numerics.md, as plain code. Used by oracle.cpp.
#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <vector>

namespace swd::fuzz {

using Doubles = std::vector<double>;

// 256 lanes by halving strides; what is missing is +0.
inline double fold(Doubles lanes) {
  lanes.resize(256, 0.0);
  for (size_t stride = 128; stride > 0; stride /= 2) {
    for (size_t i = 0; i < stride; ++i) lanes[i] += lanes[i + stride];
  }
  return lanes[0];
}

inline double fold_tree(Doubles level) {
  while (level.size() > 1) {
    Doubles above;
    for (size_t at = 0; at < level.size(); at += 256) {
      above.push_back(fold(Doubles(level.begin() + static_cast<int64_t>(at),
                                   level.begin() + static_cast<int64_t>(std::min(at + 256, level.size())))));
    }
    level = above;
  }
  return level.empty() ? 0.0 : level[0];
}

inline float square(float x) { return std::fabs(x) < 0x1p-63f ? 0.0f : x * x; }
inline float zero_if_denormal(float x) { return std::fabs(x) < FLT_MIN ? 0.0f : x; }

// The sum of n values from `at`, in lanes of fp32 runs.
template <class Term>
double sum_runs(int64_t at, int64_t n, const Term& term) {
  std::vector<float> lanes(256, 0.0f);
  for (int64_t i = 0; i < n; ++i) lanes[static_cast<size_t>(i % 256)] += term(at + i);
  return fold(Doubles(lanes.begin(), lanes.end()));
}

// The sum over a segment, 4,096 elements at a time; what fp32 cannot hold again in fp64. Counts what is not finite.
template <class Value>
double sum_segment(int64_t at, int64_t n, const Value& value, bool squares, double* bad) {
  Doubles chunks;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    int64_t count = std::min<int64_t>(4096, n - begin);
    double sum = sum_runs(at + begin, count, [&](int64_t i) { return squares ? square(value(i)) : value(i); });
    bool any = false;
    for (int64_t i = 0; i < count; ++i) any = any || value(at + begin + i) != 0.0f;
    if (sum == 0.0 ? any : !(sum >= 0x1p-90 && sum <= DBL_MAX)) {
      Doubles lanes(256, 0.0);
      for (int64_t i = 0; i < count; ++i) {
        double x = static_cast<double>(value(at + begin + i));
        lanes[static_cast<size_t>(i % 256)] += squares ? x * x : x;
        if (!std::isfinite(x)) *bad += 1.0;
      }
      sum = fold(lanes);
    }
    chunks.push_back(sum);
  }
  return fold_tree(chunks);
}

}  // namespace swd::fuzz
