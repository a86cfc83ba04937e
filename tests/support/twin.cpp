// SPDX-License-Identifier: Apache-2.0
// One step of the library with the oracle's input, and the comparison after it.
#include "support/twin.h"

namespace swd::test {

void Twin::prepare(const OracleInput& in) {
  swd_step_args& args = library_.args();
  library_.setup().groups = in.groups;
  args.flags = in.flags;
  args.max_grad_norm = in.max_grad_norm;
  args.max_decay = in.max_decay;
  args.loss_scale = run_.on_device ? 0.25 : in.loss_scale;  // and four times as much behind the pointer
  args.reference_step = in.reference_step;
  if (run_.on_device) {
    loss_scale_.set(static_cast<float>(4.0 * in.loss_scale));
    found_inf_.set(in.found_inf ? 1.0f : 0.0f);
    args.loss_scale_pointer = loss_scale_.pointer();
    args.found_inf = found_inf_.pointer();
    for (size_t i = 0; i < in.groups.size(); ++i) {
      float lr = static_cast<float>(in.groups[i].lr);
      swd_group group = in.groups[i];
      group.lr = i % 2 ? 77.0 : group.lr;
      group.lr_pointer = i % 2 ? reinterpret_cast<const float*>(lr_.data()) + i : nullptr;
      lr_.write(4 * i, &lr, 4);
      groups_.write(sizeof group * i, &group, sizeof group);
    }
    args.groups_device = reinterpret_cast<const swd_group*>(groups_.data());
  }
  bool list = (run_.setup.flags & SWD_PLAN_LIST) != 0;
  if (!list) args.has_grad = has_grad_.data();
  has_grad_.write(0, in.has_grad.data(), in.has_grad.size());
  for (size_t k = 0; k < in.grad.size(); ++k) {
    library_.set(SWD_BUFFER_GRAD, k, in.grad[k]);
    library_.missing[k] = !in.has_grad[k];
  }
}

// Segments reduced in two calls, the later ones first, and some twice.
void Twin::pieces() {
  int64_t n = static_cast<int64_t>(run_.setup.counts.size()), cut = dice_.below(n + 1), again = dice_.below(n);
  const swd_step_args* args = &library_.args();
  const std::vector<swd_decay>& decay = run_.setup.decay;
  bool scheduled = std::count(decay.begin(), decay.end(), SWD_DECAY_SCHEDULED) > 0 ||
                   std::count(decay.begin(), decay.end(), SWD_DECAY_RELATIVE) > 0;
  bool max_round = scheduled && (run_.setup.flags & SWD_PLAN_AMSGRAD);
  library_.point_gradients();
  for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
    auto reduce = [&](int64_t first, int64_t count) {
      library_.ok(swd_reduce(library_.plan(), &library_.buffers, args, phase, first, count, library_.stream()));
    };
    reduce(cut, n - cut);
    reduce(0, cut);
    reduce(again, 1);
    double* record = record_.pointer();
    library_.ok(swd_fold(library_.plan(), &library_.buffers, args, phase, record, kRecordDoubles, library_.stream()));
    if (phase == SWD_PHASE_GRAD) folded_ = record_.get();
    library_.ok(swd_decide(library_.plan(), &library_.buffers, args, phase, record, kRecordDoubles, library_.stream()));
  }
  library_.ok(swd_update(library_.plan(), &library_.buffers, args, library_.stream()));
}

void Twin::compare(const OracleInput& in, Figures& f) {
  std::vector<double> lambda;
  swd_stats got = library_.stats(&lambda);
  const swd_stats& want = oracle_.stats;
  ASSERT_EQ(got.result, want.result) << swd_result_name(got.result) << " " << swd_result_name(want.result);
  EXPECT_EQ(got.steps_applied, want.steps_applied);
  EXPECT_EQ(got.steps_skipped, want.steps_skipped);
  (want.result == SWD_RESULT_APPLIED ? f.applied : f.skipped[want.result]) += 1;
  for (size_t k = 0; k < oracle_.segments.size(); ++k) compare_segment(k, f);
  if (run_.pieces) compare_record(f);
  bool measured = !(in.flags & SWD_STEP_SKIP_NORM);
  if (measured) EXPECT_EQ(got.bad, want.bad);
  if (want.result != SWD_RESULT_APPLIED) return;
  EXPECT_EQ(got.flags, want.flags);
  if (measured) {
    f.norm.add(relative_error(got.grad_norm, want.grad_norm));
    f.vbar.add(relative_error(got.vbar, want.vbar));
    f.vbar.add(relative_error(got.inv_sqrt_vbar, want.inv_sqrt_vbar));
  }
  f.norm.add(relative_error(got.clip_coef, want.clip_coef));
  f.vbar.add(relative_error(got.largest_decay, want.largest_decay));
  f.vbar.add(relative_error(got.vbar_reference, want.vbar_reference));
  for (size_t i = 0; i < lambda.size(); ++i) f.vbar.add(relative_error(lambda[i], oracle_.lambda_eff[i]));
  // Of one element the update can vanish by cancellation, so the unit is the largest so far.
  double* peak[] = {&param_norm_peak_, &update_norm_peak_};
  const double norms[][2] = {{got.param_norm, want.param_norm}, {got.update_norm, want.update_norm}};
  for (int i = 0; i < 2; ++i) {
    if (std::isfinite(norms[i][1])) *peak[i] = std::max(*peak[i], norms[i][1]);
    bool finite = std::isfinite(norms[i][0]) && std::isfinite(norms[i][1]);
    double error = std::fabs(norms[i][0] - norms[i][1]);
    f.norms.add(finite && error > 0.0 ? error / *peak[i] : relative_error(norms[i][0], norms[i][1]));
  }
}

}  // namespace swd::test
