// SPDX-License-Identifier: Apache-2.0
// The preconditions on memory: workspace, state and the six buffers, flat or as a list.
#include "check.h"
#include "kernels/dtype.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform
using UnsignedLong = unsigned long long;

// A buffer of a call, in the order of swd_buffers.
struct Range {
  const char* name;
  const void* base;
  uint64_t bytes;      // that the call may touch
  uint64_t alignment;  // 0: the call has no use for it
};

constexpr int kRangeCount = kBufferCount + 2;

void list_ranges(const Plan& plan, const swd_buffers& buffers, uint32_t used, Range* ranges) {
  const void* bases[kBufferCount] = {buffers.param,      buffers.grad,           buffers.exp_avg,
                                     buffers.exp_avg_sq, buffers.max_exp_avg_sq, buffers.param_copy};
  bool list = (plan.facts.flags & SWD_PLAN_LIST) != 0;
  for (int b = 0; b < kBufferCount; ++b) {
    uint64_t element = list ? 0 : element_bytes(plan, b);
    bool counts = (used >> b & 1u) != 0;
    ranges[b] = {kBufferNames[b], counts ? bases[b] : nullptr, static_cast<uint64_t>(plan.extent) * element,
                 counts ? element : 0};
  }
  ranges[kBufferCount] = {"state", buffers.state, plan.state_bytes, kImageAlignment};
  ranges[kBufferCount + 1] = {"workspace", buffers.workspace, plan.workspace_bytes, kImageAlignment};
}

swd_status check_presence(const Plan& plan, const Range* ranges) {
  for (int i = 0; i < kRangeCount; ++i) {
    const Range& range = ranges[i];
    if (range.alignment == 0 && range.base) {
      const char* why = plan.facts.flags & SWD_PLAN_LIST ? "is a list: swd_set_pointers" : "has no such buffer";
      return set_error(SWD_ERR_UNEXPECTED, "buffers.%s is %p, but the plan %s", range.name, range.base, why);
    }
    if (range.alignment != 0 && range.bytes > 0 && !range.base) {
      return set_error(SWD_ERR_NULL, "buffers.%s is NULL, but %llu bytes are needed", range.name,
                       static_cast<UnsignedLong>(range.bytes));
    }
  }
  return SWD_OK;
}

swd_status check_alignments(const Range* ranges) {
  for (int i = 0; i < kRangeCount; ++i) {
    const Range& range = ranges[i];
    if (range.alignment != 0 && reinterpret_cast<uintptr_t>(range.base) % range.alignment != 0) {
      return set_error(SWD_ERR_ALIGNMENT, "buffers.%s is %p, expected a multiple of %llu", range.name, range.base,
                       static_cast<UnsignedLong>(range.alignment));
    }
  }
  return SWD_OK;
}

bool overlap(const void* a, uint64_t a_bytes, const void* b, uint64_t b_bytes) {
  uintptr_t at_a = reinterpret_cast<uintptr_t>(a), at_b = reinterpret_cast<uintptr_t>(b);
  if (a_bytes == 0 || b_bytes == 0) return false;
  return at_a <= at_b ? at_b - at_a < a_bytes : at_a - at_b < b_bytes;
}

swd_status check_overlaps(const Range* ranges) {
  for (int i = 0; i < kRangeCount; ++i) {
    for (int j = i + 1; j < kRangeCount; ++j) {
      const Range &a = ranges[i], &b = ranges[j];
      if (a.alignment == 0 || b.alignment == 0 || !overlap(a.base, a.bytes, b.base, b.bytes)) continue;
      return set_error(SWD_ERR_OVERLAP, "buffers.%s (%p, %llu bytes) and buffers.%s (%p, %llu bytes) share memory",
                       a.name, a.base, static_cast<UnsignedLong>(a.bytes), b.name, b.base,
                       static_cast<UnsignedLong>(b.bytes));
    }
  }
  return SWD_OK;
}

}  // namespace

uint32_t element_bytes(const Plan& plan, int buffer) {
  switch (buffer) {
    case SWD_BUFFER_GRAD:
      return plan.facts.grad_bytes;
    case SWD_BUFFER_MAX_EXP_AVG_SQ:
      return plan.facts.flags & SWD_PLAN_AMSGRAD ? dtype_bytes(SWD_DTYPE_F32) : 0;
    case SWD_BUFFER_PARAM_COPY:
      return dtype_bytes(plan.copy_dtype);
    default:
      return dtype_bytes(SWD_DTYPE_F32);
  }
}

