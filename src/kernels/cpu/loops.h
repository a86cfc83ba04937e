// SPDX-License-Identifier: Apache-2.0
// The loops of both passes over whole chunks: what loops.inl defines once per instruction set.
// Called by backend_cpu.cpp, from several threads at once on disjoint chunks.
#pragma once
#include "../formats.h"
#include "../layout.h"
#include "team.h"

namespace swd::cpu {

// Each loop gets the Pass as its context, works on chunks [first, end) of the plan and touches nothing that belongs to
// other chunks.
struct Loops {
  RangeLoop sum_squares;  // grad -> leaves of each segment's tree; skips segments without a gradient
  RangeLoop sum_maxed;    // amsgrad, second round: what max_exp_avg_sq will be -> the same leaves
  RangeLoop sum_moments;  // exp_avg_sq -> the same leaves, for swd_state_rebuild
  RangeLoop copy_params;  // param -> param_copy; nothing in a row without one
  RangeLoop load_state;   // pass.fp32 -> the plan's buffers
  RangeLoop store_state;  // and back
  // Pass 2, by [SWD_PLAN_AMSGRAD][SWD_PLAN_UPDATE_NORMS: also the leaves of the norm tree]. NULL where a row has none.
  RangeLoop update[2][2];
};

// For the dtypes of a plan. The wider two are NULL-returning stubs where the compiler does not target x86-64.
const Loops* loops_base(const Dtypes& dtypes);
const Loops* loops_v3(const Dtypes& dtypes);
const Loops* loops_v4(const Dtypes& dtypes);

}  // namespace swd::cpu
