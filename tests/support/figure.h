// SPDX-License-Identifier: Apache-2.0
// Largest errors seen in a test, printed and held against their bounds. Used by the tests of accuracy.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

namespace swd::test {

class Figure {
 public:
  Figure(std::string name, double bound) : name_(std::move(name)), bound_(bound) {}

  // error: a distance, in the unit of the bound. What is not a number never passes.
  void add(double error) {
    if (!(error <= worst_)) worst_ = error;
  }
  void merge(const Figure& other) { add(other.worst_); }
  double worst() const { return worst_; }

  // Once, at the end of the test.
  void check(bool print = true) const {
    if (print) printf("[  FIGURE  ] %-44s %.3g (bound %.3g)\n", name_.c_str(), worst_, bound_);
    EXPECT_LE(worst_, bound_) << name_;
  }

 private:
  std::string name_;
  double bound_, worst_ = 0.0;
};

// |got - want| / |want|; 0 where both are not finite, infinity where one of them is.
inline double relative_error(double got, double want) {
  if (std::isfinite(got) != std::isfinite(want)) return INFINITY;
  if (!std::isfinite(got) || got == want) return 0.0;
  return std::fabs(got - want) / std::fabs(want);
}

}  // namespace swd::test
