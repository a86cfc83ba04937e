// SPDX-License-Identifier: Apache-2.0
// Holds one element of the library against the oracle.
#include "ulp.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "support/numbers.h"

namespace swd::test {
namespace {

bool at_the_edge(Real x) { return std::fabs(std::fabs(x) / static_cast<Real>(FLT_MIN) - 1) < 1e-5L; }

double distance(float got, Real want, Real scale) {
  return static_cast<double>(std::fabs(static_cast<Real>(got) - want)) / ulp_of(static_cast<double>(scale));
}

}  // namespace

OracleRates as_fp32(const OracleRates& r) {
  auto rounded = [](Real x) { return static_cast<Real>(static_cast<float>(x)); };
  // The weight 1 - beta is what is rounded; below 0.5, where the step starts from the other end, beta itself.
  auto beta = [&](Real x) { return x < 0.5L ? rounded(x) : 1 - rounded(1 - x); };
  OracleRates out = r;
  out.s = 1;
  out.beta1 = beta(r.beta1);
  out.beta2 = beta(r.beta2);
  out.lr = rounded(r.lr / r.bias1);
  out.bias1 = 1;
  Real b = rounded(1 / std::sqrt(r.bias2));
  out.bias2 = 1 / (b * b);
  out.eps = rounded(r.eps);
  out.decay = rounded(r.decay);
  out.l2 = rounded(r.l2);
  return out;
}

void UlpFigures::add(const OracleRates& rates, float raw, const Fp32Element& before, const Fp32Element& after) {
  OracleElement want{before.p, before.m, before.v, before.v_max};
  oracle_update(rates, raw, want);
  Real own = rates.s * raw, l2 = rates.l2 * before.p, g = own + l2;
  Real m_exact = rates.beta1 * before.m + (1 - rates.beta1) * g,
       v_exact = rates.beta2 * before.v + (1 - rates.beta2) * g * g;
  if (at_the_edge(own) || at_the_edge(m_exact) || at_the_edge(v_exact)) {
    left_out += 1;
    return;
  }
  points += 1;
  Real term = std::fabs(own) + std::fabs(l2), p_old = before.p, m_old = before.m, v_old = before.v,
       max_old = before.v_max;
  Real m_unit = rates.beta1 * std::fabs(m_old) + (1 - rates.beta1) * term;
  Real v_unit = rates.beta2 * v_old + (1 - rates.beta2) * term * term;
  m.add(distance(after.m, want.m, m_unit));
  v.add(distance(after.v, want.v, v_unit));
  if (rates.amsgrad) v_max.add(distance(after.v_max, want.v_max, std::max(max_old, v_unit)));
  Real under_root = rates.amsgrad ? want.v_max : want.v;
  Real step = rates.lr / rates.bias1 * m_unit / (std::sqrt(under_root / rates.bias2) + rates.eps);
  if (v_unit > under_root && under_root > 0) step *= v_unit / under_root;  // L2 decay and the gradient cancelled in v
  Real quotient = rates.lr / rates.bias1 * 0x1p-149L;  // the last place of m / (...) where that is denormal
  Real p_unit = ulp_of(static_cast<double>(std::max({std::fabs(p_old), std::fabs(want.p), step})));
  p.add(static_cast<double>(std::fabs(after.p - want.p) / std::max(p_unit, quotient)));
}

void UlpFigures::merge(const UlpFigures& other) {
  m.merge(other.m);
  v.merge(other.v);
  v_max.merge(other.v_max);
  p.merge(other.p);
  points += other.points;
  left_out += other.left_out;
}

void UlpFigures::check() const {
  for (const Figure* figure : {&m, &v, &v_max, &p}) figure->check();
}

}  // namespace swd::test
