// SPDX-License-Identifier: Apache-2.0
// Reads tests/golden: trajectories of the authors' optimizer (format: tests/golden/README.md) and how far the authors'
// own fp32 run strays from them. Used by the golden test.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "support/runner.h"

namespace swd::test {

// What the fp64 run had after one step, and the largest errors of the fp32 run there.
struct GoldenSnapshot {
  uint64_t step = 0;
  double grad_norm = 0.0, vbar = 0.0;
  std::vector<int64_t> segment_steps;
  std::map<int, std::vector<std::vector<double>>> values;  // by SWD_BUFFER_*, then by segment
  std::map<std::string, double> fp32_deviation;            // "p", "m", "v", "vbar"
};

struct Golden {
  std::string name;
  uint64_t seed = 0;
  bool amsgrad = false, closed_loop = false;
  double max_grad_norm = 0.0;
  RunSetup setup;                                  // counts and groups
  std::vector<double> lr_factor;                   // per step
  std::vector<std::vector<std::string>> grad_exp;  // per segment and step: a power of two, or "x": no gradient
  std::vector<GoldenSnapshot> snapshots;

  // Empty where the segment has none in step t, which counts from 1. param: the optimizer's own, for closed loops.
  std::vector<float> gradient(uint64_t t, size_t segment, const std::vector<float>& param) const;
};

std::vector<std::string> golden_names();

// Throws where the file is not as its description says.
Golden read_golden(const std::string& name);

}  // namespace swd::test
