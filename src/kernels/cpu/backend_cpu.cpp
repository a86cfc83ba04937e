// SPDX-License-Identifier: Apache-2.0
// The CPU backend: fills the Backend table and runs the loops on the plan's threads. Called through the table by
// src/host.
#include "decide.h"
#include "float_environment.h"
#include "host/backend.h"
#include "isa.h"
#include "team.h"

namespace swd::cpu {
namespace {

// A job of one piece wakes nobody: 64 Ki elements take less time than waking. In large jobs 1 Mi elements: hardware
// prefetchers start anew less often, which makes pass 1 8 % faster (2 cores of an AMD EPYC, 2^26 elements).
constexpr Cut kChunks{16, 256};
constexpr Cut kSegments{512, 512};

// Calls f(begin, end) for pieces of the segments [first, end), on the plan's threads.
template <class F>
void for_segments(const Plan& plan, int64_t first, int64_t end, const F& f) {
  auto call = [](const void* what, int64_t from, int64_t to) { (*static_cast<const F*>(what))(from, to); };
  plan.team->run(first, end, kSegments, call, &f);
}

const Loops& loops_of(const Plan& plan) { return loops_for(plan.dtypes); }

RangeLoop update_loop_of(const Plan& plan) {
  bool amsgrad = (plan.facts.flags & SWD_PLAN_AMSGRAD) != 0, norms = (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) != 0;
  return loops_of(plan).update[amsgrad][norms];
}

swd_status available() { return SWD_OK; }

swd_status init_workspace(const Plan& plan, void* workspace, void*) {
  write_workspace(plan, workspace);
  return SWD_OK;
}

swd_status set_pointers(const Plan&, const Workspace&, void** to, const void* const* pointers, int64_t count, void*) {
  for (int64_t i = 0; i < count; ++i) to[i] = const_cast<void*>(pointers[i]);
  return SWD_OK;
}

// The pass as the loops get it: an epoch that it begins has begun.
Pass in_epoch(const Pass& pass) {
  if (starts_afresh(pass)) begin_epoch(*pass.ws.header);
  Pass out = pass;
  out.begins = 0;
  return out;
}

void reduce_segments(const Plan& plan, const Pass& pass) {
  bool max_round = pass.phase == SWD_PHASE_MAX;
  if (max_round && !max_round_runs(*pass.ws.header)) return;
  RangeLoop loop = max_round ? loops_of(plan).sum_maxed : loops_of(plan).sum_squares;
  plan.team->run(pass.first_chunk, pass.end_chunk, kChunks, loop, &pass);
  for_segments(plan, pass.first_segment, pass.end_segment,
               [&](int64_t begin, int64_t end) { finish_segments(pass, begin, end); });
}

swd_status reduce(const Plan& plan, const Pass& pass, void*) {
  reduce_segments(plan, in_epoch(pass));
  return SWD_OK;
}

// Without a first pass nothing was reduced, so folding prepares the segments.
swd_status fold(const Plan& plan, const Pass& call, double* record, void*) {
  bool skip_norm = (call.step_flags & SWD_STEP_SKIP_NORM) != 0;
  Pass pass = skip_norm ? in_epoch(call) : call;
  if (skip_norm) {
    for_segments(plan, 0, plan.facts.segment_count,
                 [&](int64_t begin, int64_t end) { prepare_segments(pass, begin, end); });
  }
  FloatEnvironment environment;
  fold_record(pass, record ? record : pass.ws.header->record);
  return SWD_OK;
}

swd_status add_record(const Plan&, double* to, const double* from, void*) {
  FloatEnvironment environment;
  for (int i = 0; i < kRecordDoubles; ++i) to[i] += from[i];
  return SWD_OK;
}

swd_status decide(const Plan&, const Pass& pass, const double* record, void*) {
  FloatEnvironment environment;
  decide_step(pass, record ? record : pass.ws.header->record);
  return SWD_OK;
}

swd_status update(const Plan& plan, const Pass& pass, void*) {
  Header& header = *pass.ws.header;
  bool applied = applies(header);
  if (applied) plan.team->run(0, plan.facts.chunk_count, kChunks, update_loop_of(plan), &pass);
  FloatEnvironment environment;
  int64_t leaves = plan.facts.chunk_count * kItemsPerChunk;
  bool norms = applied && (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) && leaves > 0;
  header.update_norms = norms ? fold_tree(pass.ws.norm_values, leaves) : Partial{0.0, 0.0};
  commit_step(header, *pass.state, header.update_norms);
  return SWD_OK;
}

swd_status step(const Plan& plan, const Pass& call, void* stream) {
  Pass pass = in_epoch(call);
  bool skip_norm = (pass.step_flags & SWD_STEP_SKIP_NORM) != 0;
  if (!skip_norm) reduce_segments(plan, pass);
  fold(plan, pass, nullptr, stream);
  decide(plan, pass, nullptr, stream);
  if (!skip_norm && needs_max(plan.facts)) {
    pass.phase = SWD_PHASE_MAX;
    reduce_segments(plan, pass);
    fold(plan, pass, nullptr, stream);
    decide(plan, pass, nullptr, stream);
  }
  return update(plan, pass, stream);
}

swd_status discard(const Plan&, const Workspace& ws, void*) {
  begin_epoch(*ws.header);
  return SWD_OK;
}

swd_status rebuild(const Plan& plan, const Pass& pass, void*) {
  plan.team->run(0, plan.facts.chunk_count, kChunks, loops_of(plan).sum_moments, &pass);
  for_segments(plan, 0, plan.facts.segment_count, [&](int64_t begin, int64_t end) { keep_sums(pass, begin, end); });
  FloatEnvironment environment;
  report_damage(pass);
  return SWD_OK;
}

swd_status copy_params(const Plan& plan, const Pass& pass, void*) {
  plan.team->run(0, plan.facts.chunk_count, kChunks, loops_of(plan).copy_params, &pass);
  return SWD_OK;
}

// Moments that come from fp32 have no unit.
swd_status load_state(const Plan& plan, const Pass& pass, void*) {
  plan.team->run(0, plan.facts.chunk_count, kChunks, loops_of(plan).load_state, &pass);
  for (int64_t k = 0; pass.fp32[kFp32ExpAvgSq] && k < plan.facts.segment_count; ++k) {
    if (fp32_of(pass, kFp32ExpAvgSq, k)) pass.segment_states[k].exp_avg_sq_unit = 0.0;
  }
  return SWD_OK;
}

swd_status store_state(const Plan& plan, const Pass& pass, void*) {
  plan.team->run(0, plan.facts.chunk_count, kChunks, loops_of(plan).store_state, &pass);
  return SWD_OK;
}

swd_status fetch(const Plan& plan, const Workspace& ws, swd_stats* stats, uint64_t stats_bytes, double* lambda_eff,
                 void*) {
  memcpy(stats, &ws.header->stats, stats_bytes);
  uint64_t groups = plan.facts.group_count;
  if (lambda_eff) memcpy(lambda_eff, ws.lambda_eff + ws.header->lambda_slot * groups, groups * sizeof(double));
  return SWD_OK;
}

}  // namespace
}  // namespace swd::cpu

namespace swd {

const Backend& cpu_backend() {
  static const Backend backend = {cpu::available,  cpu::init_workspace, cpu::set_pointers, cpu::step,
                                  cpu::reduce,     cpu::fold,           cpu::add_record,   cpu::decide,
                                  cpu::update,     cpu::discard,        cpu::rebuild,      cpu::copy_params,
                                  cpu::load_state, cpu::store_state,    cpu::fetch};
  return backend;
}

}  // namespace swd
