// SPDX-License-Identifier: Apache-2.0
// Trajectories of the authors' AdamS in fp64 (tests/golden) with narrow states, from three seeds: parameters and second
// moments, over the largest value of their tensor, within bounds by format. The schedule is that of fp32.
#include <algorithm>
#include <cmath>

#include "support/figure.h"
#include "support/golden_run.h"
#include "support/narrow.h"

namespace swd::test {
namespace {

struct Bounds {
  double param, param_rms, param_closed_loop, second;
};

// A parameter in bf16 alone errs by its own rounding, whatever the moments.
Bounds bounds_of(const NarrowFormat& f) {
  const double second = f.moment == SWD_DTYPE_BF16 ? 0.2 : 0.6;
  if (f.param == SWD_DTYPE_BF16 && f.remainder == SWD_DTYPE_NONE) return {0.2, 4.5e-2, 0.17, second};
  if (f.moment == SWD_DTYPE_BF16) return {1e-2, 1e-3, 5e-2, second};
  return {3e-2, 4e-3, 0.17, second};
}

struct Errors {
  double largest = 0.0, squares = 0.0, count = 0.0;
  void add(const std::vector<float>& got, const std::vector<double>& want) {
    double scale = 0.0;
    for (double x : want) scale = std::max(scale, std::fabs(x));
    for (size_t i = 0; i < got.size() && scale > 0.0; ++i) {
      double error = std::fabs(static_cast<double>(got[i]) - want[i]) / scale;
      if (!(error <= largest)) largest = error;
      squares += error * error;
      count += 1.0;
    }
  }
};

class NarrowGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(NarrowGoldenTest, WithinTheBoundsOfItsFormat) {
  Golden golden = read_golden(GetParam());
  const size_t presets = narrow_presets().size();
  for (size_t i = 0; i < scaled(narrow_formats().size() / 2, presets); ++i) {  // the other half has bf16 gradients
    const NarrowFormat f = narrow_formats()[i];
    if (!f.has_narrow_moments()) continue;
    Bounds bounds = bounds_of(f);
    std::string at = golden.name + " " + f.name + " ";
    Figure param(at + "param", golden.closed_loop ? bounds.param_closed_loop : bounds.param);
    Figure param_rms(at + "param, rms", golden.closed_loop ? INFINITY : bounds.param_rms);
    Figure second(at + "exp_avg_sq", bounds.second), vbar(at + "vbar", golden.closed_loop ? 3e-2 : 2e-7);
    for (uint64_t seed = 3; seed < scaled(6u, 4u); ++seed) {
      RunSetup formats = f.in({});
      formats.seed = seed;
      formats.flags = seed == 4 ? uint32_t{SWD_PLAN_LIST} : 0u;
      run_golden(golden, formats, [&](const GoldenSnapshot& want, Runner& runner) {
        Errors p, v;
        for (size_t k = 0; k < golden.setup.counts.size(); ++k) {
          p.add(runner.get(SWD_BUFFER_PARAM, k), want.values.at(SWD_BUFFER_PARAM)[k]);
          v.add(runner.get(SWD_BUFFER_EXP_AVG_SQ, k), want.values.at(SWD_BUFFER_EXP_AVG_SQ)[k]);
        }
        param.add(p.largest);
        param_rms.add(std::sqrt(p.squares / p.count));
        second.add(v.largest);
        vbar.add(relative_error(runner.stats().vbar, want.vbar));
      });
    }
    for (const Figure* figure : {&param, &param_rms, &second, &vbar}) figure->check(i < presets);
  }
}

INSTANTIATE_TEST_SUITE_P(Authors, NarrowGoldenTest,
                         ::testing::Values("basic", "groups", "clip", "missing", "closed_loop"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace swd::test
