// SPDX-License-Identifier: Apache-2.0
// Between the passes, in fp64: sums of chunks to segments, segments to the norm record, the record to the decision.
// Called by backend_cpu.cpp inside a FloatEnvironment.
#pragma once
#include "../commit.h"

namespace swd::cpu {

// The sum over a tree's leaves (at least one), in the order of sum_order.h. Writes the levels above the leaves.
Partial fold_tree(Partial* values, int64_t leaves);

// Ends pass 1 of pass.phase for segments [first, end).
void finish_segments(const Pass& pass, int64_t first, int64_t end);

// SWD_STEP_SKIP_NORM: what pass 1 would leave for segments [first, end), without its sums.
void prepare_segments(const Pass& pass, int64_t first, int64_t end);

// Ends swd_state_rebuild for segments [first, end).
void keep_sums(const Pass& pass, int64_t first, int64_t end);

// Says in the statistics which running sum the rebuild found to be none.
void report_damage(const Pass& pass);

void fold_record(const Pass& pass, double* record);

// Decides from the record and arms pass 2, or, where a second round follows, waits for it.
void decide_step(const Pass& pass, const double* record);

}  // namespace swd::cpu
