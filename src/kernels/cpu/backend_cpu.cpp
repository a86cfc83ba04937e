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

const Loops& loops_of(const Plan& plan) { return loops_for(plan.grad_dtype, plan.copy_dtype); }

RangeLoop update_loop_of(const Plan& plan) {
  bool amsgrad = (plan.facts.flags & SWD_PLAN_AMSGRAD) != 0, norms = (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) != 0;
  return loops_of(plan).update[amsgrad][norms];
}

bool has_copy(const Plan& plan) { return plan.copy_dtype != SWD_DTYPE_NONE; }

swd_status available() { return SWD_OK; }

swd_status init_workspace(const Plan& plan, void* workspace, void*) {
  Workspace ws = workspace_at(plan, workspace);
  memset(workspace, 0, plan.workspace_bytes);
  for (size_t k = 0; k < plan.segments.size(); ++k) {
    const SegmentInfo& info = plan.segments[k];
    const_cast<SegmentInfo*>(ws.segments)[k] = info;
    uint32_t* chunk = const_cast<uint32_t*>(ws.chunk_segment) + info.first_chunk;
    for (int64_t i = 0; i < info.chunks; ++i) chunk[i] = static_cast<uint32_t>(k);
  }
  for (size_t i = 0; i < plan.group_decay.size(); ++i) const_cast<swd_decay*>(ws.group_decay)[i] = plan.group_decay[i];
  ws.header->epoch = 1;
  ws.header->fingerprint = plan.facts.fingerprint;
  return SWD_OK;
}

swd_status set_pointers(const Plan&, const Workspace& ws, int64_t at, const void* const* pointers, int64_t count,
                        void*) {
  for (int64_t i = 0; i < count; ++i) ws.pointers[at + i] = const_cast<void*>(pointers[i]);
  return SWD_OK;
}

swd_status reduce(const Plan& plan, const Pass& pass, void*) {
  const Header& header = *pass.ws.header;
  bool max_round = pass.phase == SWD_PHASE_MAX;
  if (max_round && (header.armed != kWaitsForMax || header.decision.status != SWD_STEP_APPLIED)) return SWD_OK;
  RangeLoop loop = max_round ? loops_of(plan).sum_maxed : loops_of(plan).sum_squares;
  plan.team->run(pass.first_chunk, pass.end_chunk, kChunks, loop, &pass);
  for_segments(plan, pass.first_segment, pass.end_segment,
               [&](int64_t begin, int64_t end) { finish_segments(pass, begin, end, has_copy(plan)); });
  return SWD_OK;
}

// Without a first pass nothing was reduced, so folding prepares the segments.
swd_status fold(const Plan& plan, const Pass& pass, swd_norm_record* record, void*) {
  if (pass.step_flags & SWD_STEP_SKIP_NORM) {
    for_segments(plan, 0, plan.facts.segment_count,
                 [&](int64_t begin, int64_t end) { prepare_segments(pass, begin, end, has_copy(plan)); });
  }
  FloatEnvironment environment;
  fold_record(pass, record ? *record : pass.ws.header->record);
  return SWD_OK;
}

swd_status finalize_step(const Plan&, const Pass& pass, const swd_norm_record* record, void*) {
  FloatEnvironment environment;
  finalize(pass, record ? *record : pass.ws.header->record);
  return SWD_OK;
}

swd_status update(const Plan& plan, const Pass& pass, void*) {
  Header& header = *pass.ws.header;
  bool applies = header.armed == kArmed && header.decision.status == SWD_STEP_APPLIED;
  if (applies) plan.team->run(0, plan.facts.chunk_count, kChunks, update_loop_of(plan), &pass);
  FloatEnvironment environment;
  int64_t leaves = plan.facts.chunk_count * kItemsPerChunk;
  bool norms = applies && (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) && leaves > 0;
  header.update_norms = norms ? fold_tree(pass.ws.norm_values, leaves) : Partial{0.0, 0.0};
  commit_step(header, *pass.state, header.update_norms);
  return SWD_OK;
}

swd_status step(const Plan& plan, const Pass& pass, void* stream) {
  bool skip_norm = (pass.step_flags & SWD_STEP_SKIP_NORM) != 0;
  if (!skip_norm) reduce(plan, pass, stream);
  fold(plan, pass, nullptr, stream);
  finalize_step(plan, pass, nullptr, stream);
  if (!skip_norm && needs_max(plan.facts)) {
    Pass max_pass = pass;
    max_pass.phase = SWD_PHASE_MAX;
    reduce(plan, max_pass, stream);
    fold(plan, max_pass, nullptr, stream);
    finalize_step(plan, max_pass, nullptr, stream);
  }
  return update(plan, pass, stream);
}

swd_status discard(const Plan&, const Workspace& ws, void*) {
  ws.header->epoch += 1;
  ws.header->armed = kDisarmed;
  return SWD_OK;
}

swd_status rebuild(const Plan& plan, const Pass& pass, void*) {
  plan.team->run(0, plan.facts.chunk_count, kChunks, loops_of(plan).sum_moments, &pass);
  for_segments(plan, 0, plan.facts.segment_count, [&](int64_t begin, int64_t end) { keep_sums(pass, begin, end); });
  return SWD_OK;
}

swd_status fetch(const Plan& plan, const Workspace& ws, swd_stats* stats, uint64_t stats_bytes, double* lambda_eff,
                 void*) {
  memcpy(stats, &ws.header->stats, stats_bytes);
  if (lambda_eff) memcpy(lambda_eff, ws.lambda_eff, plan.facts.group_count * sizeof(double));
  return SWD_OK;
}

}  // namespace
}  // namespace swd::cpu

namespace swd {

const Backend& cpu_backend() {
  static const Backend backend = {cpu::available, cpu::init_workspace, cpu::set_pointers,  cpu::step,
                                  cpu::reduce,    cpu::fold,           cpu::finalize_step, cpu::update,
                                  cpu::discard,   cpu::rebuild,        cpu::fetch};
  return backend;
}

}  // namespace swd
