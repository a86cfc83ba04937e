// SPDX-License-Identifier: Apache-2.0
// One step of the library on a batch of random points, hostile and plausible ones, held against the oracle element by
// element. Used by the accuracy test.
#pragma once
#include "support/runner.h"
#include "support/ulp.h"

namespace swd::test {

struct SweepFigures {
  // Frozen above the largest seen over 1e8 points (scripts/accuracy.sh): formula 1.9 for exp_avg, 2.64 for exp_avg_sq,
  // 5.06 for parameters; whole step 4.0, 6.4, 6.2. The trajectories of ulp_test.cpp stay within 2 and 4.
  UlpFigures formula{"formula", 3.0, 5.5}, whole{"whole step", 7.0, 7.0};
  void merge(const SweepFigures& other) {
    formula.merge(other.formula);
    whole.merge(other.whole);
  }
};

// Draws layout, constants, counters, state and gradients from `dice`, makes a step and adds every element.
void sweep_batch(Dice& dice, int64_t segments, int64_t elements, SweepFigures& figures);

// The same for gradients that are all 65,536 codes of a 16-bit dtype, NaN and infinity included.
void sweep_codes(Dice& dice, swd_dtype dtype, SweepFigures& figures);

}  // namespace swd::test
