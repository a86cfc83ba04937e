// SPDX-License-Identifier: Apache-2.0
// The preconditions on swd_step_args and the groups in host memory. What lies in device memory is checked where it is
// read, and makes the step a skipped one.
#include "check.h"
#include "kernels/scalars.h"

namespace swd {
namespace {

constexpr uint32_t kStepFlags = SWD_STEP_PROPAGATE | SWD_STEP_SKIP_NORM;

swd_status check_strides(const swd_step_args& args) {
  swd_status status = check_stride(args.group_stride, kSizes<swd_group>, "args.group_stride");
  if (status != SWD_OK || args.group_stride % alignof(swd_group) == 0) return status;
  return set_error(SWD_ERR_ALIGNMENT, "args.group_stride is %u, expected a multiple of %u", args.group_stride,
                   static_cast<uint32_t>(alignof(swd_group)));
}

// Without pass 1 there is no finite check, no norm and no mean second moment; what needs one of them excludes the flag.
swd_status check_flags(const Plan& plan, const swd_step_args& args) {
  if (args.flags & ~kStepFlags) return set_error(SWD_ERR_FLAGS, "args.flags has unknown bits: 0x%x", args.flags);
  if (!(args.flags & SWD_STEP_SKIP_NORM)) return SWD_OK;
  if (!(args.flags & SWD_STEP_PROPAGATE)) {
    return set_error(SWD_ERR_FLAGS, "args.flags has SWD_STEP_SKIP_NORM, which needs SWD_STEP_PROPAGATE");
  }
  if (args.max_grad_norm > 0.0) {
    return set_error(SWD_ERR_FLAGS, "args.flags has SWD_STEP_SKIP_NORM, but args.max_grad_norm is %g",
                     args.max_grad_norm);
  }
  if (plan.facts.needs_vbar) {
    return set_error(SWD_ERR_FLAGS,
                     "args.flags has SWD_STEP_SKIP_NORM, but a group of the plan has scheduled or relative decay");
  }
  return SWD_OK;
}

swd_status check_group_arrays(const Plan& plan, const swd_step_args& args) {
  if (args.group_count != plan.facts.group_count) {
    return set_error(SWD_ERR_SIZE, "args.group_count is %u, but the plan has %u", args.group_count,
                     plan.facts.group_count);
  }
  if (!args.groups && !args.groups_device) {
    return set_error(SWD_ERR_NULL, "args.groups and args.groups_device are both NULL");
  }
  if (args.groups && args.groups_device) {
    return set_error(SWD_ERR_UNEXPECTED, "args.groups and args.groups_device are both set");
  }
  return SWD_OK;
}

swd_status check_group(const swd_group& given, uint32_t i) {
  if (reinterpret_cast<uintptr_t>(given.lr_pointer) % alignof(float) != 0) {
    return set_error(SWD_ERR_ALIGNMENT, "args.groups[%u].lr_pointer is %p, expected a multiple of %u", i,
                     static_cast<const void*>(given.lr_pointer), static_cast<uint32_t>(alignof(float)));
  }
  swd_group group = given;
  if (group.lr_pointer) group.lr = 0.0;  // not used
  int member = invalid_member(group);
  if (member == 0 && group.lr * group.lr_factor > DBL_MAX) member = 6;
  if (member == 0) return SWD_OK;
  constexpr const char* kNames[] = {"lr", "beta1", "beta2", "eps", "weight_decay", "lr_factor"};
  const double values[] = {group.lr, group.beta1, group.beta2, group.eps, group.weight_decay, group.lr_factor};
  return set_error(SWD_ERR_VALUE, "args.groups[%u].%s is %.17g, which is out of range", i, kNames[member - 1],
                   values[member - 1]);
}

swd_status check_groups(const swd_step_args& args) {
  static_assert(kFirstBytes<swd_group> == kFirstGroupBytes);  // as read_group takes the shortest
  for (uint32_t i = 0; i < args.group_count; ++i) {
    swd_group group;
    if (!read_element(args.groups, args.group_stride, i, group)) {
      return set_error(SWD_ERR_STRUCT_SIZE, "args.groups[%u]: a member that is unknown here is set", i);
    }
    if (swd_status status = check_group(group, i)) return status;
  }
  return SWD_OK;
}

swd_status check_number(double value, const char* name) {
  if (value >= 0.0 && value <= DBL_MAX) return SWD_OK;
  return set_error(SWD_ERR_VALUE, "%s is %.17g, expected a finite number that is not negative", name, value);
}

}  // namespace

swd_status check_step_args(const Plan& plan, const swd_step_args& args) {
  swd_status status = check_strides(args);
  if (status == SWD_OK) status = check_flags(plan, args);
  if (status == SWD_OK) status = check_group_arrays(plan, args);
  if (status == SWD_OK) status = check_alignment(args.groups, alignof(swd_group), "args.groups");
  if (status == SWD_OK) status = check_alignment(args.groups_device, alignof(swd_group), "args.groups_device");
  if (status == SWD_OK) status = check_alignment(args.loss_scale_pointer, alignof(float), "args.loss_scale_pointer");
  if (status == SWD_OK) status = check_alignment(args.found_inf, alignof(float), "args.found_inf");
  if (status == SWD_OK && args.groups) status = check_groups(args);
  if (status == SWD_OK) status = check_number(args.loss_scale, "args.loss_scale");
  if (status == SWD_OK) status = check_number(args.max_grad_norm, "args.max_grad_norm");
  return status == SWD_OK ? check_number(args.max_decay, "args.max_decay") : status;
}

}  // namespace swd
