// SPDX-License-Identifier: Apache-2.0
// The preconditions of swd_state_load and swd_state_store: the buffers that they use, and the fp32 arrays, flat or as a
// list. Called by api_narrow.cpp.
#include <vector>

#include "check_step.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform

// The buffers that hold what an array does.
constexpr uint32_t kUsed[kFp32Arrays] = {1u << SWD_BUFFER_PARAM | 1u << SWD_BUFFER_REMAINDER,
                                         1u << SWD_BUFFER_EXP_AVG | 1u << SWD_BUFFER_EXP_AVG_SCALE,
                                         kSecondMoment | kState};

swd_status check_flat(const Plan& plan, const Pass& pass, const char* const* names) {
  Extent arrays[kFp32Arrays];
  swd_status status = SWD_OK;
  for (int a = 0; a < kFp32Arrays; ++a) {
    arrays[a] = Extent{names[a], pass.fp32[a], pass.fp32[a] ? sizeof(float) * static_cast<uint64_t>(plan.extent) : 0,
                       sizeof(float)};
    if (status == SWD_OK) status = check_alignment(arrays[a].base, alignof(float), names[a]);
  }
  for (int a = 0; a < kFp32Arrays; ++a) {
    auto apart_from = [&](const Extent& other) {
      if (status == SWD_OK && arrays[a].base && other.base) status = check_apart(plan, arrays[a], other);
    };
    for (int b = 0; b < a; ++b) apart_from(arrays[b]);
    for (int b = 0; b < kBufferCount; ++b) apart_from(extent_of(plan, b, kBufferNames[b], pass.bases[b]));
    apart_from(Extent{"state", pass.state, plan.state_bytes, 0});
    apart_from(Extent{"workspace", pass.ws.header, plan.workspace_bytes, 0});
  }
  return status;
}

// All arrays as one row, so that tensors of different ones are compared too.
swd_status check_list(const Plan& plan, const Pass& pass, const char* const* names) {
  size_t segments = plan.segments.size();
  std::vector<const void*> all;
  try {
    all.assign(kFp32Arrays * segments, nullptr);
  } catch (...) {
    return set_error(SWD_ERR_MEMORY, "the plan has %lld segments: host memory ran out", static_cast<Long>(segments));
  }
  for (int a = 0; a < kFp32Arrays; ++a) {
    if (!pass.fp32[a]) continue;
    swd_status status = check_alignment(pass.fp32[a], alignof(void*), names[a]);
    if (status != SWD_OK) return status;
    for (size_t k = 0; k < segments; ++k) {
      const void* tensor = static_cast<const void* const*>(pass.fp32[a])[k];
      all[static_cast<size_t>(a) * segments + k] = tensor;
      if (reinterpret_cast<uintptr_t>(tensor) % alignof(float) == 0) continue;
      return set_error(SWD_ERR_ALIGNMENT, "%s[%lld] is %p, expected a multiple of %u", names[a], static_cast<Long>(k),
                       tensor, static_cast<unsigned>(alignof(float)));
    }
  }
  PointerRow row{kFp32Row, 0, static_cast<int64_t>(all.size()), all.data(), names};
  return check_tensors_apart(plan, pass.ws, row);
}

}  // namespace

swd_status check_fp32(const swd_plan* plan, const swd_buffers* buffers, const swd_fp32_arrays* arrays, const char* name,
                      const void* stream, Pass& pass) {
  static constexpr const char* kLoad[kFp32Arrays] = {"from.param", "from.exp_avg", "from.exp_avg_sq"};
  static constexpr const char* kStore[kFp32Arrays] = {"to.param", "to.exp_avg", "to.exp_avg_sq"};
  const char* const* names = *name == 'f' ? kLoad : kStore;
  swd_fp32_arrays known;
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_struct(arrays, name, known);
  if (status == SWD_OK && known.flags != 0) {
    status = set_error(SWD_ERR_FLAGS, "%s.flags is 0x%x, expected 0", name, known.flags);
  }
  if (status != SWD_OK) return status;
  const void* bases[kFp32Arrays] = {known.param, known.exp_avg, known.exp_avg_sq};
  uint32_t used = 0;
  for (int a = 0; a < kFp32Arrays; ++a) used |= bases[a] ? kUsed[a] : 0;
  status = check_part(plan, buffers, used, stream, pass);
  if (status != SWD_OK) return status;
  for (int a = 0; a < kFp32Arrays; ++a) pass.fp32[a] = const_cast<void*>(bases[a]);
  return plan->facts.flags & SWD_PLAN_LIST ? check_list(*plan, pass, names) : check_flat(*plan, pass, names);
}

}  // namespace swd
