// SPDX-License-Identifier: Apache-2.0
// Entry points of the statistics.
#include "backend.h"
#include "check.h"

using namespace swd;

extern "C" {

swd_status swd_stats_fetch(const swd_plan* plan, void* workspace, swd_stats* stats, uint64_t stats_size,
                           double* lambda_eff, void* stream) {
  swd_status status = check_workspace(plan, workspace, stream);
  if (status == SWD_OK) status = check_bytes(stats_size, 1, "stats_size");
  if (status == SWD_OK) status = check_object(stats, "stats");
  if (status == SWD_OK) status = check_alignment(lambda_eff, alignof(double), "lambda_eff");
  if (status != SWD_OK) return status;
  uint64_t bytes = stats_size < sizeof(swd_stats) ? stats_size : sizeof(swd_stats);
  uint64_t lambda_bytes = lambda_eff ? plan->facts.group_count * sizeof(double) : 0;
  status = check_disjoint(stats, bytes, "stats", workspace, plan->workspace_bytes, "workspace");
  if (status == SWD_OK) {
    status = check_disjoint(lambda_eff, lambda_bytes, "lambda_eff", workspace, plan->workspace_bytes, "workspace");
  }
  if (status == SWD_OK) status = check_disjoint(lambda_eff, lambda_bytes, "lambda_eff", stats, bytes, "stats");
  if (status == SWD_OK) status = check_initialised(*plan, workspace);
  if (status != SWD_OK) return status;
  return backend_of(*plan).fetch(*plan, workspace_at(*plan, workspace), stats, bytes, lambda_eff, stream);
}

swd_status swd_stats_pointer(const swd_plan* plan, const void* workspace, const swd_stats** stats) {
  swd_status status = check_workspace(plan, workspace, nullptr);
  if (status == SWD_OK) status = check_object(stats, "stats");
  if (status == SWD_OK) *stats = &workspace_at(*plan, const_cast<void*>(workspace)).header->stats;
  return status;
}

}  // extern "C"
