// SPDX-License-Identifier: Apache-2.0
// Narrow second moments follow those in fp64 through scenarios that break others: rows without gradient, gradients that
// drop, scales that differ within a block; and the running sum stays theirs. 4,096 elements and 2,500 steps, or 8,192
// and 10,000, of the stationary scenario 100,000, in the long tier (ctest -L long, scripts/accuracy.sh). Both backends
// have the same bits, so one is enough.
#include <algorithm>
#include <cmath>

#include "support/figure.h"
#include "support/long_tier.h"
#include "support/narrow.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

constexpr int64_t kRow = 512, kBlock = 128;
int64_t elements() { return long_tier() ? 8192 : 4096; }

struct Scenario {
  const char* name;
  double sigma, row_sigma;  // of the logarithm of the gradients' scale, within a row and from row to row
  bool drops = false;       // by a factor of 100, after a quarter
  bool sparse = false;      // a row has a gradient in 1 % of the steps
};
constexpr Scenario kScenarios[] = {{"flat", 0.3, 0.3},
                                   {"stationary", 1.0, 1.0},
                                   {"drop", 1.0, 1.0, true},
                                   {"sparse", 1.0, 1.0, false, true},
                                   {"wide", 3.0, 1.0}};

// Normal numbers, drawn once: a step takes a window of them.
class Normals {
 public:
  Normals() : values_(1 << 18) {
    Dice dice(12345);
    for (size_t i = 0; i < values_.size(); i += 2) {
      double r = std::sqrt(-2.0 * std::log(1.0 - dice.unit())), angle = 6.283185307179586 * dice.unit();
      values_[i] = static_cast<float>(r * std::cos(angle));
      values_[i + 1] = static_cast<float>(r * std::sin(angle));
    }
  }
  const float* window(Dice& dice, int64_t count) const {
    return values_.data() + dice.below(static_cast<int64_t>(values_.size()) - count);
  }

 private:
  std::vector<float> values_;
};

// Gradients of a scenario, and the second moments that they make in fp64.
class Source {
 public:
  Source(const Scenario& scenario, double beta2, int64_t steps, const Normals& normals)
      : scenario_(scenario), beta2_(beta2), steps_(steps), normals_(normals) {
    const int64_t count = elements();
    v.resize(static_cast<size_t>(count)), g.resize(v.size()), scale_.resize(v.size());
    const float* z = normals.window(dice_, count);
    for (int64_t i = 0; i < count; ++i) {
      if (i % kRow == 0) row_ = std::exp(scenario.row_sigma * static_cast<double>(*normals.window(dice_, 1)));
      scale_[static_cast<size_t>(i)] = static_cast<float>(row_ * std::exp(scenario.sigma * static_cast<double>(z[i])));
    }
  }
  void next() {
    ++t_;
    const float amplitude = scenario_.drops && 4 * t_ > steps_ ? 0.01f : 1.0f;
    for (int64_t row = 0; row < elements(); row += kRow) {
      const bool live = !scenario_.sparse || dice_.chance(0.01);
      const float* z = normals_.window(dice_, kRow);
      for (int64_t i = 0; i < kRow; ++i) {
        size_t at = static_cast<size_t>(row + i);
        g[at] = live ? amplitude * scale_[at] * z[i] : 0.0f;
        double squared = static_cast<double>(g[at]) * static_cast<double>(g[at]);
        v[at] += (1.0 - beta2_) * (squared - v[at]);
      }
    }
  }

 private:
  const Scenario& scenario_;
  double beta2_, row_ = 1.0;
  int64_t steps_, t_ = 0;
  const Normals& normals_;
  Dice dice_{777};

 public:
  std::vector<double> v;
  std::vector<float> g;

 private:
  std::vector<float> scale_;
};

// Elements by the distance from the largest moment of their block, four octaves each: codes of 8 bits are finer at the
// top. What is 24 octaves below it may have been raised to the smallest code, by any factor, and is nothing to the sum.
constexpr int kOctaves = 4, kBands = 6;

struct Band {
  double count = 0.0, ratios = 0.0, squares = 0.0;  // of ratios to the true moment
  double variance() const { return count > 0.0 ? squares / count - ratios * ratios / (count * count) : 0.0; }
};

struct Sums {
  double got = 0.0, want = 0.0, squares[kBands] = {};  // of the true moments, by band
  // How far they are apart, in standard deviations of what rounding leaves.
  double distance(const Band* bands) const {
    double variance = 0.0;
    for (int b = 0; b < kBands; ++b) variance += std::max(bands[b].variance(), 0.0) * squares[b];
    return (got - want) / std::sqrt(variance);
  }
};

