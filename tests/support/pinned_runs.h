// SPDX-License-Identifier: Apache-2.0
// The runs whose results are pinned by tests/golden/hashes.txt, and the hash of what they leave behind. Used by the
// hash test. A run that is in the file must never be changed; new ones get new names.
#pragma once
#include "support/runner.h"

namespace swd::test {

struct PinnedRun {
  std::string name;
  RunSetup setup;
  int exponent = 0;  // gradients are uniform in [-1, 1) times this power of two
  double max_grad_norm = 1.0, loss_scale = 1.0;
  int steps = 4, bad_step = 0;  // this step has an infinite gradient
  size_t spread = 0;            // neighbouring gradients differ by up to this power of two
};

std::vector<PinnedRun> pinned_runs();

// Makes the run on the backend under test.
uint64_t hash_of(const PinnedRun& run, int32_t threads);

}  // namespace swd::test
