// SPDX-License-Identifier: Apache-2.0
// The calls of convert_call.h.
#include "convert_call.h"

namespace swd::fuzz {

// Two spoils may exchange the gradients and an array that is written, which are right arguments again.
uint32_t updated(const Call& c) {
  const void* grad = c.world->at(kGrad);
  const swd_buffers& b = c.buffers;
  bool written = b.param == grad || b.exp_avg == grad || b.exp_avg_sq == grad || b.max_exp_avg_sq == grad ||
                 b.param_copy == grad || b.state == grad || b.remainder == grad || b.exp_avg_scale == grad ||
                 b.exp_avg_sq_scale == grad;
  return written ? kUpdated | bit(kGrad) : kUpdated;
}

Outcome call_rebuild(Input& in, Call& c) {
  make_call(in, *c.world, bit(kExpAvgSq) | bit(kExpAvgSqScale) | bit(kState) | bit(kWorkspace), c);
  c.world->snapshot();
  return {swd_state_rebuild(c.plan, c.buffers_or_null(), c.stream), bit(kState) | bit(kWorkspace)};
}

// swd_state_load and swd_state_store, with all three arrays or some.
Outcome call_convert(Input& in, bool load, Call& c) {
  make_call(in, *c.world, kStepPieces, c);
  std::vector<const void*> tables[3];
  swd_fp32_arrays arrays = c.world->fp32_arrays(tables);
  const void** members[] = {&arrays.param, &arrays.exp_avg, &arrays.exp_avg_sq};
  const void** member = members[in.below(3)];
  const swd_fp32_arrays* given = &arrays;
  uint32_t kind = in.below(12);
  c.spoiled = c.spoiled || (kind > 0 && kind < 6);
  std::vector<const void*>& table = tables[in.below(3)];
  if (kind == 1) arrays.struct_size = static_cast<uint32_t>(in.integer()) % sizeof arrays;
  if (kind == 2) arrays.flags = static_cast<uint32_t>(in.integer());
  if (kind == 3) *member = odd_address(static_cast<const uint8_t*>(*member), in.below(8));
  if (kind == 4) given = nullptr;
  if (kind == 5 && !table.empty()) table[0] = odd_address(static_cast<const uint8_t*>(table[0]), in.below(8));
  if (kind == 6) *member = nullptr;
  if (kind == 7 && !table.empty()) table[0] = nullptr;
  c.world->snapshot();
  if (load) return {swd_state_load(c.plan, c.buffers_or_null(), given, c.stream), updated(c)};
  return {swd_state_store(c.plan, c.buffers_or_null(), given, c.stream), kFp32 | bit(kWorkspace)};
}

}  // namespace swd::fuzz
