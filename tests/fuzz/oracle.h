// SPDX-License-Identifier: Apache-2.0
// One step of the CPU backend once more: plain loops over double and float, written for the test from docs/numerics.md,
// without chunk tables, threads, vectors or any header of src. Used by fuzz_diff.cpp.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd::fuzz {

struct Segment {
  int64_t count;
  uint32_t group, flags;
};

// Everything that a step reads and writes, of a plan whose segments lie one behind the other.
struct Training {
  uint32_t plan_flags = 0;
  swd_dtype copy_dtype = SWD_DTYPE_NONE;
  swd_dtype param_dtype = SWD_DTYPE_F32, moment_dtype = SWD_DTYPE_F32, remainder_dtype = SWD_DTYPE_NONE;
  std::vector<Segment> segments;
  std::vector<swd_decay> decay;
  std::vector<swd_group> groups;
  std::vector<uint8_t> has_grad;
  double loss_scale = 1.0, max_grad_norm = 0.0, max_decay = 1.0;
  float found_inf = 0.0f;
  uint32_t step_flags = 0;

  std::vector<float> grad;  // as the library's conversion to fp32 has them
  std::vector<float> param, exp_avg, exp_avg_sq, max_exp_avg_sq;
  std::vector<uint16_t> param_copy;
  std::vector<uint8_t> codes[9];  // by SWD_BUFFER_*: what is narrow, as it is stored; fp32 then is its last decoding
  std::vector<swd_segment_state> states;
  swd_state_header counts{0, 0, 0.0, 0};
  uint64_t reference_step = 100;
  swd_stats stats{};
};

bool needs_vbar(const Training& t);  // scheduled or relative decay

void oracle_step(Training& t);

}  // namespace swd::fuzz
