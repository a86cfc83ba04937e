// SPDX-License-Identifier: Apache-2.0
// Puts the checks of a step into their order and fills the Pass.
#include "check_step.h"

#include "kernels/cpu/float_environment.h"
#include "kernels/scalars.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform

void fill_memory(const Plan& plan, const swd_buffers& buffers, Pass& pass) {
  pass = Pass{};
  pass.plan = plan.facts;
  pass.ws = workspace_at(plan, buffers.workspace);
  const void* bases[kBufferCount];
  list_bases(buffers, bases);
  for (int b = 0; b < kBufferCount; ++b) pass.bases[b] = const_cast<void*>(bases[b]);
  pass.state = static_cast<StateHeader*>(buffers.state);
  if (pass.state) pass.segment_states = reinterpret_cast<SegmentState*>(pass.state + 1);  // calls may not use it
  pass.phase = SWD_PHASE_GRAD;
  pass.end_segment = plan.facts.segment_count;
  pass.end_chunk = plan.facts.chunk_count;
}

void fill_args(const swd_step_args& args, Pass& pass) {
  pass.groups_on_host = args.groups ? 1 : 0;
  pass.groups = args.groups ? args.groups : args.groups_device;
  pass.group_stride = args.group_stride ? args.group_stride : sizeof(swd_group);
  pass.step_flags = args.flags;
  pass.loss_scale = args.loss_scale == 0.0 ? 1.0 : args.loss_scale;
  pass.max_grad_norm = args.max_grad_norm;
  pass.max_decay = args.max_decay == 0.0 ? 0.1 : args.max_decay;
  pass.reference_step = args.reference_step == 0 ? 100 : args.reference_step;
  pass.loss_scale_pointer = args.loss_scale_pointer;
  pass.found_inf = args.found_inf;
  pass.has_grad = args.has_grad;
}

swd_status check_contents(const Plan& plan, const Pass& pass, uint32_t used) {
  swd_status status = check_initialised(plan, pass.ws.header);
  return status == SWD_OK ? check_tables(plan, pass.ws, used) : status;
}

swd_status check_segments_within(const Plan& plan, int64_t first, int64_t count, const char* first_name,
                                 const char* count_name) {
  Long segments = plan.facts.segment_count;
  if (first < 0 || first > segments) {
    return set_error(SWD_ERR_SIZE, "%s is %lld, but the plan has %lld segments", first_name, static_cast<Long>(first),
                     segments);
  }
  if (count < 0 || count > segments - first) {
    return set_error(SWD_ERR_SIZE, "%s is %lld from segment %lld, but the plan has %lld segments", count_name,
                     static_cast<Long>(count), static_cast<Long>(first), segments);
  }
  return SWD_OK;
}

int64_t first_chunk_of(const Plan& plan, int64_t segment) {
  return segment < plan.facts.segment_count ? plan.segments[static_cast<size_t>(segment)].first_chunk
                                            : plan.facts.chunk_count;
}

}  // namespace

swd_status check_step(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, const void* stream,
                      Pass& pass) {
  cpu::FloatEnvironment environment;  // whatever the caller has set, NaN is refused without a trap
  swd_buffers memory;
  swd_step_args numbers;
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_struct(buffers, "buffers", memory);
  if (status == SWD_OK) status = check_struct(args, "args", numbers);
  if (status == SWD_OK) status = check_buffers(*plan, memory, kAllBuffers | kState);
  if (status == SWD_OK) status = check_step_args(*plan, numbers);
  if (status == SWD_OK) status = check_stream(*plan, stream);
  if (status != SWD_OK) return status;
  fill_memory(*plan, memory, pass);
  fill_args(numbers, pass);
  return check_contents(*plan, pass, kAllBuffers);
}

swd_status check_phase(swd_phase phase, Pass& pass) {
  if (phase != SWD_PHASE_GRAD && phase != SWD_PHASE_MAX) {
    return set_error(SWD_ERR_ENUM, "phase is %d, which is no phase", phase);
  }
  if (phase == SWD_PHASE_MAX && !needs_max(pass.plan)) {
    return set_error(SWD_ERR_UNEXPECTED,
                     "phase is SWD_PHASE_MAX, but the plan lacks amsgrad or a scheduled or relative group");
  }
  pass.phase = phase;
  return SWD_OK;
}

