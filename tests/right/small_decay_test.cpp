// SPDX-License-Identifier: Apache-2.0
// Decays far below half a unit in the last place of a parameter arrive, carried by the Adam steps they ride on; in the
// textbook form, p * (1 - d) - step in fp32, they are lost altogether.
#include <cmath>

#include "support/figure.h"
#include "support/runner.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

constexpr int64_t kCount = 4096;
constexpr double kLr = 1e-6, kStart = 0.7;
constexpr double kDecays[] = {0.0, 1e-8, 1e-9};  // one segment and group each; all get the same gradients
constexpr size_t kRuns = 3;

std::vector<float> start() {
  std::vector<float> p = uniform(5, 0, kCount);
  for (float& x : p) x = static_cast<float>(kStart + 0.01 * x);
  return p;
}

// What the decay took, on average over the elements.
double mean_difference(const std::vector<float>& without, const std::vector<float>& with) {
  double sum = 0.0;
  for (size_t i = 0; i < with.size(); ++i) sum += static_cast<double>(without[i]) - static_cast<double>(with[i]);
  return sum / static_cast<double>(with.size());
}

// AdamW as it is usually written, in fp32.
class Textbook {
 public:
  Textbook(double decay, size_t count) : keep_(static_cast<float>(1.0 - decay)), p_(start()), m_(count), v_(count) {
    p_.resize(count);
  }
  void step(const std::vector<float>& g, int t) {
    float bias1 = static_cast<float>(1.0 - std::pow(0.9, t)), bias2 = static_cast<float>(1.0 - std::pow(0.999, t));
    float lr = static_cast<float>(kLr);
    for (size_t i = 0; i < p_.size(); ++i) {
      m_[i] = 0.9f * m_[i] + 0.1f * g[i];
      v_[i] = 0.999f * v_[i] + 0.001f * g[i] * g[i];
      p_[i] = p_[i] * keep_ - lr * (m_[i] / bias1) / (std::sqrt(v_[i] / bias2) + 1e-8f);
    }
  }
  const std::vector<float>& param() const { return p_; }

 private:
  float keep_;
  std::vector<float> p_, m_, v_;
};

TEST(SmallDecay, ArrivesInTheLibraryAndNotInTheTextbookForm) {
  const int steps = static_cast<int>(shortened(scaled(200000, 2000), 2000));
  RunSetup s;
  s.backend = backend_under_test();
  s.counts.assign(kRuns, kCount);
  s.decay.assign(kRuns, SWD_DECAY_DECOUPLED);
  s.groups.clear();
  for (uint32_t k = 0; k < kRuns; ++k) {
    s.group_of.push_back(k);
    s.groups.push_back({kLr, 0.9, 0.999, 1e-8, kDecays[k] / kLr, nullptr, 0.0});
  }
  Runner runner(s);
  std::vector<Textbook> textbook;
  for (size_t k = 0; k < kRuns; ++k) {
    runner.set(SWD_BUFFER_PARAM, k, start());
    textbook.emplace_back(kDecays[k], 64);
  }
  for (int t = 1; t <= steps; ++t) {
    std::vector<float> g = uniform(77, static_cast<uint64_t>(t), kCount);
    for (size_t k = 0; k < kRuns; ++k) {
      runner.set(SWD_BUFFER_GRAD, k, g);
      textbook[k].step(g, t);
    }
    runner.step();
  }
  EXPECT_EQ(runner.stats().steps_applied, static_cast<uint64_t>(steps));
  std::vector<float> without = runner.get(SWD_BUFFER_PARAM, 0);
  for (size_t k = 1; k < kRuns; ++k) {
    char name[64];
    snprintf(name, sizeof name, "d = %g, %d steps: missing part", kDecays[k], steps);
    Figure figure(name, 0.03);
    figure.add(relative_error(mean_difference(without, runner.get(SWD_BUFFER_PARAM, k)), kStart * kDecays[k] * steps));
    figure.check();
    EXPECT_EQ(mean_difference(textbook[0].param(), textbook[k].param()), 0.0);
  }
}

}  // namespace
}  // namespace swd::test
