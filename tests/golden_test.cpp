// SPDX-License-Identifier: Apache-2.0
// Trajectories of the authors' own AdamS in fp64 (tests/golden), flat and as a tensor list, on the backend under test.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "support/runner.h"

namespace swd::test {
namespace {

struct Golden {
  std::map<std::string, std::string> head;
  RunSetup setup;
  std::vector<double> lr_factor;
  std::vector<std::vector<std::string>> grad_exp;
  std::vector<std::string> snapshots;  // the lines of all snapshots
};

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

Golden read_golden(const std::string& name) {
  std::ifstream file(std::string(SWD_TEST_DATA_DIR) + "/" + name + ".txt");
  EXPECT_TRUE(file.good()) << name;
  Golden out;
  out.setup.groups.clear();
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream in(line);
    std::string key, word;
    in >> key;
    if (key == "sizes") {
      while (in >> word) out.setup.counts.push_back(std::stoll(word));
      out.setup.group_of.resize(out.setup.counts.size());
    } else if (key == "group") {
      std::string lr, b1, b2, eps, wd;
      in >> word >> lr >> word >> b1 >> word >> b2 >> word >> eps >> word >> wd >> word;
      while (in >> word) out.setup.group_of[std::stoul(word)] = static_cast<uint32_t>(out.setup.groups.size());
      out.setup.groups.push_back({number(lr), number(b1), number(b2), number(eps), number(wd), nullptr});
    } else if (key == "lr_factor") {
      while (in >> word) out.lr_factor.push_back(number(word));
    } else if (key == "grad_exp") {
      in >> word;
      out.grad_exp.emplace_back();
      while (in >> word) out.grad_exp.back().push_back(word);
    } else if (key == "snapshot" || !out.snapshots.empty()) {
      out.snapshots.push_back(line);
    } else if (key != "#" && !key.empty()) {
      in >> out.head[key];
    }
  }
  out.setup.decay.assign(out.setup.groups.size(), SWD_DECAY_SCHEDULED);
  return out;
}

void expect_near(const std::vector<float>& got, std::istringstream& in, double bound, const std::string& what) {
  double largest = 0.0, error = 0.0;
  std::string word;
  for (float x : got) {
    ASSERT_TRUE(static_cast<bool>(in >> word)) << what;
    double want = number(word);
    largest = std::max(largest, std::fabs(want));
    error = std::max(error, std::fabs(static_cast<double>(x) - want));
  }
  EXPECT_LE(error, bound * largest) << what;
}

void run(const std::string& name, uint32_t layout) {
  Golden golden = read_golden(name);
  const uint64_t seed = std::stoull(golden.head["seed"]);
  const bool closed = golden.head["closed_loop"] == "1", amsgrad = golden.head["amsgrad"] == "1";
  golden.setup.backend = backend_under_test();
  golden.setup.flags = layout | (amsgrad ? SWD_PLAN_AMSGRAD : 0u);
  Runner runner(golden.setup);
  runner.args().max_grad_norm = number(golden.head["max_grad_norm"]);
  DeviceBuffer has_grad(golden.setup.backend, golden.setup.counts.size());
  if (!(layout & SWD_PLAN_LIST)) runner.args().has_grad = has_grad.data();
  for (size_t k = 0; k < golden.setup.counts.size(); ++k) {
    runner.set(SWD_BUFFER_PARAM, k, uniform(seed, 1000003 * (k + 1), golden.setup.counts[k]));
  }
  uint64_t t = 0;
  size_t at = 0;
  const uint64_t last = scaled<uint64_t>(100000, 100);
  while (at < golden.snapshots.size() && golden.snapshots[at] != "end") {
    std::istringstream in(golden.snapshots[at++]);
    std::string word, norm, vbar;
    uint64_t until = 0;
    in >> word >> until >> word >> norm >> word >> vbar >> word;
    if (until > last) break;
    for (++t; t <= until; ++t) {
      for (size_t k = 0; k < golden.setup.counts.size(); ++k) {
        const std::string& exponent = golden.grad_exp[k][t - 1];
        runner.missing[k] = exponent == "x";
        uint8_t present = exponent != "x";
        has_grad.write(k, &present, 1);
        if (!present) continue;
        std::vector<float> g = uniform(seed, 7919 * t + k, golden.setup.counts[k]);
        std::vector<float> p = closed ? runner.get(SWD_BUFFER_PARAM, k) : g;
        for (size_t i = 0; i < g.size(); ++i) {
          g[i] = closed ? static_cast<float>(std::ldexp(static_cast<double>(p[i]), -static_cast<int>(i % 4)) + 0.125 * g[i])
                        : std::ldexp(g[i], std::stoi(exponent));
        }
        runner.set(SWD_BUFFER_GRAD, k, g);
      }
      for (size_t i = 0; i < golden.setup.groups.size(); ++i) {
        runner.setup().groups[i].lr = golden.setup.groups[i].lr * golden.lr_factor[t - 1];
      }
      runner.step();
    }
    t = until;
    std::string what = name + " step " + std::to_string(until);
    swd_stats stats = runner.stats();
    // In a closed loop the gradients follow the fp32 parameters, so vbar and the norm inherit their deviation.
    double slack = closed ? 20.0 : 1.0;
    EXPECT_EQ(stats.status, SWD_STEP_APPLIED) << what;
    EXPECT_NEAR(stats.vbar, number(vbar), slack * 2e-7 * number(vbar)) << what;
    EXPECT_NEAR(stats.grad_norm, number(norm), slack * 2e-7 * number(norm)) << what;
    for (size_t k = 0; k < golden.setup.counts.size(); ++k) {
      in >> word;
      EXPECT_EQ(runner.segment_state(k).step, std::stoll(word)) << what;
    }
    for (; golden.snapshots[at] != "end" && golden.snapshots[at].rfind("snapshot", 0) != 0; ++at) {
      std::istringstream values(golden.snapshots[at]);
      size_t k = 0;
      values >> word >> k;
      double loop = closed ? 10.0 : 1.0;  // the authors' own fp32 run deviates by more than this
      if (word == "param") expect_near(runner.get(SWD_BUFFER_PARAM, k), values, loop * 3e-6, what + " param");
      if (word == "exp_avg") expect_near(runner.get(SWD_BUFFER_EXP_AVG, k), values, loop * 1e-6, what + " exp_avg");
      if (word == "exp_avg_sq") expect_near(runner.get(SWD_BUFFER_EXP_AVG_SQ, k), values, 3e-6, what + " exp_avg_sq");
      if (word == "max_exp_avg_sq") {
        expect_near(runner.get(SWD_BUFFER_MAX_EXP_AVG_SQ, k), values, 3e-6, what + " max_exp_avg_sq");
      }
    }
  }
  EXPECT_GT(t, 0u);
}

class GoldenTest : public ::testing::TestWithParam<const char*> {};
TEST_P(GoldenTest, Flat) { run(GetParam(), 0); }
TEST_P(GoldenTest, List) { run(GetParam(), SWD_PLAN_LIST); }
INSTANTIATE_TEST_SUITE_P(Authors, GoldenTest,
                         ::testing::Values("amsgrad", "basic", "clip", "closed_loop", "groups", "missing", "schedule", "small"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace swd::test
