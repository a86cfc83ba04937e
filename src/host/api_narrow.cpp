// SPDX-License-Identifier: Apache-2.0
// Entry points of narrow states: where block scales lie, and the ways from and to fp32.
#include "backend.h"
#include "check_step.h"
#include "kernels/record.h"

using namespace swd;

namespace {

swd_status check_flat_plan(const swd_plan* plan) {
  swd_status status = check_pointer(plan, "plan");
  if (status != SWD_OK || !(plan->facts.flags & SWD_PLAN_LIST)) return status;
  return set_error(SWD_ERR_UNEXPECTED, "plan is a list: a tensor of n elements has (n + 127) / 128 bytes of scales");
}

// Tensor lists: brings the pointers to where the loops read them.
swd_status carry_pointers(const Plan& plan, const Pass& pass, void* stream) {
  int64_t segments = plan.facts.segment_count;
  swd_status status = SWD_OK;
  for (int a = 0; status == SWD_OK && a < kFp32Arrays && plan.facts.flags & SWD_PLAN_LIST; ++a) {
    if (!pass.fp32[a] || segments == 0) continue;
    const void* const* from = static_cast<const void* const*>(pass.fp32[a]);
    status = backend_of(plan).set_pointers(plan, pass.ws, pass.ws.fp32_pointers + a * segments, from, segments, stream);
  }
  return status;
}

}  // namespace

extern "C" {

swd_status swd_scale_size(const swd_plan* plan, uint64_t* bytes) {
  swd_status status = check_flat_plan(plan);
  if (status == SWD_OK) status = check_object(bytes, "bytes");
  if (status == SWD_OK) *bytes = extent_of(*plan, SWD_BUFFER_EXP_AVG_SCALE, "", nullptr).bytes;
  return status;
}

swd_status swd_scale_offset(const swd_plan* plan, int64_t segment, uint64_t* offset) {
  swd_status status = check_flat_plan(plan);
  if (status == SWD_OK) status = check_segment(*plan, segment);
  if (status == SWD_OK) status = check_object(offset, "offset");
  if (status != SWD_OK) return status;
  bool block8 = plan->dtypes.moment == SWD_DTYPE_BLOCK8;
  int64_t first_chunk = plan->segments[static_cast<size_t>(segment)].first_chunk;
  *offset = block8 ? static_cast<uint64_t>(first_chunk) * kScalesPerChunk : 0;
  return SWD_OK;
}

swd_status swd_state_load(const swd_plan* plan, const swd_buffers* buffers, const swd_fp32_arrays* from, void* stream) {
  Pass pass;
  swd_status status = check_fp32(plan, buffers, from, "from", stream, pass);
  if (status == SWD_OK) status = carry_pointers(*plan, pass, stream);
  return status == SWD_OK ? backend_of(*plan).load_state(*plan, pass, stream) : status;
}

swd_status swd_state_store(const swd_plan* plan, const swd_buffers* buffers, const swd_fp32_arrays* to, void* stream) {
  Pass pass;
  swd_status status = check_fp32(plan, buffers, to, "to", stream, pass);
  if (status == SWD_OK) status = carry_pointers(*plan, pass, stream);
  return status == SWD_OK ? backend_of(*plan).store_state(*plan, pass, stream) : status;
}

}  // extern "C"
