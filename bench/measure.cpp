// SPDX-License-Identifier: Apache-2.0
// Measures one case. Each sample of libswd is preceded by one of the roof on the same memory, so that both see the same
// machine, whatever else runs on it; the ratio is that of the two medians.
#include "measure.h"

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "sampler.h"
#include "subject.h"

namespace swd::bench {
namespace {

// Runs per sample: enough that the clock does not matter. One where something has to happen before each run.
int64_t batch_of(const Case& c, const Effort& effort) {
  if (c.cold || c.part == Part::kUpdate) return 1;
  return std::clamp<int64_t>((int64_t{1} << 18) / c.elements, 1, effort.most_runs);
}

// The fastest variant of a roof loop. Found once per loop and size, because it does not change.
int best_variant(Sampler& sample, RoofKind kind, const RoofArrays& arrays, int64_t samples) {
  using Key = std::tuple<Machine*, RoofKind, int64_t, std::array<swd_dtype, 5>, int, bool>;
  static std::map<Key, int> known;
  const Dtypes& d = arrays.dtypes;
  std::array<swd_dtype, 5> read = {d.grad}, all = {d.grad, d.param, d.copy, d.moment, d.remainder};
  Key key{&sample.machine, kind, arrays.elements, kind == RoofKind::kRead ? read : all, arrays.threads, sample.cold};
  auto found = known.find(key);
  if (found != known.end()) return found->second;
  int best = 0;
  double least = 0.0;
  for (int variant = 0; variant < sample.machine.variants(kind); ++variant) {
    double seconds = seconds_of_variant(sample, kind, variant, arrays, samples);
    if (seconds == 0.0 || (least > 0.0 && seconds >= least)) continue;
    best = variant;
    least = seconds;
  }
  return known[key] = best;
}

// The loops that move the bytes of a part, one behind the other: the step's roof is the sum of both passes'.
Work roof_of(Sampler& sample, Part part, const RoofArrays& arrays, int64_t samples) {
  std::vector<RoofKind> kinds;
  if (part == Part::kMemcpy) kinds = {RoofKind::kMemcpy};
  if (part == Part::kNorm || part == Part::kStep) kinds.push_back(RoofKind::kRead);
  if (part == Part::kUpdate || part == Part::kStep) kinds.push_back(RoofKind::kMix);
  std::vector<std::pair<RoofKind, int>> loops;
  for (RoofKind kind : kinds) loops.emplace_back(kind, best_variant(sample, kind, arrays, samples));
  Machine& machine = sample.machine;
  return [&machine, arrays, loops] {
    for (auto [kind, variant] : loops) machine.run_roof(kind, variant, arrays);
  };
}

// Counters of both sides. `peak`: what the memory could move by its datasheet, 0 if that is not known.
void report(benchmark::State& state, const Case& c, const std::vector<double>& times, double peak) {
  double bytes = part_bytes(c) * static_cast<double>(c.elements);
  state.counters["median_us"] = quantile(times, 0.5) * 1e6;
  state.counters["p05_us"] = quantile(times, 0.05) * 1e6;
  state.counters["p95_us"] = quantile(times, 0.95) * 1e6;
  state.counters["bytes_per_param"] = part_bytes(c);
  state.counters["state_bytes_per_param"] = state_bytes(c);
  state.counters["GB_per_s"] = bytes / quantile(times, 0.5) * 1e-9;
  if (peak > 0.0) state.counters["share_of_peak"] = bytes / quantile(times, 0.5) / peak;
}

void measure_part(benchmark::State& state, Machine& machine, const Case& c, const Effort& effort) {
  Subject subject(machine, c);
  Sampler roof_sample{machine, c.cold, batch_of(c, effort)}, sample = roof_sample, fp32_sample = roof_sample;
  Work roof = roof_of(roof_sample, c.part, subject.roof_arrays(), effort.roof_samples);
  Work run = [&] { subject.run(); };
  if (c.part == Part::kMemcpy) run = roof;
  // Narrow states are there for their bytes: what they gain over fp32 states is seen in turns, too.
  std::unique_ptr<Subject> fp32;
  if (!is_fp32(c) && c.part != Part::kNorm) {
    fp32 = std::make_unique<Subject>(machine, fp32_twin(c), 1);
    fp32->prepare();
    fp32->run();
  }
  subject.prepare();
  run();  // what must not happen inside a capture or beside a spinning kernel, such as loading kernels, happens here
  if (c.graph) {
    run = machine.captured(run);
    roof = machine.captured(roof);
  }
  std::vector<double> times, roof_times, fp32_times;
  auto sample_fp32 = [&] {
    if (!fp32) return;
    fp32->prepare();
    fp32_times.push_back(fp32_sample([&] { fp32->run(); }));
  };
  for (int64_t i = 0; i < effort.warm_ups; ++i) {
    roof_sample(roof);
    subject.prepare();
    sample(run);
  }
  sample.host_seconds.clear();
  for (auto _ : state) {
    sample_fp32();
    roof_times.push_back(roof_sample(roof));
    subject.prepare();
    times.push_back(sample(run));
    state.SetIterationTime(times.back());
  }
  double peak = machine.peak_bytes_per_second(), roof_median = quantile(roof_times, 0.5);
  report(state, c, times, peak);
  double bytes = part_bytes(c) * static_cast<double>(c.elements);
  state.counters["roof_GB_per_s"] = bytes / roof_median * 1e-9;
  if (peak > 0.0) state.counters["roof_share_of_peak"] = bytes / roof_median / peak;
  state.counters["ratio_to_roof"] = roof_median / quantile(times, 0.5);
  if (fp32) state.counters["time_over_fp32"] = quantile(times, 0.5) / quantile(fp32_times, 0.5);
  // On a device the calls return before the work is done: what they cost the caller is a figure of its own.
  if (c.backend == SWD_BACKEND_CUDA) state.counters["host_us"] = quantile(sample.host_seconds, 0.5) * 1e6;
}

// Rows without gradient against live ones. Moments of stale rows shrink for ever: in arithmetic with denormals, and
// without the library's rule for them, such rows would cost 20 to 80 times a live one. Untouched rows have moments of
// 0.
void measure_dead_rows(benchmark::State& state, Machine& machine, const Case& c, const Effort& effort) {
  const int steps = c.part == Part::kStale ? 5000 : 0;
  Subject live(machine, c, 0), dead(machine, c, 1);
  live.run();  // loads the kernels
  if (steps > 0) dead.run();
  dead.make_gradients(true);
  for (int i = 0; i < steps; ++i) dead.run();
  Sampler sample{machine, c.cold, batch_of(c, effort)};
  std::vector<double> times, live_times;
  for (int64_t i = 0; i < effort.warm_ups; ++i) {
    sample([&] { live.run(); });
    sample([&] { dead.run(); });
  }
  for (auto _ : state) {
    live_times.push_back(sample([&] { live.run(); }));
    times.push_back(sample([&] { dead.run(); }));
    state.SetIterationTime(times.back());
  }
  report(state, c, times, machine.peak_bytes_per_second());
  state.counters[c.part == Part::kStale ? "stale_over_live" : "untouched_over_live"] =
      quantile(times, 0.5) / quantile(live_times, 0.5);
}

}  // namespace

Effort effort_of(const Case& c, bool quick) {
  constexpr int64_t kMostRuns = 256;
  bool huge = c.elements > int64_t{1} << 28;
  if (c.backend == SWD_BACKEND_CUDA) return {quick || huge ? 50 : 100, 10, huge ? 5 : 9, kMostRuns};
  if (huge) return {5, 2, 2, kMostRuns};
  if (c.elements >= int64_t{1} << 25) return {quick ? 15 : 25, 2, 2, kMostRuns};
  return {c.cold ? 15 : 60, 2, 2, kMostRuns};
}

void measure(benchmark::State& state, Machine& machine, const Case& c, const Effort& effort) {
  try {
    if (c.part == Part::kStale || c.part == Part::kUntouched) {
      measure_dead_rows(state, machine, c, effort);
    } else {
      measure_part(state, machine, c, effort);
    }
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

}  // namespace swd::bench
