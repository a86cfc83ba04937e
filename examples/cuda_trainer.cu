// SPDX-License-Identifier: Apache-2.0
// A CUDA trainer with flat buffers: one training step - learning rate, gradients, libswd's step - is captured into a
// graph once and replayed. Fits a small network to a surface. --eager launches the same step without a graph: same
// bits.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "device.h"
#include "swd/swd.hpp"

constexpr int kHidden = 32, kSide = 16, kPoints = kSide * kSide, kSteps = 300;
// Where the tensors lie in the flat buffers. Any offset will do: libswd asks for the alignment of an element only.
constexpr int kW1 = 0, kB1 = kW1 + 2 * kHidden, kW2 = kB1 + kHidden, kB2 = kW2 + kHidden, kTotal = kB2 + 1;

__device__ float2 point(int i) {
  return {2.0f * (i % kSide) / (kSide - 1) - 1.0f, 2.0f * (i / kSide) / (kSide - 1) - 1.0f};
}
__device__ float hidden(const float* param, int j, float2 x) {
  return tanhf(param[kW1 + 2 * j] * x.x + param[kW1 + 2 * j + 1] * x.y + param[kB1 + j]);
}

// One thread per point: error[i] = network(point i) - target.
__global__ void forward_kernel(const float* param, float* error) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= kPoints) return;
  float2 x = point(i);
  float out = param[kB2];
  for (int j = 0; j < kHidden; ++j) out += param[kW2 + j] * hidden(param, j, x);
  error[i] = out - sinf(3.0f * x.x) * cosf(2.0f * x.y);
}

// One thread per hidden unit, points in order: the gradient of the mean squared error, without atomics.
__global__ void backward_kernel(const float* param, const float* error, float* grad, float* loss) {
  int j = threadIdx.x;
  float w1x = 0.0f, w1y = 0.0f, b1 = 0.0f, w2 = 0.0f, b2 = 0.0f, sum = 0.0f;
  for (int i = 0; i < kPoints; ++i) {
    float2 x = point(i);
    float e = 2.0f * error[i] / kPoints, h = hidden(param, j, x), back = e * param[kW2 + j] * (1.0f - h * h);
    w1x += back * x.x;
    w1y += back * x.y;
    b1 += back;
    w2 += e * h;
    b2 += e;
    sum += error[i] * error[i] / kPoints;
  }
  grad[kW1 + 2 * j] = w1x;
  grad[kW1 + 2 * j + 1] = w1y;
  grad[kB1 + j] = b1;
  grad[kW2 + j] = w2;
  if (j == 0) grad[kB2] = b2, *loss = sum;
}

// The learning rate of this step: warm-up, then linear decay. It lies in device memory, so a replayed graph follows it.
__global__ void schedule_kernel(swd_group* groups, int group_count, int* step) {
  int t = (*step)++;
  double lr = 0.05 * (t < 20 ? (t + 1) / 20.0 : static_cast<double>(kSteps - t) / (kSteps - 20));
  for (int g = 0; g < group_count; ++g) groups[g].lr = lr;
}

class Trainer {
 public:
  Trainer() {
    CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    swd_segment segments[] = {
        {kW1, 2 * kHidden, 0, 0, 0}, {kB1, kHidden, 0, 1, 0}, {kW2, kHidden, 0, 0, 0}, {kB2, 1, 0, 1, 0}};
    swd_decay decay[] = {SWD_DECAY_SCHEDULED, SWD_DECAY_NONE};  // weights, biases
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = SWD_BACKEND_CUDA;
    args.segments = segments;
    args.segment_count = 4;
    args.decay_modes = decay;
    args.group_count = 2;
    plan_ = swd::Plan(args);
    state_ = swd::State(plan_, kDevice);
    workspace_ = swd::Workspace(plan_, kDevice, stream_);
    for (swd::Memory& tensor : tensors_) tensor = swd::Memory(kTotal * sizeof(float), kDevice);
    buffers_ = swd::buffers(state_, workspace_);
    buffers_.param = tensors_[0].data();
    buffers_.grad = tensors_[1].data();
    buffers_.exp_avg = tensors_[2].data();
    buffers_.exp_avg_sq = tensors_[3].data();

    swd_group weights = SWD_GROUP_INIT, biases = SWD_GROUP_INIT;
    weights.weight_decay = 1e-5;
    swd_group groups[] = {weights, biases};
    CHECK(cudaMemcpy(groups_.data(), groups, sizeof groups, cudaMemcpyHostToDevice));
    std::vector<float> start(kTotal);
    std::mt19937 random(1);
    for (int i = 0; i < kB2; ++i) start[i] = static_cast<float>(random()) / 2147483648.0f - 1.0f;
    CHECK(cudaMemcpy(buffers_.param, start.data(), kTotal * sizeof(float), cudaMemcpyHostToDevice));
    CHECK(cudaMallocHost(&stats_, sizeof *stats_));  // pinned, so that the copies into it are asynchronous
    CHECK(cudaDeviceSynchronize());
  }

