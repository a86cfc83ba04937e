// SPDX-License-Identifier: Apache-2.0
// One step, or one rebuild, of a history against the long-double oracle, with the bounds of oracle_test.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "history.h"
#include "support/numbers.h"
#include "support/oracle.h"

namespace swd::histories {
namespace {

using test::Oracle;
using test::OracleElement;
using test::Real;

struct Member {
  int buffer;
  Real OracleElement::*value;
  double bound;  // of the largest in the tensor
};
const Member kMembers[] = {{SWD_BUFFER_PARAM, &OracleElement::p, 3e-6},
                           {SWD_BUFFER_EXP_AVG, &OracleElement::m, 5e-7},
                           {SWD_BUFFER_EXP_AVG_SQ, &OracleElement::v, 1e-6},
                           {SWD_BUFFER_MAX_EXP_AVG_SQ, &OracleElement::v_max, 1e-6}};

// A segment's part of a buffer, as fp32.
std::vector<float> values_of(const World& w, const std::vector<uint8_t>& image, int buffer, size_t k) {
  const uint8_t* at = &image[w.places.of(buffer) + w.position(buffer, k)];
  std::vector<float> out(static_cast<size_t>(w.shape.counts[k]));
  if (out.empty()) return out;
  if (w.shape.width(buffer) == 4) {
    memcpy(out.data(), at, 4 * out.size());
    return out;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t code;
    memcpy(&code, at + 2 * i, 2);
    out[i] = test::code_value(w.shape.grad, code);
  }
  return out;
}

swd_segment_state state_of(const World& w, const std::vector<uint8_t>& image, size_t k) {
  HostImage state(&image[w.places.of(kState)], w.places.bytes[kState]);
  swd_segment_state out;
  must(swd_state_get(w.plan.get(), state.data(), state.bytes(), static_cast<int64_t>(k), &out, sizeof out),
       "swd_state_get");
  return out;
}

swd_state_header header_of(const World& w, const std::vector<uint8_t>& image) {
  HostImage state(&image[w.places.of(kState)], w.places.bytes[kState]);
  swd_state_header out;
  must(swd_state_header_get(w.plan.get(), state.data(), state.bytes(), &out, sizeof out), "swd_state_header_get");
  return out;
}

bool has(const World& w, const Member& m) { return w.shape.width(m.buffer) != 0; }

// A segment's elements: parameters as they are in one image, moments in another.
std::vector<OracleElement> elements_of(const World& w, const std::vector<uint8_t>& params,
                                       const std::vector<uint8_t>& moments, size_t k) {
  std::vector<OracleElement> out(static_cast<size_t>(w.shape.counts[k]));
  for (const Member& m : kMembers) {
    if (!has(w, m)) continue;
    std::vector<float> values = values_of(w, m.buffer == SWD_BUFFER_PARAM ? params : moments, m.buffer, k);
    for (size_t i = 0; i < values.size(); ++i) out[i].*m.value = values[i];
  }
  return out;
}

Oracle oracle_of(const World& w, const std::vector<uint8_t>& image) {
  Oracle oracle(w.shape.flags, w.shape.decay);
  swd_state_header header = header_of(w, image);
  oracle.stats.steps_applied = header.steps_applied;
  oracle.stats.steps_skipped = header.steps_skipped;
  oracle.reference = header.vbar_reference;
  for (size_t k = 0; k < w.shape.segments(); ++k) {
    test::OracleSegment segment;
    swd_segment_state state = state_of(w, image, k);
    segment.group = w.shape.group_of[k];
    segment.flags = w.shape.flags_of[k];
    segment.step = state.step;
    segment.sum = state.exp_avg_sq_sum;
    segment.elements = elements_of(w, image, image, k);
    oracle.segments.push_back(std::move(segment));
  }
  return oracle;
}

test::OracleInput input_of(const World& w, const std::vector<uint8_t>& image, const std::vector<uint8_t>& taking_part) {
  test::OracleInput in;
  in.flags = w.batch.flags;
  in.groups = w.batch.groups;
  for (swd_group& g : in.groups) g.lr *= g.lr_factor == 0.0 ? 1.0 : g.lr_factor;
  in.loss_scale = w.batch.loss_scale;
  in.max_grad_norm = w.batch.max_grad_norm;
  in.max_decay = w.batch.max_decay == 0.0 ? 0.1 : w.batch.max_decay;
  in.reference_step = w.batch.reference_step == 0 ? 100 : w.batch.reference_step;
  in.found_inf = w.batch.found_inf;
  in.has_grad = taking_part;
  for (size_t k = 0; k < w.shape.segments(); ++k) {
    in.grad.push_back(values_of(w, image, SWD_BUFFER_GRAD, k));
  }
  return in;
}

void near(double got, double want, double bound, const char* what) {
  if (!std::isfinite(got) && !std::isfinite(want)) return;
  if (got == want || std::fabs(got - want) <= bound * std::fabs(want)) return;
  throw Finding(std::string(what) + " is " + std::to_string(got) + ", but the oracle has " + std::to_string(want));
}

double largest_of(const std::vector<float>& values) {
  double largest = FLT_MIN * 1e6;
  for (float x : values) {
    if (std::isfinite(x)) largest = std::max(largest, std::fabs(static_cast<double>(x)));
  }
  return largest;
}

bool lies_at_the_border(double x, double want, double bound) {  // what is less than FLT_MIN becomes 0
  return (x == 0.0 || want == 0.0) && std::fabs(std::fabs(x + want) - FLT_MIN) <= FLT_MIN * bound;
}

// Elements that were not finite before are left out: how those spread, hostile_gradients_test says.
void check_elements(const World& w, const std::vector<uint8_t>& before, const std::vector<uint8_t>& after, size_t k,
                    const test::OracleSegment& oracle, bool took_part) {
  const swd_group& group = w.batch.groups[w.shape.group_of[k]];
  std::vector<uint8_t> finite(oracle.elements.size(), 1);
  for (const Member& m : kMembers) {
    if (!has(w, m)) continue;
    std::vector<float> values = values_of(w, before, m.buffer, k);
    for (size_t i = 0; i < values.size(); ++i) finite[i] = finite[i] && std::isfinite(values[i]);
  }
  std::vector<OracleElement> stepped = elements_of(w, before, after, k);
  // Gradient and weight_decay * param may cancel; what is left keeps the error of both.
  bool l2 = w.shape.decay[w.shape.group_of[k]] == SWD_DECAY_L2;
  double pull = l2 ? group.weight_decay * largest_of(values_of(w, before, SWD_BUFFER_PARAM, k)) : 0.0;
  for (const Member& m : kMembers) {
    if (!has(w, m)) continue;
    std::vector<float> old = values_of(w, before, m.buffer, k), now = values_of(w, after, m.buffer, k);
    // A parameter has to follow from that before and the library's own moments: m over the root of a tiny v makes an
    // error of theirs, small as it is, one of any size.
    bool is_param = m.buffer == SWD_BUFFER_PARAM, follows = is_param && took_part;
    double more = is_param ? 0.0 : m.buffer == SWD_BUFFER_EXP_AVG ? pull : pull * pull;
    double room = m.bound * (std::max(largest_of(old), largest_of(now)) + more);
    for (size_t i = 0; i < now.size(); ++i) {
      double x = now[i];
      double want = static_cast<double>(follows ? oracle_param(oracle.rates, stepped[i]) : oracle.elements[i].*m.value);
      if (!finite[i] || (!std::isfinite(x) && !std::isfinite(want)) || std::fabs(x - want) <= room) continue;
      if (lies_at_the_border(x, want, m.bound)) continue;
      char text[160];
      snprintf(text, sizeof text, "buffer %d, segment %d, element %d is %.9g, but the oracle has %.9g", m.buffer,
               static_cast<int>(k), static_cast<int>(i), x, want);
      throw Finding(text);
    }
  }
}

}  // namespace

void check_by_oracle(const World& w, const std::vector<uint8_t>& before, const std::vector<uint8_t>& after,
                     const std::vector<uint8_t>& taking_part, const Statistics& got) {
  Oracle oracle = oracle_of(w, before);
  oracle.step(input_of(w, before, taking_part));
  swd_result wanted = oracle.stats.result;
  bool stops = w.batch.skips_norm() && w.batch.found_inf && wanted != SWD_RESULT_SKIPPED_INVALID;
  if (stops) wanted = SWD_RESULT_SKIPPED_NONFINITE;  // without a first pass nothing else may propagate
  if (got.stats.result != wanted) {
    throw Finding(std::string("the step is ") + swd_result_name(got.stats.result) + ", but the oracle says " +
                  swd_result_name(wanted));
  }
  swd_state_header header = header_of(w, after);
  if (header.steps_applied != got.stats.steps_applied || header.steps_skipped != got.stats.steps_skipped) {
    throw Finding("state and statistics count differently");
  }
  if (wanted != SWD_RESULT_APPLIED) return;
  if (header.steps_applied != oracle.stats.steps_applied || header.steps_skipped != oracle.stats.steps_skipped) {
    throw Finding("the state counts wrongly");
  }
  bool measured = !w.batch.skips_norm();
  if (measured) near(got.stats.grad_norm, oracle.stats.grad_norm, 1e-7, "grad_norm");
  if (measured) near(got.stats.vbar, oracle.stats.vbar, 5e-7, "vbar");
  if (w.shape.has_vbar_decay() && !std::isfinite(got.stats.vbar)) return;  // everything is spoiled, on purpose
  if (got.stats.flags != oracle.stats.flags)
    throw Finding("flags are " + std::to_string(got.stats.flags) + ", but the oracle has " +
                  std::to_string(oracle.stats.flags));
  near(got.stats.clip_coef, oracle.stats.clip_coef, 1e-7, "clip_coef");
  near(got.stats.largest_decay, oracle.stats.largest_decay, 5e-7, "largest_decay");
  near(header.vbar_reference, static_cast<double>(oracle.reference), 5e-7, "vbar_reference");
  for (size_t i = 0; i < got.lambda_eff.size(); ++i) near(got.lambda_eff[i], oracle.lambda_eff[i], 5e-7, "lambda_eff");
  for (size_t k = 0; k < w.shape.segments(); ++k) {
    swd_segment_state state = state_of(w, after, k);
    if (state.step != oracle.segments[k].step) throw Finding("the step of segment " + std::to_string(k) + " is wrong");
    bool l2 = w.shape.decay[w.shape.group_of[k]] == SWD_DECAY_L2;
    bool dropped = state.exp_avg_sq_sum == -1.0 && (l2 || !measured);  // the oracle keeps one that is NaN
    if (!dropped) near(state.exp_avg_sq_sum, static_cast<double>(oracle.segments[k].sum), 5e-7, "exp_avg_sq_sum");
    check_elements(w, before, after, k, oracle.segments[k], taking_part[k] != 0);
  }
}

void check_sums(const World& w, const std::vector<uint8_t>& image, int64_t damaged_segment) {
  int64_t damaged = 0;
  for (size_t k = 0; k < w.shape.segments(); ++k) {
    double got = state_of(w, image, k).exp_avg_sq_sum;
    Real sum = 0;
    for (float v : values_of(w, image, SWD_BUFFER_EXP_AVG_SQ, k)) sum += v;
    if (w.shape.counts[k] == 0) continue;
    if (w.shape.decay[w.shape.group_of[k]] == SWD_DECAY_L2) sum = -1;
    near(got, static_cast<double>(sum), 5e-7, "a rebuilt sum");
    if (damaged == 0 && !std::isfinite(static_cast<double>(sum))) damaged = static_cast<int64_t>(k) + 1;
  }
  if (damaged != damaged_segment)
    throw Finding("damaged_segment is " + std::to_string(damaged_segment) + ", not " + std::to_string(damaged));
}

}  // namespace swd::histories
