// SPDX-License-Identifier: Apache-2.0
// libswd as a trainer uses it: flat buffers, one segment per tensor, on the CUDA backend if a device is there. The
// network itself runs on the host, so with CUDA gradients and parameters are copied at every step. Used by main.cpp.
#pragma once
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "model.h"
#include "swd/swd.hpp"
#ifdef SWD_DEMO_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace charlm {

// Memory where the backend computes.
inline swd::Allocator memory_of(bool cuda) {
  if (!cuda) return swd::host_memory();
#ifdef SWD_DEMO_WITH_CUDA
  return {[](void*, uint64_t bytes) {
            void* memory = nullptr;
            if (cudaMalloc(&memory, bytes) == cudaSuccess) cudaMemset(memory, 0, bytes);
            return memory;
          },
          [](void*, void* memory, uint64_t) { cudaFree(memory); }, nullptr};
#endif
  throw std::runtime_error("built without CUDA");
}

inline void copy(bool cuda, void* to, const void* from, size_t bytes) {
  if (!cuda) std::memcpy(to, from, bytes);
#ifdef SWD_DEMO_WITH_CUDA
  if (cuda && cudaMemcpy(to, from, bytes, cudaMemcpyDefault) != cudaSuccess) throw std::runtime_error("copy failed");
#endif
}

class Optimizer {
 public:
  Optimizer(Model& model, swd_decay decay, double weight_decay, bool cuda)
      : model_(model), cuda_(cuda), bytes_(model.param.size() * sizeof(float)) {
    std::vector<swd_segment> segments;
    for (const Tensor& t : model.tensors) {
      segments.push_back({t.offset, t.count(), 0, 0, t.decays ? 0u : static_cast<uint32_t>(SWD_SEGMENT_NO_DECAY)});
    }
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = cuda ? SWD_BACKEND_CUDA : SWD_BACKEND_CPU;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = &decay;
    swd::Allocator allocator = memory_of(cuda);
    swd::check(plan_.create(args));
    swd::check(state_.create(plan_, allocator));
    swd::check(workspace_.create(plan_, allocator));
    for (swd::Memory& tensor : tensors_) swd::check(tensor.create(bytes_, allocator));
    buffers_ = swd::buffers(state_, workspace_);
    buffers_.param = tensors_[0].data();
    buffers_.grad = tensors_[1].data();
    buffers_.exp_avg = tensors_[2].data();
    buffers_.exp_avg_sq = tensors_[3].data();
    copy(cuda, buffers_.param, model.param.data(), bytes_);
    group_.weight_decay = weight_decay;
  }

  // Takes model.grad, leaves the new parameters in model.param.
  swd_stats step(double lr, double max_grad_norm, double* lambda_eff) {
    copy(cuda_, tensors_[1].data(), model_.grad.data(), bytes_);
    swd_step_args args = SWD_STEP_ARGS_INIT;
    group_.lr = lr;
    args.groups = &group_;
    args.group_count = 1;
    args.max_grad_norm = max_grad_norm;
    auto start = std::chrono::steady_clock::now();
    swd::check(swd_step(plan_, &buffers_, &args, nullptr));
    swd_stats stats;
    swd::check(swd_stats_fetch(plan_, workspace_.data(), &stats, sizeof stats, lambda_eff, nullptr));
#ifdef SWD_DEMO_WITH_CUDA
    if (cuda_ && cudaStreamSynchronize(nullptr) != cudaSuccess) throw std::runtime_error("the device failed");
#endif
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    copy(cuda_, model_.param.data(), buffers_.param, bytes_);
    return stats;
  }
  double seconds = 0.0;  // spent in libswd

 private:
  Model& model_;
  bool cuda_;
  size_t bytes_;
  swd::Plan plan_;
  swd::State state_;
  swd::Workspace workspace_;
  swd::Memory tensors_[4];
  swd_group group_ = SWD_GROUP_INIT;
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
};

}  // namespace charlm
