// SPDX-License-Identifier: Apache-2.0
// The table of functions that a backend fills. Arguments are checked before they arrive (check.cpp); `stream` is the
// caller's. Every slot is set, returns SWD_OK or the status of what failed after set_error, and allocates nothing.
#pragma once
#include "kernels/layout.h"
#include "plan.h"

namespace swd {

struct Backend {
  swd_status (*available)();
  // Leaves what write_workspace writes. May block.
  swd_status (*init_workspace)(const Plan& plan, void* workspace, void* stream);
  // Copies host pointers into a pointer table of the workspace, ordered in the stream.
  swd_status (*set_pointers)(const Plan& plan, const Workspace& ws, void** to, const void* const* pointers,
                             int64_t count, void* stream);
  // All of the below fused into as few launches as the plan allows.
  swd_status (*step)(const Plan& plan, const Pass& pass, void* stream);
  // Pass 1 over pass.first_chunk .. end_chunk, for pass.phase; ends with each segment's scratch.
  swd_status (*reduce)(const Plan& plan, const Pass& pass, void* stream);
  swd_status (*fold)(const Plan& plan, const Pass& pass, double* record, void* stream);
  swd_status (*add_record)(const Plan& plan, double* to, const double* from, void* stream);
  swd_status (*decide)(const Plan& plan, const Pass& pass, const double* record, void* stream);
  swd_status (*update)(const Plan& plan, const Pass& pass, void* stream);
  // Starts the next epoch, so that nothing reduced so far counts.
  swd_status (*discard)(const Plan& plan, const Workspace& ws, void* stream);
  // Sums exp_avg_sq into the state's running sums.
  swd_status (*rebuild)(const Plan& plan, const Pass& pass, void* stream);
  // Rounds param to param_copy, which the plan has.
  swd_status (*copy_params)(const Plan& plan, const Pass& pass, void* stream);
  // Between the plan's buffers and fp32 arrays, those of pass.fp32 that are set.
  swd_status (*load_state)(const Plan& plan, const Pass& pass, void* stream);
  swd_status (*store_state)(const Plan& plan, const Pass& pass, void* stream);
  swd_status (*fetch)(const Plan& plan, const Workspace& ws, swd_stats* stats, uint64_t stats_bytes, double* lambda_eff,
                      void* stream);
};

const Backend& cpu_backend();
const Backend* cuda_backend();  // NULL if built without CUDA
const Backend& backend_of(const Plan& plan);

}  // namespace swd
