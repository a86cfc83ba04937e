// SPDX-License-Identifier: Apache-2.0
// The preconditions on memory: workspace, state and the other buffers, flat or as a list.
#include "check.h"
#include "kernels/record.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform
using UnsignedLong = unsigned long long;

// A buffer of a call, in the order of swd_buffers.
struct Range {
  Extent extent;       // what the call may touch
  uint64_t alignment;  // 0: the call has no use for it
};

constexpr int kRangeCount = kBufferCount + 2;

constexpr const char* kMemberNames[kRangeCount] = {
    "buffers.param",      "buffers.grad",           "buffers.exp_avg",
    "buffers.exp_avg_sq", "buffers.max_exp_avg_sq", "buffers.param_copy",
    "buffers.remainder",  "buffers.exp_avg_scale",  "buffers.exp_avg_sq_scale",
    "buffers.state",      "buffers.workspace"};

void list_ranges(const Plan& plan, const swd_buffers& buffers, uint32_t used, Range* ranges) {
  const void* bases[kBufferCount];
  list_bases(buffers, bases);
  bool list = (plan.facts.flags & SWD_PLAN_LIST) != 0;
  for (int b = 0; b < kBufferCount; ++b) {
    bool counts = (used >> b & 1u) != 0;
    ranges[b].extent = extent_of(plan, b, kMemberNames[b], counts ? bases[b] : nullptr);
    ranges[b].alignment = counts && !list ? plan.facts.element_bytes[b] : 0;
  }
  bool state = (used & kState) != 0;
  ranges[kBufferCount] = {{kMemberNames[kBufferCount], state ? buffers.state : nullptr, plan.state_bytes, 0},
                          state ? kImageAlignment : 0};
  ranges[kBufferCount + 1] = {{kMemberNames[kBufferCount + 1], buffers.workspace, plan.workspace_bytes, 0},
                              kImageAlignment};
}

swd_status check_presence(const Plan& plan, const Range* ranges) {
  for (int i = 0; i < kRangeCount; ++i) {
    const Extent& extent = ranges[i].extent;
    if (ranges[i].alignment == 0 && extent.base) {
      const char* why = plan.facts.flags & SWD_PLAN_LIST ? "is a list: swd_set_pointers" : "has no such buffer";
      return set_error(SWD_ERR_UNEXPECTED, "%s is %p, but the plan %s", extent.name, extent.base, why);
    }
    if (ranges[i].alignment != 0 && extent.bytes > 0 && !extent.base) {
      return set_error(SWD_ERR_NULL, "%s is NULL, but %llu bytes are needed", extent.name,
                       static_cast<UnsignedLong>(extent.bytes));
    }
  }
  return SWD_OK;
}

swd_status check_alignments(const Range* ranges) {
  for (int i = 0; i < kRangeCount; ++i) {
    if (ranges[i].alignment == 0) continue;
    const Extent& extent = ranges[i].extent;
    swd_status status = check_alignment(extent.base, ranges[i].alignment, extent.name);
    if (status != SWD_OK) return status;
  }
  return SWD_OK;
}

swd_status check_overlaps(const Plan& plan, const Range* ranges) {
  for (int i = 0; i < kRangeCount; ++i) {
    for (int j = i + 1; j < kRangeCount; ++j) {
      if (ranges[i].alignment == 0 || ranges[j].alignment == 0) continue;
      swd_status status = check_apart(plan, ranges[i].extent, ranges[j].extent);
      if (status != SWD_OK) return status;
    }
  }
  return SWD_OK;
}

}  // namespace

void list_bases(const swd_buffers& buffers, const void** bases) {
  bases[SWD_BUFFER_PARAM] = buffers.param;
  bases[SWD_BUFFER_GRAD] = buffers.grad;
  bases[SWD_BUFFER_EXP_AVG] = buffers.exp_avg;
  bases[SWD_BUFFER_EXP_AVG_SQ] = buffers.exp_avg_sq;
  bases[SWD_BUFFER_MAX_EXP_AVG_SQ] = buffers.max_exp_avg_sq;
  bases[SWD_BUFFER_PARAM_COPY] = buffers.param_copy;
  bases[SWD_BUFFER_REMAINDER] = buffers.remainder;
  bases[SWD_BUFFER_EXP_AVG_SCALE] = buffers.exp_avg_scale;
  bases[SWD_BUFFER_EXP_AVG_SQ_SCALE] = buffers.exp_avg_sq_scale;
}

Extent extent_of(const Plan& plan, int buffer, const char* name, const void* base) {
  uint64_t element = plan.facts.element_bytes[buffer];
  bool scales = buffer == SWD_BUFFER_EXP_AVG_SCALE || buffer == SWD_BUFFER_EXP_AVG_SQ_SCALE;
  if (scales) return Extent{name, base, element * static_cast<uint64_t>(plan.facts.chunk_count) * kScalesPerChunk, 0};
  return Extent{name, base, element * static_cast<uint64_t>(plan.extent), element};
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

swd_status check_segment(const Plan& plan, int64_t segment) {
  if (segment >= 0 && segment < plan.facts.segment_count) return SWD_OK;
  return set_error(SWD_ERR_SIZE, "segment is %lld, but the plan has %lld", static_cast<Long>(segment),
                   static_cast<Long>(plan.facts.segment_count));
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
  swd_status status = SWD_OK;
  if (used & kState) status = check_bytes(buffers.state_bytes, plan.state_bytes, "buffers.state_bytes");
  if (status == SWD_OK) status = check_bytes(buffers.workspace_bytes, plan.workspace_bytes, "buffers.workspace_bytes");
  if (status == SWD_OK) status = check_presence(plan, ranges);
  if (status == SWD_OK) status = check_alignments(ranges);
  return status == SWD_OK ? check_overlaps(plan, ranges) : status;
}

swd_status check_tables(const Plan& plan, const Workspace& ws, uint32_t used) {
  if (plan.backend != SWD_BACKEND_CPU || !(plan.facts.flags & SWD_PLAN_LIST)) return SWD_OK;
  for (int b = 0; b < kBufferCount; ++b) {
    // A NULL gradient is no mistake: it says that there is none.
    if (b == SWD_BUFFER_GRAD || !(used >> b & 1u) || plan.facts.element_bytes[b] == 0) continue;
    for (int64_t k = 0; k < plan.facts.segment_count; ++k) {
      if (ws.pointers[b * plan.facts.segment_count + k] || plan.segments[static_cast<size_t>(k)].count == 0) continue;
      return set_error(SWD_ERR_NULL, "pointer table %s, segment %lld, is NULL: swd_set_pointers", kBufferNames[b],
                       static_cast<Long>(k));
    }
  }
  return SWD_OK;
}

}  // namespace swd
