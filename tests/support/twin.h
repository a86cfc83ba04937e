// SPDX-License-Identifier: Apache-2.0
// A run of the library and of the oracle, side by side, and what their comparison measures. Used by the oracle test.
#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "support/figure.h"
#include "support/random_run.h"

namespace swd::test {

struct Figures {
  Figure param{"parameters, of the largest", 3e-6}, exp_avg{"exp_avg, of the largest", 5e-7};
  Figure exp_avg_sq{"exp_avg_sq, of the largest", 1e-6}, max_sq{"max_exp_avg_sq, of the largest", 1e-6};
  Figure sum{"running sum S, relative", 5e-7}, record{"norm record, relative", 5e-7};
  Figure norm{"grad_norm and clip_coef, relative", 1e-7}, vbar{"vbar and lambda_eff, relative", 5e-7};
  Figure norms{"param_norm and update_norm, relative", 5e-7};
  int applied = 0, skipped[8] = {};

  void check() const {
    for (const Figure* f : {&param, &exp_avg, &exp_avg_sq, &max_sq, &sum, &record, &norm, &vbar, &norms}) f->check();
  }
};

// A run of the library and of the oracle, side by side.
class Twin {
 public:
  explicit Twin(const RandomRun& run, Dice& dice)
      : run_(run), dice_(dice), library_(run.setup), oracle_(run.setup.flags, run.setup.decay),
        lr_(run.setup.backend, 4 * run.setup.groups.size()), groups_(run.setup.backend, sizeof(swd_group) * run.setup.groups.size()),
        has_grad_(run.setup.backend, run.setup.counts.size()), loss_scale_(run.setup.backend, 1.0f),
        found_inf_(run.setup.backend, 0.0f), record_(run.setup.backend, swd_norm_record{}), peaks_(4 * run.setup.counts.size()) {
    for (size_t k = 0; k < run.setup.counts.size(); ++k) {
      std::vector<float> p = uniform(dice.bits(), k, run.setup.counts[k]);
      library_.set(SWD_BUFFER_PARAM, k, p);
      OracleSegment segment;
      segment.group = run.setup.group_of[k];
      segment.flags = run.setup.flags_of[k];
      segment.elements.resize(p.size());
      for (size_t i = 0; i < p.size(); ++i) segment.elements[i].p = p[i];
      oracle_.segments.push_back(std::move(segment));
    }
  }

  void step(const OracleInput& in) {
    prepare(in);
    if (run_.pieces) {
      pieces();
    } else {
      library_.step();
    }
    oracle_.step(in);
  }

  void rebuild() {
    library_.ok(swd_state_rebuild(library_.plan(), &library_.buffers, library_.stream()));
    oracle_.rebuild();
  }

