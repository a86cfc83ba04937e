// SPDX-License-Identifier: Apache-2.0
// Trajectories of the authors' own AdamS in fp64 (tests/golden), flat and as a tensor list, all steps, on the backend
// under test. Bounds are fractions of the largest value of a tensor. In a closed loop, where gradients follow the
// optimizer's own fp32 parameters, a tensor may also err by as much as the authors' code does when run in fp32.
#include <algorithm>
#include <cmath>

#include "support/figure.h"
#include "support/golden_run.h"

namespace swd::test {
namespace {

struct Tensor {
  const char* name;
  int buffer;
  double bound;
  const char* deviation;  // its key in fp32_deviation.json
};
constexpr Tensor kTensors[] = {{"param", SWD_BUFFER_PARAM, 3e-6, "p"},
                               {"exp_avg", SWD_BUFFER_EXP_AVG, 1e-6, "m"},
                               {"exp_avg_sq", SWD_BUFFER_EXP_AVG_SQ, 3e-6, "v"},
                               {"max_exp_avg_sq", SWD_BUFFER_MAX_EXP_AVG_SQ, 3e-6, "v"}};
constexpr double kVbarBound = 2e-7, kNormBound = 2e-7;

double error_of(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = 0.0, error = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::fabs(want[i]));
    error = std::max(error, std::fabs(got[i] - want[i]));
  }
  return error == 0.0 ? 0.0 : error / largest;  // a tensor that never had a gradient is all zero
}

void compare(const Golden& golden, const GoldenSnapshot& want, Runner& runner) {
  std::string at = golden.name + " step " + std::to_string(want.step) + " ";
  swd_stats stats = runner.stats();
  EXPECT_EQ(stats.result, SWD_RESULT_APPLIED);
  Figure vbar(at + "vbar", kVbarBound), norm(at + "grad_norm", kNormBound);
  vbar.add(relative_error(stats.vbar, want.vbar));
  norm.add(relative_error(stats.grad_norm, want.grad_norm));
  bool last = want.step == golden.snapshots.back().step;
  vbar.check(last);
  norm.check(last);
  for (size_t k = 0; k < golden.setup.counts.size(); ++k)
    EXPECT_EQ(runner.segment_state(k).step, want.segment_steps[k]);
  for (const Tensor& tensor : kTensors) {
    if (!want.values.count(tensor.buffer)) continue;
    double deviation = golden.closed_loop ? want.fp32_deviation.at(tensor.deviation) : 0.0;
    Figure figure(at + tensor.name, std::max(tensor.bound, deviation));
    for (size_t k = 0; k < golden.setup.counts.size(); ++k) {
      figure.add(error_of(runner.get(tensor.buffer, k), want.values.at(tensor.buffer)[k]));
    }
    figure.check(last);
  }
}

void run(const std::string& name, uint32_t layout) {
  Golden golden = read_golden(name);
  RunSetup formats;
  formats.flags = layout;
  auto at_snapshot = [&](const GoldenSnapshot& want, Runner& runner) { compare(golden, want, runner); };
  EXPECT_GE(run_golden(golden, formats, at_snapshot), 300u);
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};
TEST_P(GoldenTest, Flat) { run(GetParam(), 0); }
TEST_P(GoldenTest, List) { run(GetParam(), SWD_PLAN_LIST); }
INSTANTIATE_TEST_SUITE_P(Authors, GoldenTest, ::testing::ValuesIn(golden_names()),
                         [](const auto& info) { return info.param; });

TEST(GoldenFiles, AllAreThere) {
  EXPECT_EQ(golden_names(), (std::vector<std::string>{"amsgrad", "basic", "clip", "closed_loop", "groups", "missing",
                                                      "schedule", "small"}));
}

}  // namespace
}  // namespace swd::test
