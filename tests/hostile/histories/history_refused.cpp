// SPDX-License-Identifier: Apache-2.0
// Calls of a history whose arguments are wrong: the status says so, and not a byte changes, of the workspace included.
#include <cmath>

#include "history.h"

namespace swd::histories {

void History::refused(World& w) {
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  const swd_plan* plan = w.plan.get();
  const swd_buffers* buffers = &b;
  const swd_step_args* args = &a;
  double* record = nullptr;
  uint64_t doubles = 0;
  swd_phase phase = SWD_PHASE_GRAD;
  int64_t first = 0, count = static_cast<int64_t>(w.shape.segments());
  swd_status wanted = SWD_ERR_VALUE;
  uint32_t which = in_.below(5), fault = in_.below(16);
  switch (fault) {
    case 0:
      plan = nullptr;
      wanted = SWD_ERR_NULL;
      break;
    case 1:
      buffers = nullptr;
      wanted = SWD_ERR_NULL;
      break;
    case 2:
      args = nullptr;
      wanted = SWD_ERR_NULL;
      break;
    case 3:
      b.struct_size = 7;
      wanted = SWD_ERR_STRUCT_SIZE;
      break;
    case 4:
      a.flags |= 1u << 9;
      wanted = SWD_ERR_FLAGS;
      break;
    case 5:
      a.group_count += 1;
      wanted = SWD_ERR_SIZE;
      break;
    case 6:
      a.max_grad_norm = -1.0;
      break;
    case 7:
      a.loss_scale = NAN;
      break;
    case 8:
      b.state = static_cast<uint8_t*>(b.state) + 8;
      wanted = SWD_ERR_ALIGNMENT;
      break;
    case 9:
      b.state_bytes = 16;
      wanted = SWD_ERR_SIZE;
      break;
    case 10:
      b.workspace_bytes = w.fresh_workspace.size() - 1;
      wanted = SWD_ERR_SIZE;
      break;
    case 11:
      b.state = b.workspace;
      wanted = SWD_ERR_OVERLAP;
      break;
    case 12:
      a.flags = SWD_STEP_SKIP_NORM;
      wanted = SWD_ERR_FLAGS;
      break;
    case 13:
      which = 2 + which % 2;
      record = reinterpret_cast<double*>(w.at(kState));
      doubles = 16;
      wanted = SWD_ERR_OVERLAP;
      break;
    case 14:
      which = 1 + which % 3;
      phase = w.shape.has_two_rounds() ? 7 : SWD_PHASE_MAX;
      wanted = w.shape.has_two_rounds() ? SWD_ERR_ENUM : SWD_ERR_UNEXPECTED;
      break;
    default:
      which = 1;
      first = 1;
      wanted = SWD_ERR_SIZE;
      break;
  }
  if (backend_ == SWD_BACKEND_CPU && fault >= 13 && (!w.workspace_valid || !tables_complete(w, 0x1FF & ~2u))) return;
  swd_status status = SWD_OK;
  if (which == 0) status = swd_step(plan, buffers, args, w.stream());
  if (which == 1) status = swd_reduce(plan, buffers, args, phase, first, count, w.stream());
  if (which == 2) status = swd_fold(plan, buffers, args, phase, record, doubles, w.stream());
  if (which == 3) status = swd_decide(plan, buffers, args, phase, record, doubles, w.stream());
  if (which == 4) status = swd_update(plan, buffers, args, w.stream());
  const char* const names[] = {"swd_step", "swd_reduce", "swd_fold", "swd_decide", "swd_update"};
  refuse(w, status, wanted, std::string(names[which]) + " with fault " + std::to_string(fault));
}

}  // namespace swd::histories
