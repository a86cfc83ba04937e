// SPDX-License-Identifier: Apache-2.0
// Calls of a history whose arguments are wrong: the status says so, and not a byte changes, of the workspace included.
#include <cmath>

#include "history.h"

namespace swd::histories {
namespace {

struct Call {
  swd_buffers b;
  swd_step_args a;
  const swd_plan* plan;
  uint32_t which;  // step, reduce, fold, decide, update
  const swd_buffers* buffers = nullptr;
  const swd_step_args* args = nullptr;
  double* record = nullptr;
  uint64_t doubles = 0;
  swd_phase phase = SWD_PHASE_GRAD;
  int64_t first = 0;
};

// What is wrong with buffers and arguments, and what the call must say to it.
swd_status spoil(const World& w, uint32_t fault, Call& c) {
  switch (fault) {
    case 0:
      c.plan = nullptr;
      return SWD_ERR_NULL;
    case 1:
      c.buffers = nullptr;
      return SWD_ERR_NULL;
    case 2:
      c.args = nullptr;
      return SWD_ERR_NULL;
    case 3:
      c.b.struct_size = 7;
      return SWD_ERR_STRUCT_SIZE;
    case 4:
      c.a.flags |= 1u << 9;
      return SWD_ERR_FLAGS;
    case 5:
      c.a.group_count += 1;
      return SWD_ERR_SIZE;
    case 6:
      c.a.max_grad_norm = -1.0;
      return SWD_ERR_VALUE;
    case 7:
      c.a.loss_scale = NAN;
      return SWD_ERR_VALUE;
    case 8:
      c.b.state = static_cast<uint8_t*>(c.b.state) + 8;
      return SWD_ERR_ALIGNMENT;
    case 9:
      c.b.state_bytes = 16;
      return SWD_ERR_SIZE;
    case 10:
      c.b.workspace_bytes = w.fresh_workspace.size() - 1;
      return SWD_ERR_SIZE;
    case 11:
      c.b.state = c.b.workspace;
      return SWD_ERR_OVERLAP;
    default:
      c.a.flags = SWD_STEP_SKIP_NORM;
      return SWD_ERR_FLAGS;
  }
}

// Or with what pieces have besides: record, phase, segments.
swd_status spoil_piece(const World& w, uint32_t fault, Call& c) {
  if (fault == 13) {
    c.which = 2 + c.which % 2;
    c.record = reinterpret_cast<double*>(w.at(kState));
    c.doubles = 16;
    return SWD_ERR_OVERLAP;
  }
  if (fault == 14) {
    c.which = 1 + c.which % 3;
    c.phase = w.shape.has_two_rounds() ? 7 : SWD_PHASE_MAX;
    return w.shape.has_two_rounds() ? SWD_ERR_ENUM : SWD_ERR_UNEXPECTED;
  }
  c.which = 1;
  c.first = 1;
  return SWD_ERR_SIZE;
}

}  // namespace

void History::refused(World& w) {
  Call c{w.buffers(), w.args(), w.plan.get(), in_.below(5)};
  c.buffers = &c.b;
  c.args = &c.a;
  uint32_t fault = in_.below(18);
  if (fault > 15) fault -= 2;
  if (backend_ == SWD_BACKEND_CPU && fault >= 13 && !tables_complete(w, 0x1FF & ~2u)) return;
  swd_status wanted = fault < 13 ? spoil(w, fault, c) : spoil_piece(w, fault, c), status = SWD_OK;
  int64_t count = static_cast<int64_t>(w.shape.segments());
  if (c.which == 0) status = swd_step(c.plan, c.buffers, c.args, w.stream());
  if (c.which == 1) status = swd_reduce(c.plan, c.buffers, c.args, c.phase, c.first, count, w.stream());
  if (c.which == 2) status = swd_fold(c.plan, c.buffers, c.args, c.phase, c.record, c.doubles, w.stream());
  if (c.which == 3) status = swd_decide(c.plan, c.buffers, c.args, c.phase, c.record, c.doubles, w.stream());
  if (c.which == 4) status = swd_update(c.plan, c.buffers, c.args, w.stream());
  const char* const names[] = {"swd_step", "swd_reduce", "swd_fold", "swd_decide", "swd_update"};
  refuse(w, status, wanted, std::string(names[c.which]) + " with fault " + std::to_string(fault));
}

}  // namespace swd::histories
