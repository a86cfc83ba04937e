// SPDX-License-Identifier: Apache-2.0
// libswd as a trainer uses it: flat buffers, one segment per tensor, on either backend. The networks of the examples
// run on the host, so with CUDA gradients and parameters are copied at every step. Used by charlm and images.
#pragma once
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "swd/swd.hpp"
#ifdef SWD_DEMO_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace example {

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

// "auto", "cpu" or "cuda": whether it is CUDA.
inline bool pick_cuda(const std::string& backend) {
#ifdef SWD_DEMO_WITH_CUDA
  if (backend == "cuda") swd::check(swd_backend_available(SWD_BACKEND_CUDA));
  return backend == "cuda" || (backend == "auto" && swd_backend_available(SWD_BACKEND_CUDA) == SWD_OK);
#else
  if (backend == "cuda") throw std::runtime_error("--backend cuda: this program was built without CUDA");
  return false;
#endif
}

class FlatOptimizer {
 public:
  // model: has `tensors`, and `param` and `grad` as vectors of floats; outlives this. decays(tensor) says whether a
  // tensor of the model decays. threads: of the CPU backend.
  template <class Model, class Decays>
  FlatOptimizer(Model& model, Decays decays, swd_decay decay, bool cuda, int threads = 0)
      : param_(model.param.data()), grad_(model.grad.data()), cuda_(cuda), bytes_(model.param.size() * sizeof(float)) {
    std::vector<swd_segment> segments;
    for (const auto& t : model.tensors) {
      segments.push_back({t.offset, t.count(), 0, 0, decays(t) ? 0u : static_cast<uint32_t>(SWD_SEGMENT_NO_DECAY)});
    }
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = cuda ? SWD_BACKEND_CUDA : SWD_BACKEND_CPU;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = &decay;
    args.threads = cuda ? 0 : threads;
    swd::Allocator allocator = memory_of(cuda);
    swd::check(plan_.create(args));
    swd::check(state_.create(plan_, allocator));
    swd::check(workspace_.create(plan_, allocator));
    for (swd::Memory& buffer : memory_) swd::check(buffer.create(bytes_, allocator));
    buffers_ = swd::buffers(state_, workspace_);
    buffers_.param = memory_[0].data();
    buffers_.grad = memory_[1].data();
    buffers_.exp_avg = memory_[2].data();
    buffers_.exp_avg_sq = memory_[3].data();
    copy(cuda, buffers_.param, param_, bytes_);
  }

  // Takes grad, leaves the new parameters in param.
  swd_stats step(double lr, double weight_decay, double max_grad_norm, double* lambda_eff) {
    copy(cuda_, memory_[1].data(), grad_, bytes_);
    swd_group group = SWD_GROUP_INIT;
    group.lr = lr;
    group.weight_decay = weight_decay;
    swd_step_args args = SWD_STEP_ARGS_INIT;
    args.groups = &group;
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
    copy(cuda_, param_, buffers_.param, bytes_);
    return stats;
  }
  double seconds = 0.0;  // spent in libswd

 private:
  float* param_;
  const float* grad_;
  bool cuda_;
  size_t bytes_;
  swd::Plan plan_;
  swd::State state_;
  swd::Workspace workspace_;
  swd::Memory memory_[4];
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
};

}  // namespace example
