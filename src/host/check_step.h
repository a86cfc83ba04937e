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
swd_status check_record(const Plan& plan, const swd_norm_record* record, const Pass& pass);

// Of swd_state_rebuild.
swd_status check_rebuild(const swd_plan* plan, const swd_buffers* buffers, const void* stream, Pass& pass);

// A row of a pointer table.
swd_status check_pointers(const swd_plan* plan, const void* workspace, swd_buffer buffer, int64_t first, int64_t count,
                          const void* const* pointers, const void* stream);

}  // namespace swd
