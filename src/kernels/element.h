// SPDX-License-Identifier: Apache-2.0
// The arithmetic of one element in one step: the only place where the formula stands. Called by the update loops
// and, for amsgrad's second reduction, by the reduce loops of both backends.
//
// Source: arXiv 2011.11152, the AdamS algorithm; theta = p, g = raw * s, m = exp_avg, v = exp_avg_sq, lambda-bar = d.
//     m += (1 - beta1) * (g - m)
//     v += (1 - beta2) * (g*g - v)
//     p -= d*p + a * (m / (sqrt(v) * b + eps))        a = lr / (1 - beta1^t), b = 1 / sqrt(1 - beta2^t)
// The increment forms keep what fp32 drops from the textbook forms (a decay below 6e-8, the low digits of beta2)
// and cost the same. Only + - * / and sqrt, never contracted: the same bits on every machine.
#pragma once
#include "portable.h"

namespace swd {

// The fp32 constants of one segment in one step, each rounded once from fp64 (scalars.h makes them).
struct Coefficients {
  float s;        // clip_coef / loss_scale, negative for maximize
  float weight1;  // 1 - beta1, or -beta1 if from_target1
  float weight2;  // 1 - beta2, or -beta2 if from_target2
  float a;        // lr / (1 - beta1^t)
  float b;        // 1 / sqrt(1 - beta2^t)
  float eps;
  float d;             // decay factor, 0 for none
  float l2;            // weight_decay that joins the gradient, 0 for none
  float from_target1;  // 1 if beta1 < 0.5, else 0; a float, because gcc vectorises no choice by an invariant bool
  float from_target2;  // 1 if beta2 < 0.5, else 0
};

// What most steps are: no L2 decay, and both betas 0.5 or more. With the constants known that say so, compilers leave
// out a quarter of the arithmetic, which shows wherever memory is fast; the bits are the same.
SWD_FN bool is_plain(const Coefficients& c) { return c.l2 == 0.0f && c.from_target1 == 0.0f && c.from_target2 == 0.0f; }

// The same constants, as a compiler knows them where is_plain.
SWD_FN Coefficients as_plain(Coefficients c) {
  c.l2 = c.from_target1 = c.from_target2 = 0.0f;
  return c;
}

struct Element {
  float p, m, v, v_max;
};

// Denormals count as zero, so that rows without gradient do not sink into them: after some 800 steps they would
// make the CPU pass 20 to 80 times slower. NaN survives the comparison. A device adds 0 with operands flushed, which is
// one instruction instead of two; -0 becomes 0 in both.
SWD_FN float flush(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("add.rn.ftz.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
  return y;
#else
  return magnitude(x) < FLT_MIN ? 0.0f : x;
#endif
}

// Moves x toward y by the weight 1 - beta. For beta < 0.5 it starts from y, so that beta = 0 gives y exactly.
SWD_FN float move_toward(float x, float y, float weight, float from_target) {
  float start = from_target != 0.0f ? y : x;
  return start + weight * (y - x);
}

SWD_FN float scaled_gradient(const Coefficients& c, float raw, float p) {
  float g = flush(c.s * raw);
  return c.l2 != 0.0f ? g + c.l2 * p : g;
}

SWD_FN float second_moment(const Coefficients& c, float g, float v) {
  return flush(move_toward(v, g * g, c.weight2, c.from_target2));
}

SWD_FN float larger(float v_max, float v) {  // NaN in either survives
  return (v <= v_max || v_max != v_max) ? v_max : v;
}

// a * (m / (sqrt(v) * b + eps)). On a device root and division branch to a slow path for an operand of 0, which all
// rows have that never had a gradient. So there they get 1 instead, and the factor behind it becomes 0: b, which is
// finite, as 1 - beta2^t is at least 2^-53; and a, or NaN if it is infinite. The same bits, for six selects and
// comparisons.
SWD_FN float adam_step(const Coefficients& c, float m, float v) {
#ifdef __CUDA_ARCH__
  bool no_v = v == 0.0f, no_m = m == 0.0f;
  float denominator = root(no_v ? 1.0f : v) * (no_v ? 0.0f : c.b) + c.eps;
  return (no_m ? c.a * 0.0f : c.a) * ((no_m ? 1.0f : m) / denominator);
#else
  return c.a * (m / (root(v) * c.b + c.eps));
#endif
}

template <bool kAmsgrad>
SWD_FN void update_moments(const Coefficients& c, float raw, Element& e) {
  float g = scaled_gradient(c, raw, e.p);
  e.m = flush(move_toward(e.m, g, c.weight1, c.from_target1));
  e.v = second_moment(c, g, e.v);
  if (kAmsgrad) e.v_max = larger(e.v_max, e.v);
}

// Decays p and takes the step; returns what p lost.
SWD_FN float update_param(const Coefficients& c, float step, float& p) {
  float lost = c.d != 0.0f ? c.d * p + step : step;
  p = p - lost;
  return lost;
}

// Updates e in place and returns what p lost. kAmsgrad: the root is taken of the maximum instead of v.
template <bool kAmsgrad>
SWD_FN float update_element(const Coefficients& c, float raw, Element& e) {
  update_moments<kAmsgrad>(c, raw, e);
  return update_param(c, adam_step(c, e.m, kAmsgrad ? e.v_max : e.v), e.p);
}

}  // namespace swd
