// SPDX-License-Identifier: Apache-2.0
// The body of every benchmark, and the list of roofs. Called by main.cpp.
#pragma once
#include <benchmark/benchmark.h>

#include "cases.h"
#include "machine.h"

namespace swd::bench {

// How often things are done. One sample is one iteration of Google Benchmark.
struct Effort {
  int64_t samples;
  int64_t warm_ups;
  int64_t roof_samples;  // of each variant, to choose the roof
  int64_t most_runs;     // in one sample
};

Effort effort_of(const Case& c, bool quick);
constexpr Effort kTrial{1, 1, 1, 1};  // everything once: for a simulated device

// Reports the sample times, and as counters their median and spread, bytes per parameter, GB/s, and the ratio to the
// roof. A case that cannot run here is reported as an error with the reason.
void measure(benchmark::State& state, Machine& machine, const Case& c, const Effort& effort);

// Prints every variant of the roof on the arrays of a case: a line each, the best at the end. Throws
// std::runtime_error where it cannot.
void print_roofs(Machine& machine, const Case& c, bool trial);

}  // namespace swd::bench
