// SPDX-License-Identifier: Apache-2.0
// Entry points of the step, whole and in pieces. From here the way is: check_step fills a Pass, the backend's table
// leads to its launcher, the launcher to a loop, the loop to kernels/element.h.
#include "backend.h"
#include "check_step.h"

using namespace swd;

extern "C" {

swd_status swd_step(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  return status == SWD_OK ? backend_of(*plan).step(*plan, pass, stream) : status;
}

swd_status swd_reduce(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, swd_phase phase,
                      int64_t first_segment, int64_t segment_count, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status == SWD_OK) status = check_phase(phase, pass);
  if (status == SWD_OK) status = check_segment_range(*plan, first_segment, segment_count, pass);
  return status == SWD_OK ? backend_of(*plan).reduce(*plan, pass, stream) : status;
}

swd_status swd_fold(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, swd_phase phase,
                    swd_norm_record* record, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status == SWD_OK) status = check_phase(phase, pass);
  if (status == SWD_OK) status = check_record(*plan, record, pass);
  return status == SWD_OK ? backend_of(*plan).fold(*plan, pass, record, stream) : status;
}

swd_status swd_finalize(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, swd_phase phase,
                        const swd_norm_record* record, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status == SWD_OK) status = check_phase(phase, pass);
  if (status == SWD_OK) status = check_record(*plan, record, pass);
  return status == SWD_OK ? backend_of(*plan).finalize(*plan, pass, record, stream) : status;
}

swd_status swd_update(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  return status == SWD_OK ? backend_of(*plan).update(*plan, pass, stream) : status;
}

}  // extern "C"
