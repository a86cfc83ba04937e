// SPDX-License-Identifier: Apache-2.0
// The CPU backend is the oracle of the CUDA backend: parameters, moments, copies and state are equal to the bit.
#include <cmath>
#include <cstdlib>

#include "support/runner.h"

namespace swd::test {
namespace {

struct Case {
  const char* name;
  RunSetup setup;
  int scale = 0;  // power of two of the gradients
  double max_grad_norm = 0.5;
  bool pieces = false;
  int bad_step = 0;  // this step has an infinite gradient
};

void drive(Runner& r, const Case& c, int steps, std::vector<std::vector<uint8_t>>* trace,
           std::vector<swd_stats>* stats) {
  for (size_t k = 0; k < c.setup.counts.size(); ++k) r.set(SWD_BUFFER_PARAM, k, uniform(7, k, c.setup.counts[k]));
  r.args().max_grad_norm = c.max_grad_norm;
  for (int t = 1; t <= steps; ++t) {
    for (size_t k = 0; k < c.setup.counts.size(); ++k) {
      std::vector<float> g = uniform(11 + static_cast<uint64_t>(t), k, c.setup.counts[k]);
      for (float& x : g) x = std::ldexp(x, c.scale);
      if (t == c.bad_step && !g.empty() && k == 1) g.back() = INFINITY;
      r.set(SWD_BUFFER_GRAD, k, g);
      r.missing[k] = c.setup.counts.size() > 2 && (k + static_cast<size_t>(t)) % 5 == 0;
    }
    if (c.pieces) {
      int64_t n = static_cast<int64_t>(c.setup.counts.size()), half = n / 2;
      bool max_round = (c.setup.flags & SWD_PLAN_AMSGRAD) != 0;
      for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
        r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, half, n - half, r.stream()));
        r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, 0, half, r.stream()));
        r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
        r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
      }
      r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
    } else {
      r.step();
    }
    stats->push_back(r.stats());
    trace->push_back(r.bytes());
  }
}

Case& add_to(std::vector<Case>& out, const char* name, const std::vector<int64_t>& counts) {
  out.push_back({name, {}, 0, 0.5, false, 0});
  out.back().setup.counts = counts;
  out.back().setup.groups[0].weight_decay = 1e-2;
  return out.back();
}

// 20 million elements: the grid of a large device is full, and every warp goes round several times. Too slow for a
// simulated one, which reaches the same with few multiprocessors, and for a checking tool: SWD_TEST_WIDE asks for them.
void add_wide(std::vector<Case>& out) {
  std::vector<int64_t> tensors;
  for (uint64_t k = 0; k < 2000; ++k) tensors.push_back(static_cast<int64_t>(mix(k) % 20001));
  add_to(out, "wide_one", {20000003});
  add_to(out, "wide_packed", tensors).setup.gap = 1;
  Case& askew = add_to(out, "wide_askew", tensors);
  askew.setup.grad = SWD_DTYPE_BF16;
  askew.setup.copy = SWD_DTYPE_BF16;
  askew.setup.shift = 1;
  askew.setup.gap = 3;
  Case& list = add_to(out, "wide_list", tensors);
  list.setup.grad = SWD_DTYPE_F16;
  list.setup.copy = SWD_DTYPE_F16;
  list.setup.flags = SWD_PLAN_LIST;
  Case& modes = add_to(out, "wide_modes", tensors);
  modes.setup.copy = SWD_DTYPE_BF16;
  modes.setup.flags = SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS;
  Case& pieces = add_to(out, "wide_pieces", tensors);
  pieces.setup.grad = SWD_DTYPE_BF16;
  pieces.setup.flags = SWD_PLAN_UPDATE_NORMS;
  pieces.pieces = true;
}

