// SPDX-License-Identifier: Apache-2.0
// A golden trajectory run by the library, on the backend and in the formats of a setup. Used by the golden tests.
#pragma once
#include "support/golden.h"

namespace swd::test {

// What the file leaves open: backend, layout, formats, seed.
inline RunSetup setup_of(const Golden& golden, const RunSetup& formats) {
  RunSetup s = formats;
  s.backend = backend_under_test();
  s.counts = golden.setup.counts;
  s.group_of = golden.setup.group_of;
  s.groups = golden.setup.groups;
  s.decay = golden.setup.decay;
  s.flags = formats.flags | (golden.amsgrad ? uint32_t{SWD_PLAN_AMSGRAD} : 0u);
  return s;
}

// Calls compare(snapshot, runner) at each snapshot, and returns the steps made.
template <class Compare>
uint64_t run_golden(const Golden& golden, const RunSetup& formats, const Compare& compare) {
  RunSetup setup = setup_of(golden, formats);
  Runner runner(setup);
  runner.args().max_grad_norm = golden.max_grad_norm;
  DeviceBuffer has_grad(setup.backend, setup.counts.size());
  if (!(setup.flags & SWD_PLAN_LIST)) runner.args().has_grad = has_grad.data();
  for (size_t k = 0; k < setup.counts.size(); ++k) {
    runner.set(SWD_BUFFER_PARAM, k, uniform(golden.seed, 1000003 * (k + 1), setup.counts[k]));
  }
  uint64_t t = 0;
  for (const GoldenSnapshot& snapshot : golden.snapshots) {
    while (t < snapshot.step) {
      ++t;
      for (size_t k = 0; k < setup.counts.size(); ++k) {
        std::vector<float> param = golden.closed_loop ? runner.get(SWD_BUFFER_PARAM, k) : std::vector<float>();
        std::vector<float> grad = golden.gradient(t, k, param);
        uint8_t present = !grad.empty();
        runner.missing[k] = !present;
        has_grad.write(k, &present, 1);
        runner.set(SWD_BUFFER_GRAD, k, grad);
      }
      for (size_t i = 0; i < setup.groups.size(); ++i) {
        runner.setup().groups[i].lr = setup.groups[i].lr * golden.lr_factor.at(t - 1);
      }
      runner.step();
    }
    compare(snapshot, runner);
  }
  return t;
}

}  // namespace swd::test
