// SPDX-License-Identifier: Apache-2.0
// The arguments of one step, drawn from the input, as the oracle sees them and as the library is given them: numbers by
// value or behind pointers. Used by world.cpp and history.cpp.
#pragma once
#include "shape.h"

namespace swd::histories {

struct Batch {
  uint32_t flags = 0;             // SWD_STEP_*
  std::vector<swd_group> groups;  // lr is what counts in the end
  double loss_scale = 1.0;        // likewise
  double max_grad_norm = 0.0, max_decay = 0.0;
  uint64_t reference_step = 0;
  bool found_inf = false;
  std::vector<uint8_t> has_grad;  // of args.has_grad
  bool groups_on_device = false, lr_on_device = false, loss_scale_on_device = false, uses_has_grad = false;
  double host_loss_scale = 1.0;    // the part by value
  float device_loss_scale = 1.0f;  // and that behind the pointer
  uint8_t seed = 0;                // of the gradients
  double grad_scale = 1.0;
  int spoiled = -1;  // which element of the whole is not finite, or huge
  float spoiled_with = 0.0f;

  bool skips_norm() const { return (flags & SWD_STEP_SKIP_NORM) != 0; }
};

Batch draw_batch(Input& in, const Shape& shape);

}  // namespace swd::histories
