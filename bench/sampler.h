// SPDX-License-Identifier: Apache-2.0
// Samples of a piece of work, their quantiles, and the choice among the variants of a roof. Used by measure.cpp and
// print_roofs.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "machine.h"
#include "measure.h"

namespace swd::bench {

using Work = std::function<void()>;

double quantile(std::vector<double> values, double q);  // 0 of no values

// One sample: the seconds of one run, taken over `batch` runs.
struct Sampler {
  Machine& machine;
  bool cold;
  int64_t batch;
  std::vector<double> host_seconds = {};  // of each run, until its calls have returned

  double operator()(const Work& work);
};

// Seconds of one variant: the median on a device; on a host, where noise only adds, the least. 0: no such variant here.
double seconds_of_variant(Sampler& sample, RoofKind kind, int variant, const RoofArrays& arrays, int64_t samples);

}  // namespace swd::bench