std::vector<Case> cases() {
  std::vector<Case> out;
  auto add = [&](const char* name, const std::vector<int64_t>& counts) -> Case& { return add_to(out, name, counts); };
  add("sizes", {0, 1, 7, 255, 256, 257, 4095, 4096, 4097, 8192});
  Case& shifted = add("misaligned", {5000, 3, 4096, 1025});
  shifted.setup.shift = 1;
  shifted.setup.gap = 3;
  add("list", {5000, 0, 3, 4096, 1025}).setup.flags = SWD_PLAN_LIST;
  Case& bf16 = add("bf16", {4097, 1030});
  bf16.setup.grad = SWD_DTYPE_BF16;
  bf16.setup.copy = SWD_DTYPE_BF16;
  Case& f16 = add("f16_misaligned", {4097, 1030, 9000});
  f16.setup.grad = SWD_DTYPE_F16;
  f16.setup.copy = SWD_DTYPE_F16;
  f16.setup.gap = 1;
  Case& amsgrad = add("amsgrad", {5000, 100, 4096});
  amsgrad.setup.flags = SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS;
  Case& pieces = add("amsgrad_pieces", {5000, 100, 4096});
  pieces.setup.flags = SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS;
  pieces.pieces = true;
  Case& mixed = add("mixed_groups", {5000, 100, 4096, 77});
  mixed.setup.flags = SWD_PLAN_UPDATE_NORMS | SWD_PLAN_MAXIMIZE;
  mixed.setup.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE};
  mixed.setup.group_of = {0, 1, 2, 3};
  mixed.setup.groups = {{1e-3, 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0},
                        {2e-3, 0.4, 0.3, 1e-8, 1e-2, nullptr, 0.0},
                        {1e-3, 0.0, 0.99, 1e-6, 1e-1, nullptr},
                        {1e-3, 0.8, 0.9, 1e-8, 0.0, nullptr, 0.0}};
  // More groups, and pointers, than one launch carries; no two alike.
  Case& groups = add("carried_groups", std::vector<int64_t>(100, 5));
  groups.setup.decay.assign(100, SWD_DECAY_SCHEDULED);
  groups.setup.groups.clear();
  for (uint32_t k = 0; k < 100; ++k) {
    groups.setup.groups.push_back({1e-3 * (1 + k), 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0});
    groups.setup.group_of.push_back(99 - k);
  }
  add("huge_gradients", {5000, 300}).scale = 90;
  out.back().max_grad_norm = 1.0;
  add("tiny_gradients", {5000, 300}).scale = -120;
  out.back().max_grad_norm = 0.0;
  add("skipped_step", {5000, 300}).bad_step = 2;
  std::vector<int64_t> many;
  for (int64_t k = 0; k < 1100; ++k) many.push_back(k * 37 % 71);
  add("many_segments", many).setup.flags = SWD_PLAN_LIST;
  add("deep_tree", {257 * 4096 + 5}).setup.grad = SWD_DTYPE_BF16;
  if (getenv("SWD_TEST_WIDE")) add_wide(out);
  return out;
}

class EqualityTest : public ::testing::TestWithParam<Case> {};

TEST_P(EqualityTest, CpuEqualsCuda) {
  ASSERT_EQ(backend_under_test(), SWD_BACKEND_CUDA);
  Case c = GetParam();
  std::vector<std::vector<uint8_t>> bytes[2];
  std::vector<swd_stats> stats[2];
  for (int side = 0; side < 2; ++side) {
    c.setup.backend = side == 0 ? SWD_BACKEND_CPU : SWD_BACKEND_CUDA;
    Runner runner(c.setup);
    drive(runner, c, 3, &bytes[side], &stats[side]);
  }
  for (size_t t = 0; t < bytes[0].size(); ++t) {
    EXPECT_TRUE(bytes[0][t] == bytes[1][t]) << "after step " << t + 1;
    EXPECT_EQ(stats[0][t].result, stats[1][t].result);
    EXPECT_EQ(stats[0][t].result,
              static_cast<int>(t) + 1 == c.bad_step ? SWD_RESULT_SKIPPED_NONFINITE : SWD_RESULT_APPLIED);
    // A skipped step has no meaningful norm; NaN payloads are outside the promise.
    if (stats[0][t].result == SWD_RESULT_APPLIED) EXPECT_EQ(memcmp(&stats[0][t], &stats[1][t], sizeof(swd_stats)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, EqualityTest, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace swd::test
