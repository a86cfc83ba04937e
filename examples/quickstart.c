/* SPDX-License-Identifier: Apache-2.0
 * A first use of libswd: fits a straight line through noisy points with AdamS on the CPU. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "swd/swd.h"

enum { kPoints = 64, kSteps = 400 };

static void check(swd_status status) {
  if (status == SWD_OK) return;
  fprintf(stderr, "%s: %s\n", swd_status_name(status), swd_error_detail());
  exit(1);
}

/* Mean squared error of y = p[0] * x + p[1], and its gradient. */
static double loss_and_gradient(const float* p, float* grad) {
  double loss = 0.0, slope = 0.0, offset = 0.0;
  for (int i = 0; i < kPoints; ++i) {
    double x = (double)i / kPoints, noise = 0.05 * ((i * 37 % 11) / 5.0 - 1.0);
    double error = p[0] * x + p[1] - (2.0 * x - 0.5 + noise);
    loss += error * error / kPoints;
    slope += 2.0 * error * x / kPoints;
    offset += 2.0 * error / kPoints;
  }
  grad[0] = (float)slope;
  grad[1] = (float)offset;
  return loss;
}

int main(void) {
  float param[2] = {0}, grad[2], exp_avg[2] = {0}, exp_avg_sq[2] = {0};

  swd_segment segment = {0, 2, 0, 0, 0}; /* one tensor of two elements */
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.segments = &segment;
  plan_args.segment_count = 1;
  swd_plan* plan;
  check(swd_plan_create(&plan_args, &plan));

  swd_buffers buffers = SWD_BUFFERS_INIT;
  check(swd_workspace_size(plan, &buffers.workspace_bytes));
  check(swd_state_size(plan, &buffers.state_bytes));
  buffers.workspace = malloc(buffers.workspace_bytes);
  buffers.state = calloc(1, buffers.state_bytes); /* zero bytes: a fresh state */
  if (!buffers.workspace || !buffers.state) return 1;
  buffers.param = param;
  buffers.grad = grad;
  buffers.exp_avg = exp_avg;
  buffers.exp_avg_sq = exp_avg_sq;
  check(swd_workspace_init(plan, buffers.workspace, buffers.workspace_bytes, NULL));

  swd_group group = SWD_GROUP_INIT;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;
  args.max_grad_norm = 1.0;
  group.weight_decay = 1e-5;
  double first = loss_and_gradient(param, grad), loss = first;
  for (int step = 0; step < kSteps; ++step) {
    group.lr = step < kSteps / 2 ? 0.05 : 0.005;
    check(swd_step(plan, &buffers, &args, NULL));
    loss = loss_and_gradient(param, grad);
  }
  swd_stats stats;
  check(swd_stats_fetch(plan, buffers.workspace, &stats, sizeof stats, NULL, NULL));
  printf("y = %.3f x %+.3f   loss %.6f -> %.6f   gradient norm %.2e   decay as AdamW sees it %.2e\n", param[0],
         param[1], first, loss, stats.grad_norm, swd_weight_decay_to_adamw(group.weight_decay, stats.vbar));
  check(swd_plan_destroy(plan)); /* on CUDA wait for the stream first; then the plan, then the memory */
  free(buffers.workspace);
  free(buffers.state);
  return loss < first / 100.0 ? 0 : 1;
}
