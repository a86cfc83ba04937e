// SPDX-License-Identifier: Apache-2.0
// The distributions of a step's arguments.
#include "batch.h"

#include <cmath>

namespace swd::histories {
namespace {

swd_group draw_group(Input& in, bool on_device) {
  const double lrs[] = {1e-3, 3e-2, 2e-3, 0.0}, betas1[] = {0.9, 0.95, 0.5, 0.0}, betas2[] = {0.999, 0.99, 0.9, 0.3};
  const double eps[] = {1e-8, 1e-6}, decays[] = {1e-2, 1e-3, 0.0, 1.0}, factors[] = {0.0, 0.5};
  uint32_t bits = static_cast<uint32_t>(in.bits(2));
  swd_group g = SWD_GROUP_INIT;
  g.lr = lrs[bits % 4];
  if (on_device) g.lr = static_cast<float>(g.lr);
  g.beta1 = betas1[bits / 4 % 4];
  g.beta2 = betas2[bits / 16 % 4];
  g.eps = eps[bits / 64 % 2];
  g.weight_decay = decays[bits / 128 % 4];
  g.lr_factor = factors[bits / 512 % 2];
  return g;
}

}  // namespace

Batch draw_batch(Input& in, const Shape& shape) {
  const double clips[] = {0.0, 0.0, 0.5, 10.0}, caps[] = {0.0, 1.0, 1.3e-3, 0.0}, scales[] = {1.0, 2.0, 1.7, 1024.0};
  const double magnitudes[] = {1.0, 1.0, 1.0, 0.01, 30.0, 1.0, 0.0, 1e-22};
  Batch b;
  uint32_t bits = static_cast<uint32_t>(in.bits(2));
  b.groups_on_device = bits % 4 == 0;
  b.lr_on_device = bits / 4 % 2 == 1;
  b.loss_scale_on_device = bits / 8 % 2 == 1;
  b.uses_has_grad = bits / 16 % 2 == 1;
  b.max_grad_norm = clips[bits / 32 % 4];
  b.max_decay = caps[bits / 128 % 4];
  b.reference_step = bits / 512 % 4;
  b.host_loss_scale = scales[bits / 2048 % 4];
  if (bits / 8192 % 4 == 3) {
    b.flags = SWD_STEP_PROPAGATE;
    b.max_grad_norm = 0.0;
    if (bits / 32768 % 2 == 1 && !shape.has_vbar_decay()) b.flags |= SWD_STEP_SKIP_NORM;
  }
  for (size_t i = 0; i < shape.decay.size(); ++i) b.groups.push_back(draw_group(in, b.lr_on_device));
  bits = static_cast<uint32_t>(in.bits(2));
  b.found_inf = bits % 16 == 15;
  b.device_loss_scale = bits / 16 % 4 == 3 ? 4.0f : 1.0f;
  uint32_t rare = bits / 64 % 32;
  if (rare == 1) b.host_loss_scale = 0x1p127;  // SKIPPED_UNDERFLOW
  if (rare == 2 && b.loss_scale_on_device) b.device_loss_scale = 0.0f;
  if (rare == 3 && b.loss_scale_on_device) b.device_loss_scale = INFINITY;
  if (rare == 4 && b.groups_on_device) b.groups[0].beta2 = 1.0;
  if (rare == 5 && b.lr_on_device) b.groups[0].lr = -1.0;
  b.loss_scale = b.host_loss_scale * (b.loss_scale_on_device ? static_cast<double>(b.device_loss_scale) : 1.0);
  for (uint32_t k = 0, missing = in.byte(); k < shape.segments(); ++k) {
    b.has_grad.push_back(!b.uses_has_grad || (missing >> k & 1u) == 0);
  }
  b.seed = in.byte();
  b.grad_scale = magnitudes[in.below(8)];
  uint32_t spoil = in.byte();
  if (spoil >= 224) {
    const float values[] = {NAN, INFINITY, -INFINITY, 1e30f};
    b.spoiled = in.byte();
    b.spoiled_with = values[spoil % 4];
    bool huge = spoil % 4 == 3;  // without a norm it would overflow in fp32 and not in the oracle
    if (huge && (b.flags != 0 || shape.grad == SWD_DTYPE_F16)) b.spoiled = -1;
  }
  return b;
}

}  // namespace swd::histories