swd_status check_segment_range(const Plan& plan, int64_t first_segment, int64_t segment_count, Pass& pass) {
  swd_status status = check_segments_within(plan, first_segment, segment_count, "first_segment", "segment_count");
  if (status != SWD_OK) return status;
  pass.first_segment = first_segment;
  pass.end_segment = first_segment + segment_count;
  pass.first_chunk = first_chunk_of(plan, pass.first_segment);
  pass.end_chunk = first_chunk_of(plan, pass.end_segment);
  return SWD_OK;
}

swd_status check_record(const Plan& plan, const double* record, uint64_t record_doubles, const Pass& pass) {
  if (!record) {
    if (record_doubles == 0) return SWD_OK;
    return set_error(SWD_ERR_NULL, "record is NULL, but record_doubles is %llu",
                     static_cast<unsigned long long>(record_doubles));
  }
  swd_status status = check_bytes(record_doubles, kRecordDoubles, "record_doubles");
  if (status == SWD_OK) status = check_alignment(record, alignof(double), "record");
  Extent extent{"record", record, kRecordDoubles * sizeof(double), 0};
  auto apart_from = [&](const Extent& other) {
    if (status == SWD_OK && other.base) status = check_apart(plan, extent, other);
  };
  for (int b = 0; b < kBufferCount; ++b) apart_from(extent_of(plan, b, kBufferNames[b], pass.bases[b]));
  apart_from(Extent{"state", pass.state, plan.state_bytes, 0});
  apart_from(Extent{"workspace", pass.ws.header, plan.workspace_bytes, 0});
  return status;
}

swd_status check_part(const swd_plan* plan, const swd_buffers* buffers, uint32_t used, const void* stream, Pass& pass) {
  swd_buffers memory;
  swd_status status = check_struct(buffers, "buffers", memory);
  if (status == SWD_OK) status = check_buffers(*plan, memory, used);
  if (status == SWD_OK) status = check_stream(*plan, stream);
  if (status != SWD_OK) return status;
  fill_memory(*plan, memory, pass);
  return check_contents(*plan, pass, used);
}

swd_status check_rebuild(const swd_plan* plan, const swd_buffers* buffers, const void* stream, Pass& pass) {
  swd_status status = check_pointer(plan, "plan");
  return status == SWD_OK ? check_part(plan, buffers, kSecondMoment | kState, stream, pass) : status;
}

swd_status check_copy(const swd_plan* plan, const swd_buffers* buffers, const void* stream, Pass& pass) {
  swd_status status = check_pointer(plan, "plan");
  if (status != SWD_OK) return status;
  if (plan->dtypes.copy == SWD_DTYPE_NONE) {
    return set_error(SWD_ERR_UNEXPECTED, "plan has no copy_dtype, so there is no param_copy to fill");
  }
  return check_part(plan, buffers, 1u << SWD_BUFFER_PARAM | 1u << SWD_BUFFER_PARAM_COPY, stream, pass);
}

swd_status check_pointers(const swd_plan* plan, void* workspace, const PointerRow& row, const void* stream) {
  swd_status status = check_workspace(plan, workspace, stream);
  if (status != SWD_OK) return status;
  if (row.buffer < 0 || row.buffer >= kBufferCount) {
    return set_error(SWD_ERR_ENUM, "buffer is %d, which is no buffer", row.buffer);
  }
  const char* name = kBufferNames[row.buffer];
  uint32_t element = plan->facts.element_bytes[row.buffer];
  if (!(plan->facts.flags & SWD_PLAN_LIST) || element == 0) {
    const char* why = element == 0 ? "has no such buffer" : "is no list: SWD_PLAN_LIST";
    return set_error(SWD_ERR_UNEXPECTED, "buffer is %d (%s), but the plan %s", row.buffer, name, why);
  }
  status = check_segments_within(*plan, row.first, row.count, "first", "count");
  if (status == SWD_OK && row.count > 0) status = check_object(row.pointers, "pointers");
  for (int64_t i = 0; status == SWD_OK && i < row.count; ++i) {
    if (reinterpret_cast<uintptr_t>(row.pointers[i]) % element == 0) continue;
    status = set_error(SWD_ERR_ALIGNMENT, "pointers[%lld] is %p, expected a multiple of %u (%s)", static_cast<Long>(i),
                       row.pointers[i], element, name);
  }
  if (status == SWD_OK) status = check_initialised(*plan, workspace);
  return status == SWD_OK ? check_tensors_apart(*plan, workspace_at(*plan, workspace), row) : status;
}

}  // namespace swd
