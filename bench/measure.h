// SPDX-License-Identifier: Apache-2.0
// The body of every benchmark. Registered by main.cpp.
#pragma once
#include <benchmark/benchmark.h>

#include "cases.h"
#include "machine.h"

namespace swd::bench {

// Samples that a case takes; one sample is one iteration of Google Benchmark.
int64_t samples_of(const Case& c, bool quick);

// Reports the sample times, and as counters their median and spread, bytes per parameter, GB/s, and the ratio to the
// roof. A case that cannot run here is reported as an error with the reason.
void measure(benchmark::State& state, Machine& machine, const Case& c);

}  // namespace swd::bench
