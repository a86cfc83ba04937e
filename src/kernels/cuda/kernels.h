// SPDX-License-Identifier: Apache-2.0
// What the files of the CUDA backend offer each other: one launcher per kernel. Called by backend_cuda.cu.
#pragma once
#include "host/plan.h"
#include "launch.h"

namespace swd::cuda {

// Load every kernel that a plan's calls will launch. Called once a workspace, by its init.
swd_status load_reduce(const Plan& plan);
swd_status load_update(const Plan& plan);
swd_status load_tables();

swd_status launch_reduce(const Plan& plan, const Launch& args, void* stream);   // pass 1, for args.pass.phase
swd_status launch_rebuild(const Plan& plan, const Launch& args, void* stream);  // sums of exp_avg_sq into the state
swd_status launch_decide(const Launch& args, void* stream);                     // args.then in a launch of its own
swd_status launch_update(const Plan& plan, const Launch& args, bool overlaps, void* stream);  // pass 2
swd_status launch_copy_params(const Plan& plan, const Launch& args, void* stream);
swd_status load_copy_params(const Plan& plan);
swd_status load_conversions(const Plan& plan);
swd_status launch_load_state(const Plan& plan, const Launch& args, void* stream);   // fp32 arrays into the plan's
swd_status launch_store_state(const Plan& plan, const Launch& args, void* stream);  // and back
swd_status launch_add_record(double* to, const double* from, void* stream);
swd_status launch_fetch(const PlanFacts& plan, const Workspace& ws, void* stream);
swd_status launch_chunk_table(const PlanFacts& plan, const Workspace& ws, void* stream);
swd_status launch_discard(const PlanFacts& plan, const Workspace& ws, void* stream);

// Writes host bytes (a multiple of 8) into a workspace, if it is one of this plan, as kernel arguments: ordered in the
// stream, capturable, and the host bytes may be reused on return.
swd_status launch_carry(const PlanFacts& plan, const Workspace& ws, const void* bytes, uint64_t count, void* to,
                        void* stream);

// device.cu. SWD_ERR_NO_DEVICE without a device, or one that this build has code for; SWD_ERR_DEVICE where workspace or
// stream are not the current device's.
swd_status available();
swd_status check_device(const void* workspace, cudaStream_t stream);

swd_status find_code();  // SWD_ERR_NO_DEVICE if this build has none for the current device

}  // namespace swd::cuda
