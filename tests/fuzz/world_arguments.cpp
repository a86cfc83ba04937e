// SPDX-License-Identifier: Apache-2.0
// The right arguments of a world's calls.
#include "world_shapes.h"

namespace swd::fuzz {

swd_buffers World::buffers() const {
  swd_buffers b = SWD_BUFFERS_INIT;
  if (!list()) {
    b.param = at(kParam);
    b.grad = at(kGrad);
    b.exp_avg = at(kExpAvg);
    b.exp_avg_sq = at(kExpAvgSq);
    b.max_exp_avg_sq = args.flags & SWD_PLAN_AMSGRAD ? at(kMaxExpAvgSq) : nullptr;
    b.param_copy = args.copy_dtype != SWD_DTYPE_NONE ? at(kParamCopy) : nullptr;
    b.remainder = args.remainder_dtype != SWD_DTYPE_NONE ? at(kRemainder) : nullptr;
    b.exp_avg_scale = args.moment_dtype == SWD_DTYPE_BLOCK8 ? at(kExpAvgScale) : nullptr;
    b.exp_avg_sq_scale = args.moment_dtype == SWD_DTYPE_BLOCK8 ? at(kExpAvgSqScale) : nullptr;
  }
  b.state = at(kState);
  b.state_bytes = pieces[kState].bytes;
  b.workspace = at(kWorkspace);
  b.workspace_bytes = pieces[kWorkspace].bytes;
  return b;
}

uint64_t World::elements() const {
  uint64_t sum = 0;
  for (const swd_segment& segment : segments) sum += static_cast<uint64_t>(segment.count);
  return sum;
}

uint64_t World::bytes_of(int buffer, int64_t count) const {
  const uint64_t n = static_cast<uint64_t>(count), scale = args.moment_dtype == SWD_DTYPE_BLOCK8 ? (n + 127) / 128 : 0;
  const uint64_t moment = n * width(args.moment_dtype), maximum = args.flags & SWD_PLAN_AMSGRAD ? 4 * n : 0;
  const uint64_t bytes[kBuffers] = {
      n * width(args.param_dtype), n * width(args.grad_dtype),      moment, moment, maximum,
      n * width(args.copy_dtype),  n * width(args.remainder_dtype), scale,  scale};
  return bytes[buffer];
}

swd_fp32_arrays World::fp32_arrays(std::vector<const void*> (&tables)[3]) const {
  swd_fp32_arrays out = SWD_FP32_ARRAYS_INIT;
  const void** members[] = {&out.param, &out.exp_avg, &out.exp_avg_sq};
  for (int a = 0; a < 3; ++a) {
    uint8_t* next = at(static_cast<PieceName>(kFp32Param + a));
    *members[a] = next;
    tables[a].clear();
    for (const swd_segment& segment : segments) {
      tables[a].push_back(next);
      next += 4 * segment.count;
    }
    if (list()) *members[a] = tables[a].data();
  }
  return out;
}

swd_step_args World::step_args() const {
  swd_step_args a = SWD_STEP_ARGS_INIT;
  a.groups = groups.data();
  a.group_count = args.group_count;
  return a;
}

}  // namespace swd::fuzz
