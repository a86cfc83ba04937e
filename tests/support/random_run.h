// SPDX-License-Identifier: Apache-2.0
// Draws what a run can look like: layout, groups, modes, and step by step gradients, events and arguments. Used by the
// test that compares the library with the oracle.
#pragma once
#include "support/oracle.h"
#include "support/runner.h"

namespace swd::test {

struct RandomRun {
  RunSetup setup;
  double grad_scale = 1.0, loss_scale = 1.0, max_grad_norm = 0.0, max_decay = 1.0;
  bool pieces = false;     // reduce, fold, decide, update instead of swd_step
  bool on_device = false;  // groups and scalars are read where the backend computes
  bool propagate = false;
  // Rounding errors do not grow: no L2 decay, which feeds parameters back, and no beta so small that an update is
  // a quotient of two single gradients.
  bool forgiving = true;
  int steps = 0;
};

RandomRun draw_run(Dice& dice);

// The next step of a run: t counts from 1.
OracleInput draw_step(Dice& dice, const RandomRun& run, int t);

}  // namespace swd::test
