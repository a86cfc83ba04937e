// SPDX-License-Identifier: Apache-2.0
// A small model with an empty segment, one longer than a chunk and gradients that the step number decides.
// Or one segment alone. Used by the tests that state a law of the step.
#pragma once
#include "support/runner.h"

namespace swd::test {

inline RunSetup small(uint32_t flags = 0) {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = flags;
  s.counts = {700, 0, 4097, 33};
  s.groups[0].weight_decay = 1e-2;
  return s;
}

inline RunSetup one_segment(swd_decay decay, int64_t count = 100) {
  RunSetup s;
  s.backend = backend_under_test();
  s.counts = {count};
  s.decay = {decay};
  return s;
}

inline void fill(Runner& r, int t, double factor = 1.0) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> g = uniform(100 + static_cast<uint64_t>(t), k, r.setup().counts[k]);
    for (float& x : g) x = static_cast<float>(x * factor);
    r.set(SWD_BUFFER_GRAD, k, g);
  }
}

inline void start(Runner& r) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) r.set(SWD_BUFFER_PARAM, k, uniform(3, k, r.setup().counts[k]));
}

inline std::vector<float> params(Runner& r) {
  std::vector<float> out;
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> x = r.get(SWD_BUFFER_PARAM, k);
    out.insert(out.end(), x.begin(), x.end());
  }
  return out;
}

}  // namespace swd::test
