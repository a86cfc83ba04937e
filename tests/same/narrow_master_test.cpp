// SPDX-License-Identifier: Apache-2.0
// A bf16 parameter with 16 bits of remainder is the fp32 parameter, to the bit: the golden trajectories, and random
// runs with every decay, amsgrad, update norms, clipping and missing gradients. What is visible is the nearest bf16
// number.
#include <cmath>

#include "support/golden_run.h"
#include "support/narrow.h"
#include "support/random_run.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

// NaN has no bits of its own.
std::vector<uint32_t> patterns(const std::vector<float>& values) {
  std::vector<uint32_t> out;
  for (float x : values) out.push_back(std::isnan(x) ? 0x7FC00000u : bits_of(x));
  return out;
}

void expect_visible_is_nearest(Runner& split, size_t k) {
  std::vector<uint16_t> visible = split.get_codes(SWD_BUFFER_PARAM, k);
  std::vector<float> whole = split.get(SWD_BUFFER_PARAM, k);
  for (size_t i = 0; i < whole.size(); ++i) {
    uint16_t even = nearest_code(SWD_DTYPE_BF16, whole[i]);
    bool tie = (bits_of(whole[i]) & 0xFFFFu) == 0x8000u;
    uint16_t away = tie ? static_cast<uint16_t>((bits_of(whole[i]) >> 16) + 1) : even;
    ASSERT_EQ(visible[i], away) << whole[i];
  }
}

void expect_same(Runner& wide, Runner& split, size_t k) {
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ, SWD_BUFFER_MAX_EXP_AVG_SQ}) {
    if (!wide.at(buffer, k)) continue;
    ASSERT_EQ(patterns(split.get(buffer, k)), patterns(wide.get(buffer, k))) << buffer << " of segment " << k;
  }
  expect_visible_is_nearest(split, k);
}

void expect_same(Runner& wide, Runner& split) {
  for (size_t k = 0; k < wide.setup().counts.size(); ++k) expect_same(wide, split, k);
  EXPECT_EQ(split.image(), wide.image());
  swd_stats got = split.stats(), want = wide.stats();
  EXPECT_EQ(got.result, want.result) << swd_result_name(got.result);
  EXPECT_EQ(got.flags, want.flags);
  const std::pair<double, double> numbers[] = {{got.grad_norm, want.grad_norm},
                                               {got.vbar, want.vbar},
                                               {got.param_norm, want.param_norm},
                                               {got.update_norm, want.update_norm}};
  for (auto [a, b] : numbers) EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << a << " " << b;
}

RunSetup split_of(RunSetup s) {
  s.param = SWD_DTYPE_BF16;
  s.remainder = SWD_DTYPE_I16;
  s.copy = SWD_DTYPE_NONE;
  return s;
}

TEST(NarrowMaster, GoldenTrajectories) {
  for (const std::string& name : golden_names()) {
    SCOPED_TRACE(name);
    Golden golden = read_golden(name);
    std::vector<std::vector<uint32_t>> wanted, seen;
    auto record_into = [&](std::vector<std::vector<uint32_t>>& to) {
      return [&](const GoldenSnapshot&, Runner& runner) {
        for (size_t k = 0; k < golden.setup.counts.size(); ++k) {
          to.push_back(patterns(runner.get(SWD_BUFFER_PARAM, k)));
          to.push_back(patterns(runner.get(SWD_BUFFER_EXP_AVG_SQ, k)));
          if (runner.setup().param == SWD_DTYPE_BF16) expect_visible_is_nearest(runner, k);
        }
      };
    };
    run_golden(golden, {}, record_into(wanted));
    run_golden(golden, split_of({}), record_into(seen));
    EXPECT_TRUE(seen == wanted);
  }
}

// One step with what was drawn, all of it on the host.
void step(Runner& r, const DeviceBuffer& has_grad, const OracleInput& in) {
  r.setup().groups = in.groups;
  r.args().flags = in.flags;
  r.args().max_grad_norm = in.max_grad_norm;
  r.args().max_decay = in.max_decay;
  r.args().loss_scale = in.loss_scale;
  r.args().reference_step = in.reference_step;
  if (!(r.setup().flags & SWD_PLAN_LIST)) r.args().has_grad = has_grad.data();
  for (size_t k = 0; k < in.grad.size(); ++k) {
    r.set(SWD_BUFFER_GRAD, k, in.grad[k]);
    r.missing[k] = !in.has_grad[k];
  }
  r.step();
}

TEST(NarrowMaster, RandomRuns) {
  int64_t applied = 0;
  for (int64_t i = 0, runs = shortened(scaled(120, 30), 20); i < runs; ++i) {
    SCOPED_TRACE("run " + std::to_string(i));
    Dice dice(static_cast<uint64_t>(i) + 4000);
    RandomRun run = draw_run(dice);
    run.on_device = run.pieces = false;
    run.setup.copy = SWD_DTYPE_NONE;
    if (run.setup.grad == SWD_DTYPE_F16) run.setup.grad = SWD_DTYPE_BF16;
    Runner wide(run.setup), split(split_of(run.setup));
    DeviceBuffer has_grad(run.setup.backend, run.setup.counts.size());
    for (size_t k = 0; k < run.setup.counts.size(); ++k) {
      std::vector<float> p = uniform(dice.bits(), k, run.setup.counts[k]);
      for (Runner* r : {&wide, &split}) r->set(SWD_BUFFER_PARAM, k, p);
    }
    for (int t = 1; t <= run.steps && !HasFailure(); ++t) {
      OracleInput in = draw_step(dice, run, t);
      has_grad.write(0, in.has_grad.data(), in.has_grad.size());
      for (Runner* r : {&wide, &split}) step(*r, has_grad, in);
      applied += wide.stats().result == SWD_RESULT_APPLIED;
    }
    expect_same(wide, split);
  }
  EXPECT_GT(applied, 50);
}

}  // namespace
}  // namespace swd::test
