// SPDX-License-Identifier: Apache-2.0
// Steps of a history that are captured into a CUDA graph, whole or in pieces, and replayed, now or later, with what
// lies in device memory by then.
#include "history_made.h"

#ifdef SWD_TEST_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace swd::histories {

#ifdef SWD_TEST_WITH_CUDA
namespace {

void expect(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw Finding(std::string(what) + ": " + cudaGetErrorString(error));
}

// All of a step, in a right order.
void enqueue(World& w, bool pieces, size_t cut) {
  swd_buffers b = w.buffers();
  swd_step_args a = w.args();
  const swd_plan* plan = w.plan.get();
  int64_t n = static_cast<int64_t>(w.shape.segments()), first = static_cast<int64_t>(cut);
  if (!pieces) return must(swd_step(plan, &b, &a, w.stream()), "swd_step while captured");
  for (swd_phase phase = 0; phase <= (w.shape.has_two_rounds() ? 1 : 0); ++phase) {
    must(swd_reduce(plan, &b, &a, phase, first, n - first, w.stream()), "swd_reduce while captured");
    must(swd_reduce(plan, &b, &a, phase, 0, first, w.stream()), "swd_reduce while captured");
    must(swd_fold(plan, &b, &a, phase, nullptr, 0, w.stream()), "swd_fold while captured");
    must(swd_decide(plan, &b, &a, phase, nullptr, 0, w.stream()), "swd_decide while captured");
  }
  must(swd_update(plan, &b, &a, w.stream()), "swd_update while captured");
}

// What was passed by value stays as it was captured.
Batch replayed(const Batch& captured, Batch next) {
  std::vector<swd_group> groups = next.groups;
  bool lr_on_device = captured.groups_on_device ? next.lr_on_device : captured.lr_on_device;
  for (size_t i = 0; !captured.groups_on_device && i < groups.size(); ++i) {
    float lr = static_cast<float>(groups[i].lr);
    groups[i] = captured.groups[i];
    if (lr_on_device) groups[i].lr = lr;
  }
  Batch out = captured;
  out.groups = groups;
  out.lr_on_device = lr_on_device;
  out.found_inf = next.found_inf;
  if (captured.uses_has_grad) out.has_grad = next.has_grad;
  if (captured.loss_scale_on_device) out.device_loss_scale = next.device_loss_scale;
  out.loss_scale = out.host_loss_scale * (out.loss_scale_on_device ? static_cast<double>(out.device_loss_scale) : 1.0);
  out.seed = next.seed;
  out.grad_scale = next.grad_scale;
  bool huge = next.spoiled_with == 1e30f && captured.flags != 0;
  out.spoiled = huge ? -1 : next.spoiled;
  out.spoiled_with = next.spoiled_with;
  return out;
}

std::shared_ptr<void> capture(World& w, bool pieces, size_t cut) {
  cudaStream_t stream = static_cast<cudaStream_t>(w.stream());
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  enqueue(w, pieces, cut);
  expect(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  expect(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
  expect(cudaGraphDestroy(graph), "cudaGraphDestroy");
  return std::shared_ptr<void>(exec, [](void* each) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(each)); });
}

}  // namespace

void History::graph(World& w) {
  if (backend_ == SWD_BACKEND_CPU) return refused(w);
  uint32_t choice = in_.byte();
  // What is reduced already would join a graph of pieces, and after a failure swd.h wants this.
  if (w.progress.failed || w.progress.armed != Progress::kNot || choice % 2 == 1) discard(w);
  if (w.progress.failed || !w.workspace_valid) return;
  bool fits = w.captured.graph && memcmp(w.captured.at, w.places.at, sizeof w.places.at) == 0;
  if (!fits || choice % 4 == 3) {
    w.captured.pieces = choice / 4 % 2 == 1;
    w.captured.graph = capture(w, w.captured.pieces, choice / 8 % w.shape.segments());
    w.captured.batch = w.batch;
    memcpy(w.captured.at, w.places.at, sizeof w.places.at);
    note(w, w.captured.pieces ? "pieces captured" : "swd_step captured");
    check(w, "a capture", false);
  }
  for (uint32_t replays = 1 + choice / 64; replays > 0; --replays) {
    for (uint8_t each : w.progress.reduced) {
      if (each && w.captured.pieces) return;
    }
    w.take(replayed(w.captured.batch, draw_batch(in_, w.shape)));
    expect(cudaGraphLaunch(static_cast<cudaGraphExec_t>(w.captured.graph.get()), static_cast<cudaStream_t>(w.stream())),
           "cudaGraphLaunch");
    note(w, "replayed, seed " + std::to_string(w.batch.seed));
    committed(w, w.with_gradient(), true, "a replay");
    w.progress.end_step();
    check(w, "a replay");
  }
}
#else
void History::graph(World& w) { refused(w); }
#endif

}  // namespace swd::histories
