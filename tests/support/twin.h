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
  int applied = 0, skipped[10] = {};

  void check() const {
    for (const Figure* f : {&param, &exp_avg, &exp_avg_sq, &max_sq, &sum, &record, &norm, &vbar, &norms}) f->check();
  }
};

// A run of the library and of the oracle, side by side.
class Twin {
 public:
  explicit Twin(const RandomRun& run, Dice& dice)
      : run_(run),
        dice_(dice),
        library_(run.setup),
        oracle_(run.setup.flags, run.setup.decay),
        lr_(run.setup.backend, 4 * run.setup.groups.size()),
        groups_(run.setup.backend, sizeof(swd_group) * run.setup.groups.size()),
        has_grad_(run.setup.backend, run.setup.counts.size()),
        loss_scale_(run.setup.backend, 1.0f),
        found_inf_(run.setup.backend, 0.0f),
        record_(run.setup.backend),
        peaks_(4 * run.setup.counts.size()) {
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

  // Makes the running sum of one segment unknown.
  void forget() {
    size_t k = static_cast<size_t>(dice_.below(static_cast<int64_t>(oracle_.segments.size())));
    oracle_.segments[k].sum = -1;
    library_.set_segment_state(k, {oracle_.segments[k].step, -1.0});
  }

  void compare(const OracleInput& in, Figures& f);

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
  void prepare(const OracleInput& in);
  void pieces();  // instead of swd_step

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
      if (has(kMembers[i].buffer))
        figures[i]->add(tensor_error(k, kMembers[i], peaks_[4 * k + static_cast<size_t>(i)]));
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
  DeviceRecord record_;
  swd_norm_record folded_{};
  std::vector<double> peaks_;  // [segment][member]
  double param_norm_peak_ = 0.0, update_norm_peak_ = 0.0;
};

}  // namespace swd::test
