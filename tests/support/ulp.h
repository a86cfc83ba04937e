// SPDX-License-Identifier: Apache-2.0
// Errors of one element in one step against the long-double oracle, in units in the last place. Used by the tests of
// accuracy.
//
// The unit of a moment is that of the value it would have if no terms cancelled (all of one sign): what is left after a
// cancellation no fp32 arithmetic can hold to the last place. The unit of a parameter is that of the largest of
// its old and new value and the Adam step, taken with such a first moment.
#pragma once
#include <vector>

#include "support/figure.h"
#include "support/oracle.h"

namespace swd::test {

struct Fp32Element {
  float p = 0, m = 0, v = 0, v_max = 0;
};

// The same step with what fp32 holds of each constant, rounded once as the design says. Together with a gradient that
// is already scaled in fp32 (s is 1 then) this leaves the rounding of the formula itself.
OracleRates as_fp32(const OracleRates& rates);

struct UlpFigures {
  UlpFigures(const std::string& what, double moments, double params)
      : m(what + ": exp_avg, ULP", moments),
        v(what + ": exp_avg_sq, ULP", moments),
        v_max(what + ": max_exp_avg_sq, ULP", moments),
        p(what + ": param, ULP", params) {}

  // raw: the gradient as stored. Elements whose flush to zero a rounding error can decide are left out.
  void add(const OracleRates& rates, float raw, const Fp32Element& before, const Fp32Element& after);
  void merge(const UlpFigures& other);
  void check() const;

  Figure m, v, v_max, p;
  int64_t points = 0, left_out = 0;
};

}  // namespace swd::test
