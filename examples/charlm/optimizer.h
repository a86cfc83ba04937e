// SPDX-License-Identifier: Apache-2.0
// libswd as a trainer uses it: flat buffers, one segment per tensor, on the CUDA backend if a device is there. The
// network itself runs on the host, so with CUDA gradients and parameters are copied at every step. Used by main.cpp.
#pragma once
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "model.h"
#include "swd/swd.h"
#ifdef SWD_DEMO_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace charlm {

inline void check(swd_status status) {
  if (status != SWD_OK) throw std::runtime_error(std::string(swd_status_name(status)) + ": " + swd_error_detail());
}

// Zeroed memory where the backend computes.
class Memory {
 public:
  Memory(bool cuda, uint64_t bytes) : cuda_(cuda), bytes_(bytes) {
#ifdef SWD_DEMO_WITH_CUDA
    if (cuda && (cudaMalloc(&data_, bytes) != cudaSuccess || cudaMemset(data_, 0, bytes) != cudaSuccess)) {
      throw std::runtime_error("no device memory");
    }
#endif
    if (!cuda) data_ = std::calloc(bytes, 1);
    if (!data_) throw std::bad_alloc();
  }
  ~Memory() {
#ifdef SWD_DEMO_WITH_CUDA
    if (cuda_) cudaFree(data_);
#endif
    if (!cuda_) std::free(data_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  void copy(void* to, const void* from) const {
#ifdef SWD_DEMO_WITH_CUDA
    if (cuda_ && cudaMemcpy(to, from, bytes_, cudaMemcpyDefault) != cudaSuccess)
      throw std::runtime_error("copy failed");
#endif
    if (!cuda_) std::memcpy(to, from, bytes_);
  }

 private:
  bool cuda_;
  uint64_t bytes_;
  void* data_ = nullptr;
};

class Optimizer {
 public:
  Optimizer(Model& model, swd_decay decay, double weight_decay, bool cuda) : model_(model), cuda_(cuda) {
    std::vector<swd_segment> segments;
    for (const Tensor& t : model.tensors) {
      segments.push_back({t.offset, t.count(), 0, 0, t.decays ? 0u : static_cast<uint32_t>(SWD_SEGMENT_NO_DECAY)});
    }
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = cuda ? SWD_BACKEND_CUDA : SWD_BACKEND_CPU;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = &decay;
    args.group_count = 1;
    check(swd_plan_create(&args, &plan_));
    uint64_t bytes = model.param.size() * sizeof(float), workspace = 0, state = 0;
    check(swd_workspace_size(plan_, &workspace));
    check(swd_state_size(plan_, &state));
    for (uint64_t size : {bytes, bytes, bytes, bytes, state, workspace}) {
      memory_.push_back(std::make_unique<Memory>(cuda, size));
    }
    buffers_ = SWD_BUFFERS_INIT;
    buffers_.param = memory_[0]->data();
    buffers_.grad = memory_[1]->data();
    buffers_.exp_avg = memory_[2]->data();
    buffers_.exp_avg_sq = memory_[3]->data();
    buffers_.state = memory_[4]->data();
    buffers_.state_bytes = state;
    buffers_.workspace = memory_[5]->data();
    buffers_.workspace_bytes = workspace;
    check(swd_workspace_init(plan_, buffers_.workspace, workspace, nullptr));
    memory_[0]->copy(buffers_.param, model.param.data());
    group_.weight_decay = weight_decay;
  }
  ~Optimizer() { swd_plan_destroy(plan_); }
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // Takes model.grad, leaves the new parameters in model.param.
  swd_stats step(double lr, double max_grad_norm, double* lambda_eff) {
    memory_[1]->copy(memory_[1]->data(), model_.grad.data());
    swd_step_args args = SWD_STEP_ARGS_INIT;
    group_.lr = lr;
    args.groups = &group_;
    args.group_count = 1;
    args.max_grad_norm = max_grad_norm;
    auto start = std::chrono::steady_clock::now();
    check(swd_step(plan_, &buffers_, &args, nullptr));
    swd_stats stats;
    check(swd_stats_fetch(plan_, buffers_.workspace, &stats, sizeof stats, lambda_eff, nullptr));
#ifdef SWD_DEMO_WITH_CUDA
    if (cuda_ && cudaStreamSynchronize(nullptr) != cudaSuccess) throw std::runtime_error("the device failed");
#endif
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    memory_[0]->copy(model_.param.data(), memory_[0]->data());
    return stats;
  }
  double seconds = 0.0;  // spent in libswd

 private:
  Model& model_;
  [[maybe_unused]] bool cuda_;
  swd_plan* plan_ = nullptr;
  swd_group group_ = SWD_GROUP_INIT;
  swd_buffers buffers_{};
  std::vector<std::unique_ptr<Memory>> memory_;
};

}  // namespace charlm
