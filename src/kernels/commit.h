// SPDX-License-Identifier: Apache-2.0
// What a step leaves behind in workspace and state: the decision, and, once an update ends, the commit.
// Called by what decides on either backend, and by the end of pass 2.
#pragma once
#include "scalars.h"

namespace swd {

// The round is decided: notes what the update will do, and arms it unless a second round follows. The statistics stay
// those of the latest committed step until then.
SWD_FN void conclude(const Pass& pass, const Decision& d, double largest_d, uint32_t flags) {
  Header& header = *pass.ws.header;
  swd_stats& out = header.pending;
  out.result = d.result;
  out.flags = d.flags | flags;
  out.grad_norm = d.grad_norm;
  out.clip_coef = d.clip_coef;
  out.vbar = d.vbar;
  out.inv_sqrt_vbar = d.inv_sqrt_vbar;
  out.largest_decay = largest_d;
  out.bad = d.bad;
  out.param_norm = 0.0;
  out.update_norm = 0.0;
  header.decision = d;
  header.armed = needs_max(pass.plan) && pass.phase != SWD_PHASE_MAX ? kWaitsForMax : kArmed;
}

// The decided round's lambda_eff; the update makes it the reported one.
SWD_FN double* pending_lambda_eff(const Pass& pass) {
  return pass.ws.lambda_eff + (pass.ws.header->lambda_slot ^ 1u) * static_cast<uint64_t>(pass.plan.group_count);
}

SWD_FN void begin_epoch(Header& header) {
  header.epoch += 1;
  header.armed = kDisarmed;
}

SWD_FN bool applies(const Header& header) {
  return header.armed == kArmed && header.decision.result == SWD_RESULT_APPLIED;
}

// Ends pass 2: counts the step, tells what it did, and begins the next epoch. Not armed, it only says so.
SWD_FN void commit_step(Header& header, StateHeader& state, const Partial& norms) {
  swd_stats& stats = header.stats;
  if (header.armed != kArmed) {
    stats.result = SWD_RESULT_NOT_ARMED;
    return;
  }
  int64_t damaged = stats.damaged_segment;  // of a rebuild, not of a step
  bool applied = applies(header);
  stats = header.pending;
  if (applied) {
    state.steps_applied += 1;
    state.vbar_reference = header.decision.reference;
    stats.param_norm = root(norms.sum);
    stats.update_norm = root(norms.also);
  } else {
    state.steps_skipped += 1;
  }
  stats.steps_applied = state.steps_applied;
  stats.steps_skipped = state.steps_skipped;
  stats.vbar_reference = state.vbar_reference;
  stats.damaged_segment = damaged;
  header.lambda_slot ^= 1u;
  begin_epoch(header);
}

}  // namespace swd