struct Deviation {
  double mean = 0.0, rms_root = 0.0;  // of v over the true one, and of its root
  double amplification = 0.0;         // of a step
  int64_t zeros = 0;
  Band bands[kBands];
  Sums all;
  std::vector<Sums> blocks;  // where there was a gradient
};

Deviation deviation(const std::vector<float>& got, const std::vector<double>& want, bool wide) {
  Deviation d;
  double count = 0.0, largest = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (i % kBlock == 0) largest = *std::max_element(want.data() + i, want.data() + i + kBlock);
    if (i % kBlock == 0 && largest > 0.0) d.blocks.emplace_back();
    if (want[i] == 0.0) continue;  // a row that never had a gradient
    const double ratio = static_cast<double>(got[i]) / want[i], root = std::sqrt(ratio) - 1.0;
    d.amplification = std::max(d.amplification, (std::sqrt(want[i]) + 1e-8) / (std::sqrt(ratio * want[i]) + 1e-8));
    d.zeros += got[i] == 0.0f;
    const double octaves = std::log2(largest / want[i]);
    const bool low = octaves >= kOctaves * kBands;
    const int b = low ? 0 : static_cast<int>(octaves) / kOctaves;
    for (Sums* sums : {&d.all, &d.blocks.back()}) {
      sums->got += static_cast<double>(got[i]);
      sums->want += want[i];
      if (!low) sums->squares[b] += want[i] * want[i];
    }
    if (!low) d.bands[b] = {d.bands[b].count + 1.0, d.bands[b].ratios + ratio, d.bands[b].squares + ratio * ratio};
    if (low && wide) continue;
    count += 1.0;
    d.mean += ratio;
    d.rms_root += root * root;
  }
  d.mean /= count;
  d.rms_root = std::sqrt(d.rms_root / count);
  return d;
}

// Of all blocks together, each of which counts alike: the sum is of a few elements where scales differ.
double distance_of_blocks(const Deviation& d) {
  double sum = 0.0;
  for (const Sums& block : d.blocks) sum += block.distance(d.bands);
  return std::fabs(sum) / std::sqrt(static_cast<double>(d.blocks.size()));
}

void track(const NarrowFormat& f, const Scenario& scenario, const Normals& normals) {
  const int64_t long_run = std::string(scenario.name) == "stationary" ? 100000 : 10000;
  const int64_t steps = long_tier() ? shortened(long_run, 2500) : 2500;
  RunSetup s = f.in({});
  s.counts = {elements()};
  s.seed = 42;
  s.groups[0] = {0.0, 0.9, 0.999, 1e-8, 0.0, nullptr, 0.0};
  Runner r(s);
  Source source(scenario, s.groups[0].beta2, steps, normals);
  const bool wide = scenario.sigma > 2.0, bf16 = f.moment == SWD_DTYPE_BF16;
  std::string at = std::string(f.name) + " " + scenario.name + " ";
  // Five standard errors of a mean whose lowest octaves are within a factor of two.
  Figure mean(at + "mean of v", wide ? 0.05 : 0.01), root(at + "rms of sqrt(v)", bf16 ? 0.03 : 0.14);
  Figure step(at + "amplification of a step", wide ? 8.0 : 3.0);
  Figure sums(at + "sum(v) to S, deviations", 5.0), blocks(at + "sums of blocks, deviations", 5.0);
  Figure exact(at + "S to the true sum", 1e-7);
  for (int64_t t = 1; t <= steps; ++t) {
    source.next();
    r.set(SWD_BUFFER_GRAD, 0, source.g);
    r.step();
    if (t != steps && t % (steps / 50) != 0) continue;
    Deviation d = deviation(r.get(SWD_BUFFER_EXP_AVG_SQ, 0), source.v, wide);
    EXPECT_EQ(d.zeros, 0) << at << t;
    if (d.all.want > 0.0) {
      const double known = r.segment_state(0).exp_avg_sq_sum;
      exact.add(std::fabs(known / d.all.want - 1.0));
      d.all.want = known;
      sums.add(std::fabs(d.all.distance(d.bands)));
      blocks.add(distance_of_blocks(d));
    }
    if (t != steps) continue;
    mean.add(std::fabs(d.mean - 1.0));
    root.add(d.rms_root);
    step.add(d.amplification);
  }
  mean.check();
  if (!wide) root.check();
  step.check();
  sums.check();
  blocks.check();
  exact.check();
}

TEST(NarrowTracking, EveryScenario) {
  Normals normals;
  for (const NarrowFormat& f : narrow_presets()) {
    if (f.moment == SWD_DTYPE_F32 || std::string(f.name) == "tiny8") continue;  // whose moments are compact8's
    for (const Scenario& scenario : kScenarios) track(f, scenario, normals);
  }
}

}  // namespace
}  // namespace swd::test