  // Waits for the stream; then the members may release plan and memory, in any order.
  ~Trainer() {
    cudaStreamSynchronize(stream_);
    if (graph_) cudaGraphExecDestroy(graph_);
    cudaFreeHost(stats_);
    cudaStreamDestroy(stream_);
  }

  // Launches one training step. Nothing in it depends on the host: learning rate, norm and decay are read on the
  // device.
  void enqueue_step() {
    float *param = of<float>(tensors_[0]), *grad = of<float>(tensors_[1]), *error = of<float>(error_);
    schedule_kernel<<<1, 1, 0, stream_>>>(of<swd_group>(groups_), 2, of<int>(step_));
    forward_kernel<<<(kPoints + 127) / 128, 128, 0, stream_>>>(param, error);
    backward_kernel<<<1, kHidden, 0, stream_>>>(param, error, grad, of<float>(loss_));
    swd_step_args args = SWD_STEP_ARGS_INIT;
    args.groups_device = of<swd_group>(groups_);
    args.group_count = 2;
    args.max_grad_norm = 1.0;
    swd::check(swd_step(plan_, &buffers_, &args, stream_));
    CHECK(cudaGetLastError());
  }

  void capture() {
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    enqueue_step();
    CHECK(cudaStreamEndCapture(stream_, &graph));
    CHECK(cudaGraphInstantiateWithFlags(&graph_, graph, 0));
    CHECK(cudaGraphDestroy(graph));
  }

  void replay() { CHECK(cudaGraphLaunch(graph_, stream_)); }

  // Waits for the device: look once in a while, not at every step.
  const swd_stats& stats(float* loss) {
    swd::check(swd_stats_fetch(plan_, workspace_.data(), stats_, sizeof *stats_, nullptr, stream_));
    CHECK(cudaMemcpyAsync(loss, loss_.data(), sizeof *loss, cudaMemcpyDeviceToHost, stream_));
    CHECK(cudaStreamSynchronize(stream_));
    return *stats_;
  }

  std::vector<float> parameters() const {
    std::vector<float> out(kTotal);
    CHECK(cudaMemcpy(out.data(), buffers_.param, kTotal * sizeof(float), cudaMemcpyDeviceToHost));
    return out;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
  swd::Plan plan_;
  swd::State state_;
  swd::Workspace workspace_;
  swd::Memory tensors_[4];
  swd::Memory groups_{2 * sizeof(swd_group), kDevice}, step_{sizeof(int), kDevice};
  swd::Memory error_{kPoints * sizeof(float), kDevice}, loss_{sizeof(float), kDevice};
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
  swd_stats* stats_ = nullptr;
};

int main(int argc, char** argv) try {
  bool eager = argc > 1 && std::strcmp(argv[1], "--eager") == 0;
  Trainer trainer;
  if (!eager) trainer.capture();
  float loss = 0.0f;
  for (int step = 1; step <= kSteps; ++step) {
    eager ? trainer.enqueue_step() : trainer.replay();
    if (step % 50 != 0) continue;
    const swd_stats& stats = trainer.stats(&loss);
    std::printf("step %3d   loss %.6f   gradient norm %.6f   vbar %.3e\n", step, static_cast<double>(loss),
                stats.grad_norm, stats.vbar);
  }
  print_fingerprint(trainer.parameters());
  return loss < 0.01f ? 0 : 1;
} catch (const swd::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
