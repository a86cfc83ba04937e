// SPDX-License-Identifier: Apache-2.0
// Chooses the calls of a history, and compares all memory and the statistics after each.
#include "history.h"

#include <cmath>

namespace swd::histories {
namespace {

bool same(double a, double b) { return a == b || (a != a && b != b); }  // the payload of a NaN is not promised

}  // namespace

History::History(Input in, swd_backend backend, const Faults& faults, std::string* log)
    : in_(in), faults_(faults), log_(log), backend_(backend) {
  Shape first = draw_shape(in_, backend);
  worlds_.push_back(std::make_unique<World>(in_, first, make_plan(first)));
  uint32_t more = in_.below(4);  // one that shares the plan, one of its own, both
  if (more & 1u) worlds_.push_back(std::make_unique<World>(in_, first, worlds_[0]->plan));
  if (more & 2u) {
    Shape other = draw_shape(in_, backend);
    worlds_.push_back(std::make_unique<World>(in_, other, make_plan(other)));
  }
}

void History::note(const World& w, const std::string& what) {
  if (!log_) return;
  size_t number = 0;
  while (worlds_[number].get() != &w) ++number;
  *log_ += "  world " + std::to_string(number) + ": " + what + "\n";
}

void History::run() {
  while (!in_.empty()) next();
  end();
}

void History::next() {
  World& w = *worlds_[in_.below(static_cast<uint32_t>(worlds_.size()))];
  uint32_t choice = in_.byte();
  size_t n = w.shape.segments();
  swd_phase phase = choice % 4 == 3 && w.shape.has_two_rounds() ? SWD_PHASE_MAX : SWD_PHASE_GRAD;
  switch (choice / 4 % 32) {
    case 0:
    case 1:
    case 2:
      new_batch(w);
      return step(w);
    case 3:
      return step(w);
    case 4:
    case 5:
      new_batch(w);
      return whole_in_pieces(w);
    case 6:
      return whole_in_pieces(w);
    case 7:
    case 8:
    case 9: {
      size_t first = in_.below(static_cast<uint32_t>(n));
      return reduce(w, phase, first, in_.below(static_cast<uint32_t>(n - first + 1)));
    }
    case 10:
      return reduce(w, phase, 0, n);
    case 11:
    case 12:
      return fold(w, phase, static_cast<int>(in_.below(3)));
    case 13:
    case 14:
      return decide(w, phase);
    case 15:
    case 16:
      return update(w);
    default:
      return between_steps(w, choice);
  }
}

void History::between_steps(World& w, uint32_t choice) {
  switch (choice / 4 % 32) {
    case 17:
      return discard(w);
    case 18:
      return choice >= 128 ? initialise(w) : new_batch(w);
    case 19:
      return withdraw(w);
    case 20:
      return set_pointers(w, static_cast<int>(in_.below(kBuffers)), std::vector<uint8_t>(w.shape.segments(), 1));
    case 21:
      return move(w);
    case 22:
      return rebuild(w);
    case 23:
      return choice >= 128 ? copy_params(w) : record_add(w);
    case 24:
      return convert(w);
    case 25:
      return edit_state(w);
    case 26:
      return blobs(w);
    case 27:
      return choice >= 192 ? damage(w) : foreign(w);
    case 28:
      return choice >= 128 ? change_plan(w) : remake_plan(w);
    case 29:
      return choice >= 128 ? starve(w) : graph(w);
    default:
      return refused(w);
  }
}

// What one world left behind shows in the next step, at the latest in this one.
void History::end() {
  for (auto& w : worlds_) {
    if (!w->workspace_valid) initialise(*w);
    set_all_pointers(*w);
    step(*w);
  }
}

void History::check(World& w, const std::string& after, bool workspace_written) {
  for (auto& other : worlds_) other->compare(workspace_written && other.get() == &w, after);
  check_statistics(w, after);
}

void History::check_statistics(World& w, const std::string& after) {
  Statistics got = w.statistics(w.at(kWorkspace), w.plan);
  if (backend_ == SWD_BACKEND_CUDA) w.compare(true, "swd_stats_fetch");
  if (!w.workspace_valid) {
    swd_stats foreign{};
    foreign.result = SWD_RESULT_FOREIGN_WORKSPACE;
    if (memcmp(&got.stats, &foreign, sizeof foreign) != 0)
      throw Finding("after " + after + ": statistics of a workspace that is none");
    return;
  }
  const swd_stats &a = got.stats, &b = w.told.stats;
  bool equal = a.result == b.result && a.flags == b.flags && a.steps_applied == b.steps_applied &&
               a.steps_skipped == b.steps_skipped && a.damaged_segment == b.damaged_segment;
  for (double swd_stats::*x : {&swd_stats::grad_norm, &swd_stats::clip_coef, &swd_stats::vbar,
                               &swd_stats::inv_sqrt_vbar, &swd_stats::largest_decay, &swd_stats::bad,
                               &swd_stats::param_norm, &swd_stats::update_norm, &swd_stats::vbar_reference}) {
    equal = equal && same(a.*x, b.*x);
  }
  for (size_t i = 0; i < got.lambda_eff.size(); ++i) equal = equal && same(got.lambda_eff[i], w.told.lambda_eff[i]);
  if (equal) return;
  char text[400];
  snprintf(text, sizeof text,
           "result %s (%s) flags %u (%u) applied %llu (%llu) skipped %llu (%llu) norm %g (%g) vbar %g (%g) damaged "
           "%lld (%lld)",
           swd_result_name(a.result), swd_result_name(b.result), a.flags, b.flags,
           static_cast<unsigned long long>(a.steps_applied), static_cast<unsigned long long>(b.steps_applied),
           static_cast<unsigned long long>(a.steps_skipped), static_cast<unsigned long long>(b.steps_skipped),
           a.grad_norm, b.grad_norm, a.vbar, b.vbar, static_cast<long long>(a.damaged_segment),
           static_cast<long long>(b.damaged_segment));
  throw Finding("after " + after + ": statistics are not what they should be: " + text);
}

void History::refuse(World& w, swd_status got, swd_status wanted, const std::string& what) {
  note(w, what + ": " + swd_status_name(got));
  if (got != wanted) {
    throw Finding(what + " gave " + swd_status_name(got) + ", not " + swd_status_name(wanted) + ": " +
                  swd_error_detail());
  }
  check(w, what + ", refused", false);
}

bool run_history(const uint8_t* bytes, size_t count, swd_backend backend, const Faults& faults, std::string& finding) {
  for (std::string* log : {static_cast<std::string*>(nullptr), &finding}) {  // the second time with words
    try {
      History(Input(bytes, count), backend, faults, log).run();
      if (!log) return true;
    } catch (const std::exception& error) {
      if (log) finding += error.what();
    }
  }
  return false;
}

}  // namespace swd::histories
