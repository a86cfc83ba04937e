// SPDX-License-Identifier: Apache-2.0
// The plain model of a step in pieces: what has been reduced, folded, decided and armed in one workspace, by the words
// of swd.h alone. Says which calls a user may make, and what an update is about to do. Used by history_pieces.cpp.
#pragma once
#include <vector>

#include "shape.h"

namespace swd::histories {

struct Progress {
  enum Armed { kNot, kWaitsForMax, kArmed };

  std::vector<uint8_t> reduced;  // by segment: takes part in the step that is being made
  std::vector<uint8_t> stale;    // reduced with arguments that have changed since: has to be reduced again
  std::vector<uint8_t> maxed;    // summed in the second round
  bool folded[2] = {};           // by phase: its record holds what is reduced
  int record[2] = {};            // by phase: which record that is
  Armed armed = kNot;
  bool armed_stale = false;  // decided with arguments that have changed since
  bool failed = false;       // a piece failed: the next reduce starts afresh, and must come first

  explicit Progress(size_t segments = 0) : reduced(segments), stale(segments), maxed(segments) {}

  // Nothing that was reduced counts any more.
  void start_afresh() {
    bool had_failed = failed;
    *this = Progress(reduced.size());
    failed = had_failed;
  }
  void end_step() {
    failed = false;
    start_afresh();
  }

  bool any_stale() const {
    for (uint8_t each : stale) {
      if (each) return true;
    }
    return false;
  }

  // The arguments or the gradients change.
  void arguments_change() {
    stale = reduced;
    folded[0] = folded[1] = false;
    armed_stale = armed != kNot;
  }

  bool may_reduce(swd_phase phase) const { return phase == SWD_PHASE_GRAD || (!failed && !armed_stale); }
  void reduce(swd_phase phase, size_t first, size_t count, const std::vector<uint8_t>& has_gradient) {
    if (failed || (phase == SWD_PHASE_GRAD && armed != kNot)) end_step();
    folded[phase] = false;
    for (size_t k = first; k < first + count; ++k) {
      if (phase == SWD_PHASE_GRAD) {
        reduced[k] = has_gradient[k];
        stale[k] = 0;
      } else if (armed == kWaitsForMax && reduced[k]) {
        maxed[k] = 1;
      }
    }
  }

  bool may_fold() const { return !failed; }
  void fold(swd_phase phase, int where, bool skip_norm, const std::vector<uint8_t>& has_gradient) {
    if (skip_norm) {
      if (armed != kNot) start_afresh();
      reduced = has_gradient;
      stale.assign(stale.size(), 0);
    }
    if (record[1 - phase] == where) folded[1 - phase] = false;
    folded[phase] = true;
    record[phase] = where;
  }

  bool may_decide(swd_phase phase) const {
    if (failed || any_stale()) return false;
    return phase == SWD_PHASE_MAX && armed != kWaitsForMax ? true : folded[phase] && (phase == 0 || !armed_stale);
  }
  void decide(swd_phase phase, bool two_rounds) {
    if (phase == SWD_PHASE_MAX && armed != kWaitsForMax) return;  // it arms nothing by itself
    armed = phase == SWD_PHASE_GRAD && two_rounds ? kWaitsForMax : kArmed;
    armed_stale = false;
  }

  bool may_update() const { return !failed && !(armed == kArmed && (armed_stale || any_stale())); }

  // Whether the second round, if there is one, summed all members of vbar that the first one had.
  bool is_complete(const Shape& shape) const {
    for (size_t k = 0; shape.has_two_rounds() && k < reduced.size(); ++k) {
      if (reduced[k] && shape.is_member(k) && !maxed[k]) return false;
    }
    return true;
  }
};

}  // namespace swd::histories
