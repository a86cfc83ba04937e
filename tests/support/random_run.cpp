// SPDX-License-Identifier: Apache-2.0
// The distributions from which runs are drawn.
#include "random_run.h"

#include <cmath>

namespace swd::test {
namespace {

swd_group draw_group(Dice& dice, double grad_scale, swd_decay decay) {
  const double betas1[] = {0.9, 0.9, 0.8, 0.95, 0.4, 0.0}, betas2[] = {0.999, 0.999, 0.95, 0.99, 0.9999, 0.3, 0.0};
  swd_group g = SWD_GROUP_INIT;
  g.lr = dice.chance(0.05) ? 0.0 : std::pow(10.0, -4.0 + 2.0 * dice.unit());
  g.beta1 = betas1[dice.below(6)];
  // A single gradient under the root may cancel with L2 decay, and no bound on the quotient would hold.
  g.beta2 = betas2[dice.below(decay == SWD_DECAY_L2 ? 5 : 7)];
  g.eps = dice.chance(0.5) ? 1e-8 : 1e-6 * grad_scale;
  if (!std::isnormal(static_cast<float>(g.eps))) g.eps = 1e-8;
  g.weight_decay = dice.chance(0.1) ? 0.0 : std::pow(10.0, -3.0 + 3.0 * dice.unit());
  if (decay == SWD_DECAY_SCHEDULED) g.weight_decay *= grad_scale;  // it has the unit of a gradient
  return g;
}

}  // namespace

RandomRun draw_run(Dice& dice) {
  const int64_t sizes[] = {0, 1, 2, 33, 100, 255, 256, 257, 700, 1023, 1025, scaled(4096, 31), scaled(9001, 500)};
  const swd_dtype grads[] = {SWD_DTYPE_F32, SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16};
  const swd_dtype copies[] = {SWD_DTYPE_NONE, SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16};
  const int exponents[] = {0, 0, 0, -10, 10, -20, 50, 90};
  RandomRun run;
  run.steps = scaled(40, 8);
  run.setup.backend = backend_under_test();
  run.setup.grad = grads[dice.below(4)];
  run.setup.copy = copies[dice.below(4)];
  int exponent = run.setup.grad == SWD_DTYPE_F16 ? static_cast<int>(dice.below(12)) - 6 : exponents[dice.below(8)];
  run.grad_scale = std::ldexp(1.0, exponent);
  run.loss_scale = dice.chance(0.5) ? 1.0 : std::exp2(dice.below(12)) * (dice.chance(0.5) ? 1.0 : 1.7);
  if (exponent > 60) run.loss_scale = std::ldexp(1.0, exponent);
  double unscaled = run.grad_scale / run.loss_scale;
  if (dice.chance(0.5)) run.max_grad_norm = unscaled * std::pow(10.0, -1.0 + 3.0 * dice.unit());
  for (uint32_t flag : {SWD_PLAN_LIST, SWD_PLAN_AMSGRAD, SWD_PLAN_MAXIMIZE, SWD_PLAN_UPDATE_NORMS}) {
    if (dice.chance(0.4)) run.setup.flags |= flag;
  }
  int64_t groups = 1 + dice.below(4), segments = 1 + dice.below(7);
  run.setup.decay.clear();
  run.setup.groups.clear();
  bool one_mode = dice.chance(0.5), scheduled = false;
  for (int64_t i = 0; i < groups; ++i) {
    swd_decay mode = one_mode && i > 0 ? run.setup.decay[0] : static_cast<swd_decay>(dice.below(5));
    scheduled = scheduled || mode == SWD_DECAY_SCHEDULED || mode == SWD_DECAY_RELATIVE;
    run.setup.decay.push_back(mode);
    run.setup.groups.push_back(draw_group(dice, unscaled, mode));
    const swd_group& g = run.setup.groups.back();
    run.forgiving = run.forgiving && mode != SWD_DECAY_L2 && g.beta1 >= 0.8 && g.beta2 >= 0.95;
  }
  for (int64_t k = 0; k < segments; ++k) {
    run.setup.counts.push_back(sizes[dice.below(13)]);
    run.setup.group_of.push_back(static_cast<uint32_t>(dice.below(groups)));
    uint32_t flags = 0;
    for (uint32_t flag : {SWD_SEGMENT_NO_NORM, SWD_SEGMENT_NO_VBAR, SWD_SEGMENT_NO_DECAY}) {
      if (dice.chance(0.15)) flags |= flag;
    }
    run.setup.flags_of.push_back(flags);
  }
  run.setup.gap = static_cast<uint32_t>(dice.below(4));
  run.setup.shift = dice.chance(0.3) ? 1 : 0;
  run.max_decay = dice.chance(0.7) ? 1.0 : 0.01;
  run.pieces = dice.chance(0.4);
  run.on_device = dice.chance(0.4);
  run.propagate = dice.chance(scheduled ? 0.1 : 0.5);
  return run;
}

OracleInput draw_step(Dice& dice, const RandomRun& run, int t) {
  OracleInput in;
  in.groups = run.setup.groups;
  for (swd_group& g : in.groups) {
    g.lr *= t % 3 == 0 ? 0.5 : 1.0;
    if (run.on_device) g.lr = static_cast<float>(g.lr);
  }
  in.loss_scale = run.loss_scale;
  in.max_grad_norm = run.max_grad_norm;
  in.max_decay = run.max_decay;
  in.reference_step = 3;
  if (run.on_device) in.loss_scale = static_cast<float>(in.loss_scale);
  bool scheduled = false;
  for (swd_decay mode : run.setup.decay) {
    scheduled = scheduled || mode == SWD_DECAY_SCHEDULED || mode == SWD_DECAY_RELATIVE;
  }
  bool last = t == run.steps, pieces = run.pieces;
  if (run.propagate) in.flags |= SWD_STEP_PROPAGATE;
  if (run.propagate && !scheduled && run.max_grad_norm == 0.0 && !pieces && dice.chance(0.3))
    in.flags |= SWD_STEP_SKIP_NORM;
  // Under propagation what is not finite stays, so only the last step has such gradients.
  double factor = run.grad_scale;
  bool bad = run.propagate ? last : dice.chance(0.06);
  if (!run.propagate && run.on_device) {
    in.found_inf = dice.chance(0.06);
    if (dice.chance(0.05)) in.loss_scale = dice.chance(0.5) ? 0.0 : INFINITY;
    if (dice.chance(0.05)) in.groups[0].lr = -1.0;
  }
  if (!run.propagate && !run.on_device && dice.chance(0.05)) in.loss_scale = 0x1p127;
  // Not where a root of a single small gradient would divide the moment of a huge one.
  bool may_overflow = run.forgiving && !run.propagate && run.setup.grad != SWD_DTYPE_F16 && run.max_grad_norm == 0.0;
  if (may_overflow && dice.chance(0.05)) factor *= 0x1p66;
  for (size_t k = 0; k < run.setup.counts.size(); ++k) {
    in.has_grad.push_back(dice.chance(0.85));
    std::vector<float> g = uniform(dice.bits(), k, run.setup.counts[k]);
    for (float& x : g) x = rounded_to(run.setup.grad, static_cast<float>(x * factor));
    if (bad && !g.empty() && dice.chance(0.5)) g[static_cast<size_t>(dice.below(run.setup.counts[k]))] = NAN;
    if (!in.has_grad[k]) g.assign(g.size(), NAN);  // must not be read
    in.grad.push_back(std::move(g));
  }
  return in;
}

}  // namespace swd::test
