// SPDX-License-Identifier: Apache-2.0
// A whole step of Adam with scheduled weight decay in long double, in the textbook forms of the paper (arXiv
// 2011.11152). Shares nothing with src: what the library computes is compared with it.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd::test {

using Real = long double;

struct OracleElement {
  Real p = 0, m = 0, v = 0, v_max = 0;
};

// What one segment's elements share in one step. s is what the raw gradient is multiplied by.
struct OracleRates {
  Real s = 1, lr = 0, beta1 = 0, beta2 = 0, eps = 0, decay = 0, l2 = 0, bias1 = 1, bias2 = 1;
  bool amsgrad = false;
};

// Moves the element by one step and returns what the parameter lost.
Real oracle_update(const OracleRates& rates, Real raw, OracleElement& e);

// Its last part: the parameter after the step, from that before it and the moments after it.
Real oracle_param(const OracleRates& rates, const OracleElement& e);

struct OracleSegment {
  uint32_t group = 0, flags = 0;
  std::vector<OracleElement> elements;
  int64_t step = 0;
  Real sum = 0;         // of the second moment, by its recurrence; negative: unknown
  OracleRates rates{};  // of the latest step that it took
};

// What a step is given: the arguments as the library sees them once every pointer has been followed.
struct OracleInput {
  uint32_t flags = 0;  // SWD_STEP_*
  std::vector<swd_group> groups;
  double loss_scale = 1.0, max_grad_norm = 0.0, max_decay = 1.0;
  uint64_t reference_step = 100;
  bool found_inf = false;
  std::vector<std::vector<float>> grad;  // one per segment
  std::vector<uint8_t> has_grad;         // one per segment
};

class Oracle {
 public:
  Oracle(uint32_t plan_flags, std::vector<swd_decay> decay) : plan_flags_(plan_flags), decay_(std::move(decay)) {}

  std::vector<OracleSegment> segments;
  Real reference = 0;  // of relative decay; 0: not set

  void step(const OracleInput& input);

  // Sets the running sums from the second moments, as swd_state_rebuild does.
  void rebuild();

  // Of the latest step.
  swd_stats stats{};
  std::vector<double> lambda_eff;
  swd_norm_record record{};  // of the first round

 private:
  bool has_gradient(const OracleInput& in, size_t k) const { return in.has_grad[k] && !segments[k].elements.empty(); }
  bool is_member(size_t k) const;  // of vbar
  void measure(const OracleInput& in);
  swd_result verdict(const OracleInput& in, Real s) const;
  bool decays(size_t group) const;  // some of its elements do
  OracleRates rates(const OracleInput& in, size_t k, Real s) const;
  Real maxed_mean(const OracleInput& in, Real s) const;
  void apply(const OracleInput& in, Real s);

  uint32_t plan_flags_;
  std::vector<swd_decay> decay_;
  std::vector<Real> d_;  // per group
  Real sum_sq_ = 0, total_sq_ = 0, bad_ = 0;
};

}  // namespace swd::test
