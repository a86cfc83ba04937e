// SPDX-License-Identifier: Apache-2.0
// The members of swd_buffers by the number of what they hold: where a flat plan's buffers are.
#pragma once
#include <swd/swd.h>

namespace swd::test {

inline void set_base(swd_buffers& buffers, int buffer, void* base) {
  if (buffer == SWD_BUFFER_PARAM) buffers.param = base;
  if (buffer == SWD_BUFFER_GRAD) buffers.grad = base;
  if (buffer == SWD_BUFFER_EXP_AVG) buffers.exp_avg = base;
  if (buffer == SWD_BUFFER_EXP_AVG_SQ) buffers.exp_avg_sq = base;
  if (buffer == SWD_BUFFER_MAX_EXP_AVG_SQ) buffers.max_exp_avg_sq = base;
  if (buffer == SWD_BUFFER_PARAM_COPY) buffers.param_copy = base;
  if (buffer == SWD_BUFFER_REMAINDER) buffers.remainder = base;
  if (buffer == SWD_BUFFER_EXP_AVG_SCALE) buffers.exp_avg_scale = base;
  if (buffer == SWD_BUFFER_EXP_AVG_SQ_SCALE) buffers.exp_avg_sq_scale = base;
}

}  // namespace swd::test
