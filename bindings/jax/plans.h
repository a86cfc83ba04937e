// SPDX-License-Identifier: Apache-2.0
// The plans of a process, one for each description that an executable of XLA brings along. Used by handlers.cpp.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd_jax {

// What decides a plan: a list of fp32 tensors, one segment each.
struct Description {
  swd_backend backend;
  swd_decay decay;
  swd_dtype grad_dtype;
  std::vector<int64_t> counts;  // elements of each leaf
  std::vector<int64_t> flags;   // SWD_SEGMENT_* of each leaf
};

// The plan of that description, made at the first call and kept as long as the process: making one costs 220 us for
// 1,000 leaves, and the CPU backend's threads end with the last plan. Throws swd::Error. Thread safe.
const swd_plan* plan_of(const Description& description);

}  // namespace swd_jax