  void compare(const OracleInput& in, Figures& f) {
    std::vector<double> lambda;
    swd_stats got = library_.stats(&lambda);
    const swd_stats& want = oracle_.stats;
    ASSERT_EQ(got.status, want.status) << swd_step_status_name(got.status) << " " << swd_step_status_name(want.status);
    EXPECT_EQ(got.steps_applied, want.steps_applied);
    EXPECT_EQ(got.steps_skipped, want.steps_skipped);
    (want.status == SWD_STEP_APPLIED ? f.applied : f.skipped[want.status]) += 1;
    for (size_t k = 0; k < oracle_.segments.size(); ++k) compare_segment(k, f);
    if (run_.pieces) compare_record(f);
    bool measured = !(in.flags & SWD_STEP_SKIP_NORM);
    if (measured) EXPECT_EQ(got.bad, want.bad);
    if (want.status != SWD_STEP_APPLIED) return;
    EXPECT_EQ(got.flags, want.flags);
    if (measured) {
      f.norm.add(relative_error(got.grad_norm, want.grad_norm));
      f.vbar.add(relative_error(got.vbar, want.vbar));
      f.vbar.add(relative_error(got.inv_sqrt_vbar, want.inv_sqrt_vbar));
    }
    f.norm.add(relative_error(got.clip_coef, want.clip_coef));
    f.vbar.add(relative_error(got.largest_decay, want.largest_decay));
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

  // Gives the oracle the elements of the library.
  void meet() {
    for (size_t k = 0; k < oracle_.segments.size(); ++k) {
      for (const Member& member : kMembers) {
        if (!has(member.buffer)) continue;
        std::vector<float> got = library_.get(member.buffer, k);
        for (size_t i = 0; i < got.size(); ++i) oracle_.segments[k].elements[i].*member.value = got[i];
      }
    }
  }

 private:
  void prepare(const OracleInput& in) {
    swd_step_args& args = library_.args();
    library_.setup().groups = in.groups;
    args.flags = in.flags;
    args.max_grad_norm = in.max_grad_norm;
    args.max_decay = in.max_decay;
    args.loss_scale = run_.on_device ? 3.0 : in.loss_scale;  // a pointer replaces the value
    if (run_.on_device) {
      loss_scale_.set(static_cast<float>(in.loss_scale));
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
  void pieces() {
    int64_t n = static_cast<int64_t>(run_.setup.counts.size()), cut = dice_.below(n + 1), again = dice_.below(n);
    const swd_step_args* args = &library_.args();
    bool scheduled = std::count(run_.setup.decay.begin(), run_.setup.decay.end(), SWD_DECAY_SCHEDULED) > 0;
    bool max_round = scheduled && (run_.setup.flags & SWD_PLAN_AMSGRAD);
    library_.point_gradients();
    for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
      auto reduce = [&](int64_t first, int64_t count) {
        library_.ok(swd_reduce(library_.plan(), &library_.buffers, args, phase, first, count, library_.stream()));
      };
      reduce(cut, n - cut);
      reduce(0, cut);
      reduce(again, 1);
      swd_norm_record* record = record_.pointer();
      library_.ok(swd_fold(library_.plan(), &library_.buffers, args, phase, record, library_.stream()));
      if (phase == SWD_PHASE_GRAD) folded_ = record_.get();
      library_.ok(swd_finalize(library_.plan(), &library_.buffers, args, phase, record, library_.stream()));
    }
    library_.ok(swd_update(library_.plan(), &library_.buffers, args, library_.stream()));
  }

  void compare_record(Figures& f) const {
    const swd_norm_record &got = folded_, &want = oracle_.record;
    EXPECT_EQ(got.bad, want.bad);
    EXPECT_EQ(got.count, want.count);
    EXPECT_EQ(got.unknown, want.unknown);
    f.record.add(relative_error(got.sum_sq, want.sum_sq));
    f.record.add(relative_error(got.total_sq, want.total_sq));
    f.record.add(relative_error(got.vbar_base, want.vbar_base));
    f.record.add(relative_error(got.vbar_grad, want.vbar_grad));
  }

  void compare_segment(size_t k, Figures& f) {
    const OracleSegment& want = oracle_.segments[k];
    swd_segment_state state = library_.segment_state(k);
    EXPECT_EQ(state.step, want.step);
    f.sum.add(relative_error(state.exp_avg_sq_sum, static_cast<double>(want.sum)));
    Figure* figures[] = {&f.param, &f.exp_avg, &f.exp_avg_sq, &f.max_sq};
    for (int i = 0; i < 4; ++i) {
      if (has(kMembers[i].buffer)) figures[i]->add(tensor_error(k, kMembers[i], peaks_[4 * k + static_cast<size_t>(i)]));
    }
  }

  struct Member {
    int buffer;
    Real OracleElement::*value;
  };
  static constexpr Member kMembers[] = {{SWD_BUFFER_PARAM, &OracleElement::p},
                                        {SWD_BUFFER_EXP_AVG, &OracleElement::m},
                                        {SWD_BUFFER_EXP_AVG_SQ, &OracleElement::v},
                                        {SWD_BUFFER_MAX_EXP_AVG_SQ, &OracleElement::v_max}};
  bool has(int buffer) const { return buffer != SWD_BUFFER_MAX_EXP_AVG_SQ || (run_.setup.flags & SWD_PLAN_AMSGRAD); }

  // The largest error over the largest value that the tensor has had. Values around FLT_MIN may be 0 on one side.
  double tensor_error(size_t k, const Member& member, double& largest) {
    largest = std::max(largest, FLT_MIN * 1e6);
    double error = 0.0;
    std::vector<float> got = library_.get(member.buffer, k);
    for (size_t i = 0; i < got.size(); ++i) {
      double want = static_cast<double>(oracle_.segments[k].elements[i].*member.value);
      if (std::isfinite(want)) largest = std::max(largest, std::fabs(want));
      if (std::isfinite(want) != std::isfinite(got[i])) return INFINITY;
      if (std::isfinite(want)) error = std::max(error, std::fabs(got[i] - want));
    }
    return error / largest;
  }

  const RandomRun& run_;
  Dice& dice_;
  Runner library_;
  Oracle oracle_;
  DeviceBuffer lr_, groups_, has_grad_;
  DeviceValue<float> loss_scale_, found_inf_;
  DeviceValue<swd_norm_record> record_;
  swd_norm_record folded_{};
  std::vector<double> peaks_;  // [segment][member]
  double param_norm_peak_ = 0.0, update_norm_peak_ = 0.0;
};

}  // namespace swd::test
