// SPDX-License-Identifier: Apache-2.0
// The call of plan_call.h.
#include "plan_call.h"

namespace swd::fuzz {

Outcome call_plan(Input& in, Call& c) {
  swd_plan_args args = c.world->args;
  swd_segment segments[4] = {};
  swd_decay decay[4] = {};
  for (size_t k = 0; k < c.world->segments.size(); ++k) segments[k] = c.world->segments[k];
  for (size_t k = 0; k < c.world->decay.size(); ++k) decay[k] = c.world->decay[k];
  args.segments = segments;
  args.decay_modes = decay;
  uint32_t spoils = in.below(4);
  c.spoiled = spoils != 0;
  swd_plan* plan = nullptr;
  swd_plan** plan_at = &plan;
  for (uint32_t i = 0; i < spoils; ++i) {
    swd_segment& segment = segments[in.below(4)];
    switch (in.below(19)) {
      case 0:
        args.struct_size = static_cast<uint32_t>(in.integer()) % sizeof args;
        break;
      case 1:
        args.flags = static_cast<uint32_t>(in.integer());
        break;
      case 2:
        args.backend = static_cast<swd_backend>(in.integer());
        break;
      case 3:
        args.param_dtype = static_cast<swd_dtype>(in.below(9)) - 1;
        break;
      case 4:
        args.grad_dtype = static_cast<swd_dtype>(in.below(9)) - 1;
        break;
      case 5:
        args.copy_dtype = static_cast<swd_dtype>(in.below(9)) - 1;
        break;
      case 6:
        args.segments = nullptr;
        break;
      case 7:
        args.segment_count = in.below(2) != 0 ? in.below(5) : -1 - (in.integer() & INT64_MAX);
        break;
      case 8:
        args.decay_modes = nullptr;
        break;
      case 9:
        args.segment_stride = static_cast<uint32_t>(in.integer()) % (sizeof(swd_segment) + 1);
        break;
      case 10:
        args.group_count = in.below(2) != 0 ? in.below(5) : ~(static_cast<uint32_t>(in.bits(4)) & 0xFFFFFu);
        break;
      case 11:
        args.threads = static_cast<int32_t>(in.integer());
        break;
      case 12:
        args.reserved = static_cast<uint32_t>(in.integer());
        break;
      case 13:
        (in.below(2) != 0 ? segment.offset : segment.count) = in.integer();
        break;
      case 14:
        segment.index = in.integer();
        break;
      case 15:
        (in.below(2) != 0 ? segment.group : segment.flags) = static_cast<uint32_t>(in.integer());
        break;
      case 16:
        args.moment_dtype = static_cast<swd_dtype>(in.below(9)) - 1;
        break;
      case 17:
        args.remainder_dtype = static_cast<swd_dtype>(in.below(9)) - 1;
        break;
      default:
        in.below(2) != 0 ? (void)(plan_at = nullptr)
                         : (void)(decay[in.below(4)] = static_cast<swd_decay>(in.integer()));
    }
  }
  c.world->snapshot();
  swd_status status = swd_plan_create(in.below(16) == 1 ? (c.spoiled = true, nullptr) : &args, plan_at);
  SWD_FUZZ_EXPECT((status == SWD_OK) == (plan != nullptr));
  SWD_FUZZ_EXPECT(swd_plan_destroy(plan) == SWD_OK);
  return {status, 0};
}

}  // namespace swd::fuzz
