// SPDX-License-Identifier: Apache-2.0
// Entry points of the step, whole and in pieces. From here the way is: check_step fills a Pass, the backend's table
// leads to its launcher, the launcher to a loop, the loop to kernels/element.h.
#include "backend.h"
#include "check_step.h"

using namespace swd;

namespace {

// Notes a piece that did not reach the device: the next swd_reduce must not join what came before.
swd_status noted(const Plan& plan, const Pass& pass, swd_status status) {
  if (status != SWD_OK) plan.failed_pieces.add(pass.ws.header);
  return status;
}

// Whether this call starts afresh, because a piece failed since the last that did.
uint32_t takes_failure(const Plan& plan, const Pass& pass) { return plan.failed_pieces.take(pass.ws.header) ? 1 : 0; }

}  // namespace

extern "C" {

swd_status swd_step(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status != SWD_OK) return status;
  takes_failure(*plan, pass);
  pass.begins = 1;
  return noted(*plan, pass, backend_of(*plan).step(*plan, pass, stream));
}

swd_status swd_reduce(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, swd_phase phase,
                      int64_t first_segment, int64_t segment_count, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status == SWD_OK) status = check_phase(phase, pass);
  if (status == SWD_OK) status = check_segment_range(*plan, first_segment, segment_count, pass);
  if (status != SWD_OK) return status;
  pass.begins = takes_failure(*plan, pass);
  return noted(*plan, pass, backend_of(*plan).reduce(*plan, pass, stream));
}

swd_status swd_fold(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, swd_phase phase,
                    double* record, uint64_t record_doubles, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status == SWD_OK) status = check_phase(phase, pass);
  if (status == SWD_OK) status = check_record(*plan, record, record_doubles, pass);
  return status == SWD_OK ? noted(*plan, pass, backend_of(*plan).fold(*plan, pass, record, stream)) : status;
}

swd_status swd_record_size(const swd_plan* plan, uint64_t* doubles) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_object(doubles, "doubles");
  if (status == SWD_OK) *doubles = kRecordDoubles;
  return status;
}

swd_status swd_record_add(const swd_plan* plan, double* to, const double* from, uint64_t record_doubles, void* stream) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_object(to, "to");
  if (status == SWD_OK) status = check_object(from, "from");
  if (status == SWD_OK) status = check_bytes(record_doubles, kRecordDoubles, "record_doubles");
  constexpr uint64_t kBytes = kRecordDoubles * sizeof(double);
  if (status == SWD_OK) status = check_disjoint(to, kBytes, "to", from, kBytes, "from");
  if (status == SWD_OK) status = check_stream(*plan, stream);
  return status == SWD_OK ? backend_of(*plan).add_record(*plan, to, from, stream) : status;
}

swd_status swd_decide(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, swd_phase phase,
                      const double* record, uint64_t record_doubles, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  if (status == SWD_OK) status = check_phase(phase, pass);
  if (status == SWD_OK) status = check_record(*plan, record, record_doubles, pass);
  return status == SWD_OK ? noted(*plan, pass, backend_of(*plan).decide(*plan, pass, record, stream)) : status;
}

swd_status swd_update(const swd_plan* plan, const swd_buffers* buffers, const swd_step_args* args, void* stream) {
  Pass pass;
  swd_status status = check_step(plan, buffers, args, stream, pass);
  return status == SWD_OK ? noted(*plan, pass, backend_of(*plan).update(*plan, pass, stream)) : status;
}

swd_status swd_copy_params(const swd_plan* plan, const swd_buffers* buffers, void* stream) {
  Pass pass;
  swd_status status = check_copy(plan, buffers, stream, pass);
  return status == SWD_OK ? backend_of(*plan).copy_params(*plan, pass, stream) : status;
}

}  // extern "C"
