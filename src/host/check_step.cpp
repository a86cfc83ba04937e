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
  pass.bases[SWD_BUFFER_PARAM] = buffers.param;
  pass.bases[SWD_BUFFER_GRAD] = const_cast<void*>(buffers.grad);
  pass.bases[SWD_BUFFER_EXP_AVG] = buffers.exp_avg;
  pass.bases[SWD_BUFFER_EXP_AVG_SQ] = buffers.exp_avg_sq;
  pass.bases[SWD_BUFFER_MAX_EXP_AVG_SQ] = buffers.max_exp_avg_sq;
  pass.bases[SWD_BUFFER_PARAM_COPY] = buffers.param_copy;
  pass.state = static_cast<swd_state_header*>(buffers.state);
  pass.segment_states = reinterpret_cast<swd_segment_state*>(pass.state + 1);
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
  pass.max_decay = args.max_decay == 0.0 ? 1.0 : args.max_decay;
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
  if (status == SWD_OK) status = check_buffers(*plan, memory, kAllBuffers);
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
    return set_error(SWD_ERR_UNEXPECTED, "phase is SWD_PHASE_MAX, but the plan lacks amsgrad or a scheduled group");
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

swd_status check_record(const Plan& plan, const swd_norm_record* record, const Pass& pass) {
  swd_status status = check_alignment(record, alignof(swd_norm_record), "record");
  auto check_apart = [&](const void* base, uint64_t bytes, const char* name) {
    if (status == SWD_OK && base) status = check_disjoint(record, sizeof *record, "record", base, bytes, name);
  };
  if (!record) return SWD_OK;
  for (int b = 0; b < kBufferCount; ++b) {
    check_apart(pass.bases[b], static_cast<uint64_t>(plan.extent) * element_bytes(plan, b), kBufferNames[b]);
  }
  check_apart(pass.state, plan.state_bytes, "state");
  check_apart(pass.ws.header, plan.workspace_bytes, "workspace");
  return status;
}

swd_status check_rebuild(const swd_plan* plan, const swd_buffers* buffers, const void* stream, Pass& pass) {
  constexpr uint32_t kUsed = 1u << SWD_BUFFER_EXP_AVG_SQ;
  swd_buffers memory;
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_struct(buffers, "buffers", memory);
  if (status == SWD_OK) status = check_buffers(*plan, memory, kUsed);
  if (status == SWD_OK) status = check_stream(*plan, stream);
  if (status != SWD_OK) return status;
  fill_memory(*plan, memory, pass);
  return check_contents(*plan, pass, kUsed);
}

swd_status check_pointers(const swd_plan* plan, const void* workspace, swd_buffer buffer, int64_t first, int64_t count,
                          const void* const* pointers, const void* stream) {
  swd_status status = check_workspace(plan, workspace, stream);
  if (status != SWD_OK) return status;
  if (buffer < 0 || buffer >= kBufferCount) {
    return set_error(SWD_ERR_ENUM, "buffer is %d, which is no buffer", buffer);
  }
  uint32_t element = element_bytes(*plan, buffer);
  if (!(plan->facts.flags & SWD_PLAN_LIST) || element == 0) {
    const char* why = element == 0 ? "has no such buffer" : "is no list: SWD_PLAN_LIST";
    return set_error(SWD_ERR_UNEXPECTED, "buffer is %d (%s), but the plan %s", buffer, kBufferNames[buffer], why);
  }
  status = check_segments_within(*plan, first, count, "first", "count");
  if (status == SWD_OK && count > 0) status = check_object(pointers, "pointers");
  for (int64_t i = 0; status == SWD_OK && i < count; ++i) {
    if (reinterpret_cast<uintptr_t>(pointers[i]) % element == 0) continue;
    status = set_error(SWD_ERR_ALIGNMENT, "pointers[%lld] is %p, expected a multiple of %u (%s)", static_cast<Long>(i),
                       pointers[i], element, kBufferNames[buffer]);
  }
  return status == SWD_OK ? check_initialised(*plan, workspace) : status;
}

}  // namespace swd
