// SPDX-License-Identifier: Apache-2.0
// One step of one element in long double, from docs/numerics.md and the textbook form of Adam: shares nothing with
// src/kernels. Used by the tests of hostile numbers.
#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "support/numbers.h"

namespace swd::test {

struct ElementState {
  float p, m, v;
};

struct ElementSetup {
  swd_group group;
  long double scale = 1.0L;  // clip_coef / loss_scale
  int64_t step = 1;          // t, after the step
  long double decay = 0.0L;  // the decay factor d
};

// 1 - beta^t without cancellation.
inline long double bias(double beta, int64_t t) {
  if (beta == 0.0) return 1.0L;
  return -std::expm1(static_cast<long double>(t) * std::log1p(static_cast<long double>(beta) - 1.0L));
}

// How far each number of `after` is from the exact step, in units in the last place of the larger of its two
// terms. Each part starts from the fp32 results of the part before, so that their errors do not add up.
struct Distance {
  double m, v, p;
};

inline Distance distance(const ElementSetup& s, float raw, const ElementState& before, const ElementState& after) {
  using Real = long double;
  Real g = s.scale * static_cast<Real>(raw);
  Real b1 = s.group.beta1, b2 = s.group.beta2;
  auto units = [](Real error, Real largest) {
    return static_cast<double>(std::fabs(error) / static_cast<Real>(ulp_of(static_cast<double>(largest))));
  };
  // A gradient, a first and a second moment below FLT_MIN may count as zero.
  auto flushed = [&](float x, Real exact, Real largest) {
    if (x == 0.0f && std::fabs(exact) <= static_cast<Real>(FLT_MIN) * 1.000001L) return 0.0;
    return units(static_cast<Real>(x) - exact, largest);
  };
  if (std::fabs(static_cast<float>(g)) < FLT_MIN) g = 0.0L;
  Real m = b1 * static_cast<Real>(before.m) + (1.0L - b1) * g;
  Real v = b2 * static_cast<Real>(before.v) + (1.0L - b2) * g * g;
  Distance out;
  out.m = flushed(after.m, m, std::max(b1 * std::fabs(static_cast<Real>(before.m)), (1.0L - b1) * std::fabs(g)));
  out.v = flushed(after.v, v, std::max(b2 * static_cast<Real>(before.v), (1.0L - b2) * g * g));
  Real root = std::sqrt(static_cast<Real>(after.v) / bias(s.group.beta2, s.step));
  Real update = static_cast<Real>(s.group.lr) / bias(s.group.beta1, s.step) * static_cast<Real>(after.m) /
                (root + static_cast<Real>(s.group.eps));
  update += s.decay * static_cast<Real>(before.p);
  out.p = units(static_cast<Real>(after.p) - (static_cast<Real>(before.p) - update),
                std::max(std::fabs(static_cast<Real>(before.p)), std::fabs(update)));
  return out;
}

}  // namespace swd::test
