// SPDX-License-Identifier: Apache-2.0
// Device 0 as a Machine. Its roof kernels are in roof_cuda.cu. Built only where the library has a CUDA backend.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>

#include "gate.h"
#include "machine.h"
#include "roof_cuda.h"

namespace swd::bench {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

class CudaMachine final : public Machine {
 public:
  CudaMachine() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    for (cudaEvent_t& event : events_) check(cudaEventCreate(&event));
  }

  std::string name() override {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0));
    return properties.name;
  }
  uint64_t available_bytes() override {
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    return free;
  }
  // Two transfers a cycle, as all memories of these devices have.
  double peak_bytes_per_second() override {
    int kilohertz = 0, bits = 0;
    check(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrMemoryClockRate, 0));
    check(cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, 0));
    return 2e3 * kilohertz * bits / 8;
  }

  void* allocate(uint64_t bytes) override {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) != cudaSuccess) throw std::bad_alloc();
    return memory;
  }
  void release(void* memory) override { check(cudaFree(memory)); }
  // Written once, then doubled on the device.
  void fill(void* target, uint64_t bytes, const void* pattern, uint64_t pattern_bytes) override {
    auto* to = static_cast<uint8_t*>(target);
    uint64_t filled = std::min(pattern_bytes, bytes);
    check(cudaMemcpyAsync(to, pattern, filled, cudaMemcpyHostToDevice, stream_));
    for (uint64_t more; filled < bytes; filled += more) {
      more = std::min(filled, bytes - filled);
      check(cudaMemcpyAsync(to + filled, to, more, cudaMemcpyDeviceToDevice, stream_));
    }
    synchronize();
  }
  void zero(void* target, uint64_t bytes) override { check(cudaMemsetAsync(target, 0, bytes, stream_)); }

  void* stream() override { return stream_; }
  void synchronize() override { check(cudaStreamSynchronize(stream_)); }
  // Writes through four times what L2 holds.
  void empty_caches() override {
    if (!flood_) {
      int bytes = 0;
      check(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 0));
      flood_bytes_ = 4 * static_cast<uint64_t>(bytes);
      flood_ = allocate(flood_bytes_);
    }
    zero(flood_, flood_bytes_);
  }
  double seconds_of(const std::function<void()>& work) override {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      gate_.close(stream_);
      check(cudaEventRecord(events_[0], stream_));
      work();
      check(cudaEventRecord(events_[1], stream_));
      gate_.open();
      check(cudaEventSynchronize(events_[1]));
      if (gate_.was_late()) continue;
      float milliseconds = 0.0f;
      check(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]));
      return milliseconds * 1e-3;
    }
    throw std::runtime_error("the host took too long to queue a sample");
  }
  std::function<void()> captured(const std::function<void()>& work) override {
    cudaGraph_t graph;
    cudaGraphExec_t made;
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    work();
    check(cudaStreamEndCapture(stream_, &graph));
    check(cudaGraphInstantiate(&made, graph, 0));
    check(cudaGraphDestroy(graph));
    std::shared_ptr<CUgraphExec_st> held(made, [](cudaGraphExec_t exec) { cudaGraphExecDestroy(exec); });
    return [held, stream = stream_] { check(cudaGraphLaunch(held.get(), stream)); };
  }

  int variants(RoofKind kind) override { return roof_variants_cuda(kind); }
  std::string variant_name(RoofKind kind, int variant) override { return roof_name_cuda(kind, variant); }
  bool run_roof(RoofKind kind, int variant, const RoofArrays& arrays) override {
    auto error = static_cast<cudaError_t>(run_roof_cuda(kind, variant, arrays, stream_));
    if (error == cudaErrorNotSupported) return false;
    check(error);
    return true;
  }

 private:
  static constexpr int kAttempts = 3;
  Gate gate_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t events_[2] = {};
  void* flood_ = nullptr;
  uint64_t flood_bytes_ = 0;
};

}  // namespace

Machine* cuda_machine() {
  if (swd_backend_available(SWD_BACKEND_CUDA) != SWD_OK) return nullptr;
  // Never destroyed: at exit the runtime may be gone before it.
  static CudaMachine* machine = new CudaMachine;
  return machine;
}

}  // namespace swd::bench
