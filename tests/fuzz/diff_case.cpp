// SPDX-License-Identifier: Apache-2.0
// Draws the trainings of diff_case.h. Numbers come from a seed: a fuzzer's bytes are too few to spell them.
#include "diff_case.h"

#include "support/numbers.h"

namespace swd::fuzz {
namespace {

double small_real(Input& in, double usual) {
  static const double kOthers[] = {0.0, 1.0, 1e-3, 0.5, 1e-12, 10.0, 0x1p-120, 1e30};
  uint32_t kind = in.below(12);
  return kind < 8 ? kOthers[kind] : usual;
}

// One float within eight binades, or a special one.
float draw(uint64_t seed, uint64_t i, float scale, uint32_t specials) {
  static const float kSpecials[] = {0.0f, -0.0f, FLT_MAX, -FLT_MAX, FLT_MIN, FLT_TRUE_MIN, INFINITY, NAN};
  uint64_t random = test::mix(seed + i);
  if (specials != 0 && random % 31 == 0) return kSpecials[(random >> 8) % specials];
  float x = (static_cast<float>(random >> 40) * 0x1p-23f - 1.0f) * scale;
  return (random & 32u) != 0 ? x : x * 0x1p-5f;
}

void draw_array(Input& in, std::vector<float>& to, int64_t n, bool positive) {
  uint64_t seed = in.bits(1);
  float scale = static_cast<float>(std::ldexp(1.0, in.below(4) != 1 ? -3 : static_cast<int>(in.byte()) - 128));
  static const uint32_t kSpecialsOf[] = {0, 0, 3, 6, 0, 8, 0, 0};
  uint32_t specials = kSpecialsOf[in.below(8)];
  to.resize(static_cast<size_t>(n));
  for (size_t i = 0; i < to.size(); ++i) {
    to[i] = draw(seed, i, scale, specials);
    if (positive) to[i] = std::fabs(to[i]);
  }
}

// The upper halves of numbers that were drawn.
std::vector<uint8_t> upper_halves(const std::vector<float>& from) {
  std::vector<uint8_t> out;
  for (float x : from) {
    uint32_t bits = test::bits_of(x) >> 16;
    out.push_back(static_cast<uint8_t>(bits));
    out.push_back(static_cast<uint8_t>(bits >> 8));
  }
  return out;
}

std::vector<uint8_t> any_bytes(uint64_t seed, uint64_t count) {
  std::vector<uint8_t> out;
  for (uint64_t i = 0; i < count; ++i) out.push_back(static_cast<uint8_t>(test::mix(seed + i)));
  return out;
}

// Block bytes of codes of `bits` bits: around one, or now and then any, or NaN's.
std::vector<uint8_t> any_scales(uint64_t seed, uint64_t count, uint32_t bits) {
  std::vector<uint8_t> out;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t random = test::mix(seed + i);
    uint64_t byte = random % 16 == 0 ? 4 * bits + (random >> 8) % (255 - 4 * bits) : 115 + (random >> 8) % 8;
    out.push_back(static_cast<uint8_t>(random % 61 == 0 ? 255 : byte));
  }
  return out;
}

// Makes the training one of narrow states.
void draw_narrow(Input& in, Case& c) {
  static constexpr swd_dtype kFormats[][3] = {
      // param, remainder, moments
      {SWD_DTYPE_BF16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8},  {SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BF16},
      {SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_F32},    {SWD_DTYPE_BF16, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8},
      {SWD_DTYPE_BF16, SWD_DTYPE_NONE, SWD_DTYPE_BF16},  {SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BLOCK8},
      {SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8}, {SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BF16}};
  uint32_t number = in.below(17);  // 0: wide
  if (number == 0) return;
  Training& t = c.start;
  const swd_dtype* format = kFormats[(number - 1) % 8];
  t.param_dtype = format[0];
  t.remainder_dtype = format[1];
  t.moment_dtype = format[2];
  t.copy_dtype = SWD_DTYPE_NONE;
  if (c.grad_dtype == SWD_DTYPE_F16) c.grad_dtype = SWD_DTYPE_BF16;
  if (t.moment_dtype != SWD_DTYPE_F32) t.plan_flags &= ~uint32_t{SWD_PLAN_AMSGRAD};
  uint64_t seed = in.bits(1), elements = static_cast<uint64_t>(c.elements), scales = 0;
  t.counts.rounding_seed = seed;
  for (size_t k = 0; k < t.segments.size(); ++k) {
    scales += 32 * static_cast<uint64_t>((t.segments[k].count + 4095) / 4096);
    if (t.moment_dtype != SWD_DTYPE_F32 && in.below(4) == 1) t.states[k].exp_avg_sq_unit = 0.5 + in.byte() / 512.0;
  }
  if (t.param_dtype == SWD_DTYPE_BF16) t.codes[SWD_BUFFER_PARAM] = upper_halves(t.param);
  const uint64_t width = t.remainder_dtype == SWD_DTYPE_I16 ? 2 : t.remainder_dtype == SWD_DTYPE_I8 ? 1 : 0;
  t.codes[SWD_BUFFER_REMAINDER] = any_bytes(seed, width * elements);
  if (t.moment_dtype == SWD_DTYPE_BF16) {
    t.codes[SWD_BUFFER_EXP_AVG] = upper_halves(t.exp_avg);
    t.codes[SWD_BUFFER_EXP_AVG_SQ] = upper_halves(t.exp_avg_sq);
  } else if (t.moment_dtype == SWD_DTYPE_BLOCK8) {
    t.codes[SWD_BUFFER_EXP_AVG] = any_bytes(seed + 1000, elements);
    t.codes[SWD_BUFFER_EXP_AVG_SQ] = any_bytes(seed + 2000, elements);
    t.codes[SWD_BUFFER_EXP_AVG_SCALE] = any_scales(seed + 3000, scales, 7);
    t.codes[SWD_BUFFER_EXP_AVG_SQ_SCALE] = any_scales(seed + 4000, scales, 8);
  }
}

}  // namespace

