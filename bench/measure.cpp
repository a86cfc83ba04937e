// SPDX-License-Identifier: Apache-2.0
// Measures one case. Each sample of libswd is preceded by one of the roof on the same memory, so that both see the same
// machine, whatever else runs on it; the ratio is that of the two medians.
#include "measure.h"

#include <algorithm>
#include <exception>
#include <map>
#include <tuple>
#include <vector>

#include "subject.h"

namespace swd::bench {
namespace {

using Work = std::function<void()>;

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

// Runs per sample: enough that the clock does not matter. One where something has to happen before each run.
int64_t batch_of(const Case& c) {
  if (c.cold || c.part == Part::kUpdate) return 1;
  return std::clamp<int64_t>((int64_t{1} << 18) / c.elements, 1, 256);
}

struct Sampler {
  Machine& machine;
  bool cold;
  int64_t batch;

  double operator()(const Work& work) const {
    if (cold) machine.empty_caches();
    machine.synchronize();
    double seconds = machine.seconds_of([&] {
      for (int64_t i = 0; i < batch; ++i) work();
    });
    return seconds / static_cast<double>(batch);
  }
};

// The fastest variant of a roof loop. Found once per loop and size, because it does not change.
int best_variant(const Sampler& sample, RoofKind kind, const RoofArrays& arrays) {
  using Key = std::tuple<Machine*, RoofKind, int64_t, int, int, int, bool>;
  static std::map<Key, int> known;
  Key key{&sample.machine, kind, arrays.elements, arrays.grad_bytes, arrays.copy_bytes, arrays.threads, sample.cold};
  auto found = known.find(key);
  if (found != known.end()) return found->second;
  int best = 0;
  double least = 0.0;
  for (int variant = 0; variant < sample.machine.variants(kind); ++variant) {
    auto run = [&] { sample.machine.run_roof(kind, variant, arrays); };
    double seconds = std::min(sample(run), sample(run));
    if (variant > 0 && seconds >= least) continue;
    best = variant;
    least = seconds;
  }
  return known[key] = best;
}

// The loops that move the bytes of a part, one behind the other: the step's roof is the sum of both passes'.
Work roof_of(const Sampler& sample, Part part, const RoofArrays& arrays) {
  std::vector<RoofKind> kinds;
  if (part == Part::kMemcpy) kinds = {RoofKind::kMemcpy};
  if (part == Part::kNorm || part == Part::kStep) kinds.push_back(RoofKind::kRead);
  if (part == Part::kUpdate || part == Part::kStep) kinds.push_back(RoofKind::kMix);
  std::vector<std::pair<RoofKind, int>> loops;
  for (RoofKind kind : kinds) loops.emplace_back(kind, best_variant(sample, kind, arrays));
  Machine& machine = sample.machine;
  return [&machine, arrays, loops] {
    for (auto [kind, variant] : loops) machine.run_roof(kind, variant, arrays);
  };
}

void report(benchmark::State& state, const Case& c, const std::vector<double>& times) {
  double bytes = static_cast<double>(part_bytes(c)) * static_cast<double>(c.elements);
  state.counters["median_us"] = quantile(times, 0.5) * 1e6;
  state.counters["p05_us"] = quantile(times, 0.05) * 1e6;
  state.counters["p95_us"] = quantile(times, 0.95) * 1e6;
  state.counters["bytes_per_param"] = static_cast<double>(part_bytes(c));
  state.counters["GB_per_s"] = bytes / quantile(times, 0.5) * 1e-9;
}

void measure_part(benchmark::State& state, Machine& machine, const Case& c) {
  Subject subject(machine, c);
  Sampler sample{machine, c.cold, batch_of(c)};
  Work roof = roof_of(sample, c.part, subject.roof_arrays());
  Work run = [&] { subject.run(); };
  if (c.part == Part::kMemcpy) run = roof;
  if (c.graph) {
    run();  // what must not happen inside a capture, such as loading kernels, happens here
    run = machine.captured(run);
  }
  std::vector<double> times, roof_times;
  for (int i = 0; i < 2; ++i) {
    subject.prepare();
    sample(run);
  }
  for (auto _ : state) {
    roof_times.push_back(sample(roof));
    subject.prepare();
    times.push_back(sample(run));
    state.SetIterationTime(times.back());
  }
  report(state, c, times);
  double bytes = static_cast<double>(part_bytes(c)) * static_cast<double>(c.elements);
  state.counters["roof_GB_per_s"] = bytes / quantile(roof_times, 0.5) * 1e-9;
  state.counters["ratio_to_roof"] = quantile(roof_times, 0.5) / quantile(times, 0.5);
}

// Moments of rows without gradient shrink for ever. In arithmetic with denormals, and without the library's rule for
// them, such rows would cost 20 to 80 times a live one.
void measure_stale(benchmark::State& state, Machine& machine, const Case& c) {
  constexpr int kSteps = 5000;
  Subject live(machine, c, 0), stale(machine, c, 1);
  stale.run();
  stale.make_gradients(true);
  for (int i = 0; i < kSteps; ++i) stale.run();
  Sampler sample{machine, c.cold, batch_of(c)};
  std::vector<double> times, live_times;
  for (auto _ : state) {
    live_times.push_back(sample([&] { live.run(); }));
    times.push_back(sample([&] { stale.run(); }));
    state.SetIterationTime(times.back());
  }
  report(state, c, times);
  state.counters["stale_over_live"] = quantile(times, 0.5) / quantile(live_times, 0.5);
}

}  // namespace

int64_t samples_of(const Case& c, bool quick) {
  if (c.elements > int64_t{1} << 28) return 5;
  if (c.elements >= int64_t{1} << 25) return quick ? 15 : 25;
  return c.cold ? 15 : 60;
}

void measure(benchmark::State& state, Machine& machine, const Case& c) {
  try {
    if (c.part == Part::kStale) {
      measure_stale(state, machine, c);
    } else {
      measure_part(state, machine, c);
    }
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

}  // namespace swd::bench
