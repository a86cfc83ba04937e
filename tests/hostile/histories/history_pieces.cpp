// SPDX-License-Identifier: Apache-2.0
// The calls of a history that make steps, whole and in pieces, and what they must leave behind: what the same step does
// on a workspace in which nothing else ever happened.
#include "history_made.h"

namespace swd::histories {
namespace {

constexpr uint32_t kAllButGrad = ((1u << kBuffers) - 1) & ~(1u << SWD_BUFFER_GRAD);
const char* const kPhaseNames[] = {"GRAD", "MAX"};
}  // namespace

// Of lists: whether the pointers are there that a call wants. The CPU backend refuses, CUDA skips the step.
bool History::tables_complete(const World& w, uint32_t buffers) const {
  for (int b = 0; b < kBuffers && w.shape.is_list(); ++b) {
    if (!(buffers >> b & 1u) || w.shape.width(b) == 0) continue;
    for (size_t k = 0; k < w.shape.segments(); ++k) {
      if (w.shape.counts[k] > 0 && !w.tables[static_cast<size_t>(b)][k]) return false;
    }
  }
  return true;
}

// A piece failed. Refused calls after it must not take its place.
void History::fail(World& w) {
  w.progress.failed = true;
  check(w, "a failed call");
  if (in_.below(2) == 0) refused(w);
}

void History::step(World& w) {
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  auto call = [&] { return swd_step(w.plan.get(), &b, &a, w.stream()); };
  if (backend_ == SWD_BACKEND_CPU && !tables_complete(w, kAllButGrad))
    return refuse(w, call(), SWD_ERR_NULL, "swd_step without pointers");
  bool done = made(w, "swd_step", call);
  if (done && w.workspace_valid) {
    committed(w, w.with_gradient(), true, "swd_step");
    w.progress.end_step();
  }
  if (!done) fail(w);
  check(w, "swd_step");
}

void History::reduce(World& w, swd_phase phase, size_t first, size_t count) {
  if (!w.progress.may_reduce(phase)) return;
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  auto call = [&] {
    return swd_reduce(w.plan.get(), &b, &a, phase, static_cast<int64_t>(first), static_cast<int64_t>(count),
                      w.stream());
  };
  std::string what = std::string("swd_reduce ") + kPhaseNames[phase] + " of " + std::to_string(count) + " from " +
                     std::to_string(first);
  if (backend_ == SWD_BACKEND_CPU && !tables_complete(w, kAllButGrad)) return refuse(w, call(), SWD_ERR_NULL, what);
  bool done = made(w, what, call);
  if (done && w.workspace_valid) w.progress.reduce(phase, first, count, w.with_gradient());
  if (!done) fail(w);
  check(w, what);
}

void History::fold(World& w, swd_phase phase, int where) {
  if (!w.progress.may_fold()) return;
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  double* record = where == 0 ? nullptr : reinterpret_cast<double*>(w.at(kRecords) + (where == 2 ? kRecordBytes : 0));
  auto call = [&] { return swd_fold(w.plan.get(), &b, &a, phase, record, record ? 16 : 0, w.stream()); };
  std::string what = std::string("swd_fold ") + kPhaseNames[phase] + " to record " + std::to_string(where);
  if (backend_ == SWD_BACKEND_CPU && !tables_complete(w, kAllButGrad)) return refuse(w, call(), SWD_ERR_NULL, what);
  bool done = made(w, what, call);
  if (done && w.workspace_valid) {
    w.progress.fold(phase, where, w.batch.skips_norm(), w.with_gradient());
    if (record) {  // what it says is looked at by those who decide from it
      uint64_t at = where == 2 ? kRecordBytes : 0;
      w.slab.read(w.places.of(kRecords) + at, w.mirrored(kRecords) + at, kRecordBytes);
    }
  }
  if (!done) fail(w);
  check(w, what);
}

void History::decide(World& w, swd_phase phase) {
  if (!w.progress.may_decide(phase)) return;
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  int where = w.progress.record[phase];
  double* record = where == 0 ? nullptr : reinterpret_cast<double*>(w.at(kRecords) + (where == 2 ? kRecordBytes : 0));
  auto call = [&] { return swd_decide(w.plan.get(), &b, &a, phase, record, record ? 16 : 0, w.stream()); };
  std::string what = std::string("swd_decide ") + kPhaseNames[phase] + " from record " + std::to_string(where);
  if (backend_ == SWD_BACKEND_CPU && !tables_complete(w, kAllButGrad)) return refuse(w, call(), SWD_ERR_NULL, what);
  bool done = made(w, what, call);
  if (done && w.workspace_valid) w.progress.decide(phase, w.shape.has_two_rounds());
  if (!done) fail(w);
  check(w, what);
}

void History::update(World& w) {
  if (!w.progress.may_update()) return;
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  auto call = [&] { return swd_update(w.plan.get(), &b, &a, w.stream()); };
  bool armed = w.progress.armed == Progress::kArmed;
  std::string what = armed ? "swd_update" : "swd_update, not armed";
  if (backend_ == SWD_BACKEND_CPU && !tables_complete(w, kAllButGrad)) return refuse(w, call(), SWD_ERR_NULL, what);
  bool done = made(w, what, call);
  if (done && w.workspace_valid && !armed) w.told.stats.result = SWD_RESULT_NOT_ARMED;
  if (done && w.workspace_valid && armed) {
    committed(w, w.progress.reduced, w.progress.is_complete(w.shape), what);
    w.progress.end_step();
  }
  if (!done) fail(w);
  check(w, what);
}

// In a right order, sometimes without a part of the segments, and with other calls between.
void History::whole_in_pieces(World& w) {
  size_t n = w.shape.segments(), cut = in_.below(static_cast<uint32_t>(n + 1));
  uint32_t choice = in_.byte();
  for (swd_phase phase = 0; phase <= (w.shape.has_two_rounds() ? 1 : 0); ++phase) {
    reduce(w, phase, cut, n - cut);
    interrupt(w);
    if ((choice >> (2 * phase) & 3u) != 0) reduce(w, phase, 0, cut);
    interrupt(w);
    fold(w, phase, static_cast<int>(choice / 16 % 3));
    interrupt(w);
    if (w.progress.any_stale() && !w.batch.skips_norm()) reduce(w, SWD_PHASE_GRAD, 0, n);
    if (!w.progress.folded[phase]) fold(w, phase, static_cast<int>(choice / 64 % 3));
    decide(w, phase);
    interrupt(w);
  }
  update(w);
}

// Calls that leave a step in pieces what it is, and a few that end it.
void History::interrupt(World& w) {
  switch (in_.below(32)) {
    case 0:
    case 1:
      if (w.progress.armed != Progress::kArmed) update(w);
      break;
    case 2:
    case 3:
      refused(w);
      break;
    case 4:
      step(*worlds_[in_.below(static_cast<uint32_t>(worlds_.size()))]);
      break;
    case 5:
      move(w);
      break;
    case 6:
    case 13:
      withdraw(w);
      break;
    case 7:
      new_batch(w);
      break;
    case 8:
      foreign(w);
      break;
    case 9:
      remake_plan(w);
      break;
    case 10:
      set_all_pointers(w);
      break;
    case 11:
      record_add(w);
      break;
    case 12:
      decide(w, w.shape.has_two_rounds() ? SWD_PHASE_MAX : SWD_PHASE_GRAD);
      break;
    default:
      break;
  }
}

void History::committed(World& w, const std::vector<uint8_t>& taking_part, bool complete, const std::string& what) {
  std::vector<uint8_t> image = w.clean(taking_part, [&](uint8_t* base, const swd_buffers& b) {
    swd_step_args a = w.args(base);
    a.has_grad = w.shape.is_list() ? nullptr : base + w.places.of(kHasGrad);
    w.clean_slab.write(w.places.of(kHasGrad), taking_part.data(), taking_part.size());
    return swd_step(w.clean_plan.get(), &b, &a, w.stream());
  });
  Statistics want = w.statistics(w.clean_slab.data() + w.places.of(kWorkspace), w.clean_plan);
  swd_result verdict = want.stats.result;
  if (!complete && (verdict == SWD_RESULT_APPLIED || verdict == SWD_RESULT_SKIPPED_VBAR)) {  // maxima of other segments
    HostImage state(w.mirrored(kState), w.places.bytes[kState]);
    swd_state_header header;
    must(swd_state_header_get(w.plan.get(), state.data(), state.bytes(), &header, sizeof header),
         "swd_state_header_get");
    header.steps_skipped += 1;
    must(swd_state_header_set(w.plan.get(), state.data(), state.bytes(), &header, sizeof header),
         "swd_state_header_set");
    memcpy(w.mirrored(kState), state.data(), state.bytes());
    int64_t damaged = w.told.stats.damaged_segment;
    w.told = w.statistics(w.at(kWorkspace), w.plan);  // but for these:
    w.told.stats.result = SWD_RESULT_SKIPPED_INVALID;
    w.told.stats.steps_applied = header.steps_applied;
    w.told.stats.steps_skipped = header.steps_skipped;
    w.told.stats.damaged_segment = damaged;
    return;
  }
  std::vector<uint8_t> before = w.mirror;
  for (int piece = 0; piece <= kState; ++piece) {
    if (piece == SWD_BUFFER_GRAD) continue;
    const uint8_t* now = image.data() + w.places.of(piece);
    if (verdict != SWD_RESULT_APPLIED && piece != kState &&
        memcmp(now, w.mirrored(piece), w.places.bytes[piece]) != 0) {
      throw Finding(what + ": a skipped step wrote a buffer");
    }
    memcpy(w.mirrored(piece), now, w.places.bytes[piece]);
  }
  want.stats.damaged_segment = w.told.stats.damaged_segment;
  w.told = want;
  if (w.shape.is_wide() && tables_complete(w, kAllButGrad)) check_by_oracle(w, before, w.mirror, taking_part, want);
}

}  // namespace swd::histories