void draw_gradients(Input& in, Case& c) {
  draw_array(in, c.start.grad, c.elements, false);
  c.grad_codes.clear();
  for (float& g : c.start.grad) {
    if (c.grad_dtype == SWD_DTYPE_F32) break;
    c.grad_codes.push_back(test::nearest_code(c.grad_dtype, g));
    g = test::code_value(c.grad_dtype, c.grad_codes.back());
  }
}

Case draw_case(Input& in) {
  Case c;
  Training& t = c.start;
  static const int64_t kCounts[] = {3, 1, 17, 63, 65, 0, 2, 33, 255, 257, 300, 1025, 4097, 8200};
  for (uint32_t k = 1 + in.below(3); k > 0; --k) {
    int64_t count = kCounts[in.below(16) != 1 ? in.below(8) : 8 + in.below(6)];
    t.segments.push_back({count, in.below(2), in.below(4) == 1 ? in.below(8) : 0});
    t.has_grad.push_back(in.below(8) != 1);
    t.states.push_back({in.below(4) == 1 ? static_cast<int64_t>(in.bits(5)) : 0,
                        in.below(4) == 1 ? std::fabs(in.real()) : 0.0, 0.0, 0});
    if (!std::isfinite(t.states.back().exp_avg_sq_sum)) t.states.back().exp_avg_sq_sum = 1e300;
    if (in.below(16) == 1) t.states.back().exp_avg_sq_sum = -1.0;
    c.elements += count;
  }
  t.plan_flags = in.bits(1) & (SWD_PLAN_AMSGRAD | SWD_PLAN_MAXIMIZE | SWD_PLAN_UPDATE_NORMS);
  c.grad_dtype = 1 + static_cast<swd_dtype>(in.below(3));
  t.copy_dtype = in.below(2) != 0 ? SWD_DTYPE_NONE : 2 + static_cast<swd_dtype>(in.below(2));
  for (int i = 0; i < 2; ++i) {
    t.decay.push_back(static_cast<swd_decay>(in.below(5)));
    double beta1 = in.below(4) == 1 ? in.byte() / 256.0 : 0.9, beta2 = in.below(4) == 1 ? in.byte() / 256.0 : 0.999;
    t.groups.push_back(
        {small_real(in, 1e-3), beta1, beta2, in.below(4) == 1 ? 1.0 : 1e-8, small_real(in, 0.01), nullptr, 0.0});
  }
  t.loss_scale = in.below(4) == 1 ? std::ldexp(1.0, static_cast<int>(in.byte()) - 128) : 1.0;
  t.max_grad_norm = small_real(in, 0.0);
  t.max_decay = in.below(4) == 1 ? 1e-4 : 1.0;
  t.found_inf = in.below(16) == 1 ? 1.0f : 0.0f;
  t.step_flags = in.below(4) == 1 ? uint32_t{SWD_STEP_PROPAGATE} : 0u;
  t.reference_step = 1 + in.below(3);
  if (in.below(4) == 1) t.counts.vbar_reference = std::ldexp(1.0, static_cast<int>(in.byte()) - 128);
  bool may_skip_norm = t.step_flags != 0 && t.max_grad_norm == 0.0 && !needs_vbar(t);
  if (may_skip_norm && in.below(2) != 0) t.step_flags |= SWD_STEP_SKIP_NORM;
  draw_array(in, t.param, c.elements, false);
  draw_array(in, t.exp_avg, c.elements, false);
  draw_array(in, t.exp_avg_sq, c.elements, true);
  draw_array(in, t.max_exp_avg_sq, c.elements, true);
  t.param_copy.assign(t.param.size(), 0);
  draw_narrow(in, c);
  if (t.copy_dtype != SWD_DTYPE_NONE && in.below(4) == 1) {  // last, so that older inputs mean what they did
    t.plan_flags |= SWD_PLAN_TAKE_COPY;
    for (uint16_t& code : t.param_copy) code = static_cast<uint16_t>(in.bits(2));
  }
  return c;
}

}  // namespace swd::fuzz
