// SPDX-License-Identifier: Apache-2.0
// From the arguments of a step, whole or in pieces, to the one block that the backends read.
// Called by api_step.cpp.
#pragma once
#include "check.h"

namespace swd {

// Fills `pass` for the whole plan and the first round.
swd_status check_step(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, const void* stream,
                      Pass& pass);

// Narrow a pass that check_step filled.
swd_status check_phase(swd_phase phase, Pass& pass);
swd_status check_segment_range(const Plan& plan, int64_t first_segment, int64_t segment_count, Pass& pass);

// NULL is the workspace's own; any other record lies apart from the buffers of the pass.
swd_status check_record(const Plan& plan, const double* record, uint64_t record_doubles, const Pass& pass);

// A call that uses part of the buffers (check.h), and no step_args.
swd_status check_part(const swd_plan* plan, const swd_buffers* buffers, uint32_t used, const void* stream, Pass& pass);

// Of swd_state_rebuild and swd_copy_params.
swd_status check_rebuild(const swd_plan* plan, const swd_buffers* buffers, const void* stream, Pass& pass);
swd_status check_copy(const swd_plan* plan, const swd_buffers* buffers, const void* stream, Pass& pass);

// Of swd_state_load and _store: `name` is the parameter's. What is not given in `arrays` is not looked at.
swd_status check_fp32(const swd_plan* plan, const swd_buffers* buffers, const swd_fp32_arrays* arrays, const char* name,
                      const void* stream, Pass& pass);

swd_status check_pointers(const swd_plan* plan, void* workspace, const PointerRow& row, const void* stream);

}  // namespace swd
