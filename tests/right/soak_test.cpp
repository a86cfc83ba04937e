// SPDX-License-Identifier: Apache-2.0
// A soak of the running sums: over many steps S stays with what it stands for. Held against the same recurrence on the
// exact sums of squares, which shows that its own arithmetic does not drift, and against the sum of the second moments
// as fp32 holds them (swd_state_rebuild), which shows that the recurrence describes what pass 2 does. The moments start
// off by the rounding of 1 - beta2 to fp32, up to 6e-8, and settle at what their own rounding leaves.
// 20,000 steps, or as many as SWD_SOAK_STEPS says (scripts/accuracy.sh).
#include <cmath>
#include <cstdlib>

#include "support/figure.h"
#include "support/oracle.h"
#include "support/runner.h"

namespace swd::test {
namespace {

int64_t steps_wanted() {
  const char* text = getenv("SWD_SOAK_STEPS");
  return text ? static_cast<int64_t>(std::strtod(text, nullptr)) : scaled(20000, 150);
}

// Gradients are windows of one array of noise, whole multiples of 2^-23: prefix sums give the exact sum of squares of
// each window at once, and no step has to draw or copy anything. They wrap round at 2^64; differences of windows of up
// to 2^17 elements, each at most 2^46, do not.
class Noise {
 public:
  Noise(swd_backend backend, int64_t count)
      : device_(backend, 4 * static_cast<uint64_t>(count)), prefix_(static_cast<size_t>(count) + 1) {
    std::vector<float> x = uniform(17, 1, count);
    device_.write(0, x.data(), device_.bytes());
    for (size_t i = 0; i < x.size(); ++i) {
      int64_t whole = static_cast<int64_t>(std::ldexp(x[i], 23));
      prefix_[i + 1] = prefix_[i] + static_cast<uint64_t>(whole * whole);
    }
  }
  const float* at(int64_t first) const { return reinterpret_cast<const float*>(device_.data()) + first; }
  Real squares(int64_t first, int64_t count) const {
    uint64_t sum = prefix_[static_cast<size_t>(first + count)] - prefix_[static_cast<size_t>(first)];
    return std::ldexp(static_cast<Real>(sum), -46);
  }

 private:
  DeviceBuffer device_;
  std::vector<uint64_t> prefix_;
};

struct Soak {
  double beta2;
  Figure exact, start, settled;
};

TEST(Soak, TheRunningSumStays) {
  const int64_t steps = steps_wanted(), count = 65536, noise_count = 8 * count;
  // One sum of squares of this size is off by up to 1e-9, and beta2 = 0.9 averages only ten of them.
  auto soak_of = [](double beta2, double exact, const std::string& name) {
    return Soak{beta2, Figure(name + ": S to exact recurrence", exact), Figure(name + ": S to sum of exp_avg_sq", 7e-8),
                Figure(name + ": the same, settled", 1.5e-8)};
  };
  Soak soaks[] = {soak_of(0.999, 1e-9, "beta2 0.999"), soak_of(0.9, 3e-9, "beta2 0.9")};
  for (Soak& soak : soaks) {
    RunSetup s;
    s.backend = backend_under_test();
    s.counts = {count};
    s.groups[0] = {1e-3, 0.9, soak.beta2, 1e-8, 1e-4, nullptr, 0.0};
    Noise noise(s.backend, noise_count);
    Runner r(s), rebuilt(s);
    r.set(SWD_BUFFER_PARAM, 0, uniform(1, 1, count));
    rebuilt.buffers.exp_avg_sq = r.buffers.exp_avg_sq;
    Dice dice(23);
    Real sum = 0;
    for (int64_t t = 1; t <= steps; ++t) {
      int64_t first = dice.below(noise_count - count);
      r.buffers.grad = noise.at(first);
      r.step();
      sum = static_cast<Real>(soak.beta2) * sum + (1 - static_cast<Real>(soak.beta2)) * noise.squares(first, count);
      double running = r.segment_state(0).exp_avg_sq_sum;
      soak.exact.add(relative_error(running, static_cast<double>(sum)));
      if (t > 10 && t % (steps / 200 + 1) != 0 && t != steps) continue;
      r.ok(swd_state_rebuild(rebuilt.plan(), &rebuilt.buffers, r.stream()));
      bool settled = static_cast<double>(t) * (1.0 - soak.beta2) > 12.0;
      (settled ? soak.settled : soak.start).add(relative_error(running, rebuilt.segment_state(0).exp_avg_sq_sum));
    }
    EXPECT_EQ(r.stats().steps_applied, static_cast<uint64_t>(steps));
    soak.exact.check();
    soak.start.check();
    soak.settled.check();
  }
}

}  // namespace
}  // namespace swd::test
