// SPDX-License-Identifier: Apache-2.0
// Whole runs against the long-double oracle: random layouts, modes, events and arguments, whole steps and pieces.
// Counters, running sums and statistics never meet again after the start. Elements neither, where the run forgives
// rounding; else the oracle takes the library's elements over after every step.
#include <cstdlib>

#include "support/shortened.h"
#include "support/twin.h"

namespace swd::test {
namespace {

TEST(Oracle, RandomRuns) {
  Figures figures;
  // 150 runs are enough for every kind of skipped step to occur on both backends. An emulator, whose long double is
  // slow, is given fewer.
  const int64_t enough = scaled(150, 300);
  const char* few = getenv("SWD_ORACLE_RUNS");
  const int64_t runs = few ? std::atoll(few) : shortened(300, enough);
  for (int64_t i = 0; i < runs; ++i) {
    SCOPED_TRACE("run " + std::to_string(i));
    Dice dice(static_cast<uint64_t>(i) + 1);
    RandomRun run = draw_run(dice);
    Twin twin(run, dice);
    for (int t = 1; t <= run.steps && !HasFatalFailure(); ++t) {
      SCOPED_TRACE("step " + std::to_string(t));
      OracleInput in = draw_step(dice, run, t);
      twin.step(in);
      twin.compare(in, figures);
      if (!run.forgiving) twin.meet();
      if (dice.chance(0.02)) twin.forget();
      if (dice.chance(0.2)) twin.rebuild();
    }
  }
  figures.check();
  if (runs < enough) {
    EXPECT_GT(figures.applied, 0);
    return;
  }
  EXPECT_GT(figures.applied, shortened(scaled(5000, 500), 500));
  for (int status : {SWD_RESULT_SKIPPED_NONFINITE, SWD_RESULT_SKIPPED_OVERFLOW, SWD_RESULT_SKIPPED_UNDERFLOW,
                     SWD_RESULT_SKIPPED_INVALID, SWD_RESULT_SKIPPED_SUM_UNKNOWN}) {
    EXPECT_GT(figures.skipped[status], 0) << swd_result_name(status);
  }
}

}  // namespace
}  // namespace swd::test
