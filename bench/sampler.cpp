// SPDX-License-Identifier: Apache-2.0
// One way to take a sample, for libswd and for its roofs. Called by measure.cpp and print_roofs.cpp.
#include "sampler.h"

#include <algorithm>
#include <chrono>

namespace swd::bench {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

double Sampler::operator()(const Work& work) {
  using Clock = std::chrono::steady_clock;
  if (cold) machine.empty_caches();
  machine.synchronize();
  double host = 0.0;
  double seconds = machine.seconds_of([&] {
    auto begin = Clock::now();
    for (int64_t i = 0; i < batch; ++i) work();
    host = std::chrono::duration<double>(Clock::now() - begin).count();
  });
  host_seconds.push_back(host / static_cast<double>(batch));
  return seconds / static_cast<double>(batch);
}

double seconds_of_variant(Sampler& sample, RoofKind kind, int variant, const RoofArrays& arrays, int64_t samples) {
  Machine& machine = sample.machine;
  if (!machine.run_roof(kind, variant, arrays)) return 0.0;  // loads the kernel, too
  std::vector<double> times;
  for (int64_t i = 0; i < samples; ++i) times.push_back(sample([&] { machine.run_roof(kind, variant, arrays); }));
  return quantile(times, machine.stream() ? 0.5 : 0.0);
}

}  // namespace swd::bench