swd_status check_pointer(const void* pointer, const char* name) {
  return pointer ? SWD_OK : set_error(SWD_ERR_NULL, "%s is NULL", name);
}

swd_status check_alignment(const void* pointer, uint64_t bytes, const char* name) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes == 0) return SWD_OK;
  return set_error(SWD_ERR_ALIGNMENT, "%s is %p, expected a multiple of %llu", name, pointer,
                   static_cast<UnsignedLong>(bytes));
}

swd_status check_bytes(uint64_t bytes, uint64_t needed, const char* name) {
  if (bytes >= needed) return SWD_OK;
  return set_error(SWD_ERR_SIZE, "%s is %llu, but %llu are needed", name, static_cast<UnsignedLong>(bytes),
                   static_cast<UnsignedLong>(needed));
}

swd_status check_disjoint(const void* a, uint64_t a_bytes, const char* a_name, const void* b, uint64_t b_bytes,
                          const char* b_name) {
  if (!overlap(a, a_bytes, b, b_bytes)) return SWD_OK;
  return set_error(SWD_ERR_OVERLAP, "%s (%p, %llu bytes) and %s (%p, %llu bytes) share memory", a_name, a,
                   static_cast<UnsignedLong>(a_bytes), b_name, b, static_cast<UnsignedLong>(b_bytes));
}

swd_status check_stream(const Plan& plan, const void* stream) {
  if (plan.backend != SWD_BACKEND_CPU || !stream) return SWD_OK;
  return set_error(SWD_ERR_UNEXPECTED, "stream is %p, expected NULL for the CPU backend", stream);
}

swd_status check_workspace(const swd_plan* plan, const void* workspace, const void* stream) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_pointer(workspace, "workspace");
  if (status == SWD_OK) status = check_alignment(workspace, kImageAlignment, "workspace");
  return status == SWD_OK ? check_stream(*plan, stream) : status;
}

swd_status check_initialised(const Plan& plan, const void* workspace) {
  if (plan.backend != SWD_BACKEND_CPU) return SWD_OK;  // device memory; the kernels look themselves
  if (static_cast<const Header*>(workspace)->fingerprint == plan.facts.fingerprint) return SWD_OK;
  return set_error(SWD_ERR_WORKSPACE, "workspace at %p was not initialised for this plan: swd_workspace_init",
                   workspace);
}

swd_status check_buffers(const Plan& plan, const swd_buffers& buffers, uint32_t used) {
  if (buffers.flags != 0) return set_error(SWD_ERR_FLAGS, "buffers.flags is 0x%x, expected 0", buffers.flags);
  Range ranges[kRangeCount];
  list_ranges(plan, buffers, used, ranges);
  swd_status status = check_bytes(buffers.state_bytes, plan.state_bytes, "buffers.state_bytes");
  if (status == SWD_OK) status = check_bytes(buffers.workspace_bytes, plan.workspace_bytes, "buffers.workspace_bytes");
  if (status == SWD_OK) status = check_presence(plan, ranges);
  if (status == SWD_OK) status = check_alignments(ranges);
  return status == SWD_OK ? check_overlaps(ranges) : status;
}

swd_status check_tables(const Plan& plan, const Workspace& ws, uint32_t used) {
  if (plan.backend != SWD_BACKEND_CPU || !(plan.facts.flags & SWD_PLAN_LIST)) return SWD_OK;
  for (int b = 0; b < kBufferCount; ++b) {
    // A NULL gradient is no mistake: it says that there is none.
    if (b == SWD_BUFFER_GRAD || !(used >> b & 1u) || element_bytes(plan, b) == 0) continue;
    for (int64_t k = 0; k < plan.facts.segment_count; ++k) {
      if (ws.pointers[b * plan.facts.segment_count + k] || plan.segments[static_cast<size_t>(k)].count == 0) continue;
      return set_error(SWD_ERR_NULL, "pointer table %s, segment %lld, is NULL: swd_set_pointers", kBufferNames[b],
                       static_cast<Long>(k));
    }
  }
  return SWD_OK;
}

}  // namespace swd
