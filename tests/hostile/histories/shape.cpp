// SPDX-License-Identifier: Apache-2.0
// The distributions of shapes, and the plans made of them.
#include "shape.h"

#include "support/numbers.h"

namespace swd::histories {
namespace {

void draw_dtypes(Input& in, Shape& s) {
  struct Row {
    swd_dtype param, remainder, moment;
  };
  const Row rows[] = {{SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_F32},
                      {SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BF16},
                      {SWD_DTYPE_BF16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8},
                      {SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8}};
  const swd_dtype halves[] = {SWD_DTYPE_F32, SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16};
  if (in.below(4) == 3) {
    const Row& row = rows[in.below(4)];
    s.param = row.param;
    s.remainder = row.remainder;
    s.moment = row.moment;
    s.grad = halves[1 + in.below(2)];
    return;
  }
  s.grad = halves[in.below(4)];
  const swd_dtype copies[] = {SWD_DTYPE_NONE, SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16};
  s.copy = copies[in.below(4)];
}

}  // namespace

void must(swd_status status, const char* what) {
  if (status == SWD_OK) return;
  throw Finding(std::string(what) + " failed: " + swd_status_name(status) + ": " + swd_error_detail());
}

bool Shape::has_vbar_decay() const {
  for (swd_decay mode : decay) {
    if (mode == SWD_DECAY_SCHEDULED || mode == SWD_DECAY_RELATIVE) return true;
  }
  return false;
}

int64_t Shape::offset(size_t k) const {
  int64_t at = 0;
  for (size_t i = 0; i < k; ++i) at += counts[i] + gap;
  return at;
}

uint64_t Shape::width(int buffer) const {
  if (buffer == SWD_BUFFER_PARAM) return test::element_bytes(param);
  if (buffer == SWD_BUFFER_GRAD) return test::element_bytes(grad);
  if (buffer == SWD_BUFFER_MAX_EXP_AVG_SQ) return flags & SWD_PLAN_AMSGRAD ? 4 : 0;
  if (buffer == SWD_BUFFER_PARAM_COPY) return test::element_bytes(copy);
  if (buffer == SWD_BUFFER_REMAINDER) return test::element_bytes(remainder);
  if (buffer >= SWD_BUFFER_EXP_AVG_SCALE) return moment == SWD_DTYPE_BLOCK8 ? 1 : 0;
  return test::element_bytes(moment);
}

Shape draw_shape(Input& in, swd_backend backend) {
  const int64_t sizes[] = {3, 0, 1, 33, 7, 128, 129, 300};
  Shape s;
  s.backend = backend;
  draw_dtypes(in, s);
  for (uint32_t flag : {SWD_PLAN_LIST, SWD_PLAN_MAXIMIZE, SWD_PLAN_UPDATE_NORMS}) {
    if (in.below(2) == 1) s.flags |= flag;
  }
  if (s.is_wide() && in.below(2) == 1) s.flags |= SWD_PLAN_AMSGRAD;
  const bool skips_norm = in.below(3) == 2;  // so that SWD_STEP_SKIP_NORM is allowed
  for (uint32_t i = 0, groups = 1 + in.below(3); i < groups; ++i) {
    s.decay.push_back(static_cast<int32_t>(skips_norm ? 1 + in.below(3) : in.below(5)));
  }
  for (uint32_t k = 0, segments = 1 + in.below(5); k < segments; ++k) {
    uint32_t bits = in.byte();
    s.counts.push_back(sizes[bits % 8]);
    s.group_of.push_back(bits / 8 % static_cast<uint32_t>(s.decay.size()));
    uint32_t flags = in.byte();
    s.flags_of.push_back(flags < 96 ? flags % 8 : 0);  // SWD_SEGMENT_*
  }
  s.gap = in.below(3);
  s.shift = in.below(2);
  return s;
}

void change_shape(Input& in, Shape& s) {
  uint32_t what = in.below(3);
  if (what == 0) s.flags ^= SWD_PLAN_UPDATE_NORMS;
  if (what == 1 && s.is_wide()) s.flags ^= SWD_PLAN_AMSGRAD;
  if (what == 2) s.decay[in.below(static_cast<uint32_t>(s.decay.size()))] = static_cast<int32_t>(in.below(5));
}

swd_status create_plan(const Shape& s, swd_plan** plan) {
  std::vector<swd_segment> segments;
  for (size_t k = 0; k < s.segments(); ++k) {
    segments.push_back({s.is_list() ? 0 : s.offset(k), s.counts[k], 0, s.group_of[k], s.flags_of[k]});
  }
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.backend = s.backend;
  args.flags = s.flags;
  args.param_dtype = s.param;
  args.grad_dtype = s.grad;
  args.copy_dtype = s.copy;
  args.moment_dtype = s.moment;
  args.remainder_dtype = s.remainder;
  args.segments = segments.data();
  args.segment_count = static_cast<int64_t>(segments.size());
  args.decay_modes = s.decay.data();
  args.group_count = static_cast<uint32_t>(s.decay.size());
  args.threads = s.backend == SWD_BACKEND_CPU ? 1 : 0;
  return swd_plan_create(&args, plan);
}

PlanPointer make_plan(const Shape& shape) {
  swd_plan* plan = nullptr;
  must(create_plan(shape, &plan), "swd_plan_create");
  return PlanPointer(plan, [](swd_plan* p) { swd_plan_destroy(p); });
}

}  // namespace swd::histories
