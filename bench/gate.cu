// SPDX-License-Identifier: Apache-2.0
// One thread that spins on a word of pinned memory. Called by machine_cuda.cpp.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <stdexcept>

#include "gate.h"

namespace swd::bench {

struct Gate::Latch {
  int open;
  int late;
};

namespace {

// Longer than it takes to queue any sample, some 2 ms.
constexpr uint64_t kLimitNs = 200'000'000;

__device__ uint64_t now_ns() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

__global__ void gate_kernel(volatile int* open, volatile int* late) {
  uint64_t begin = now_ns();
  while (*open == 0) {
    if (now_ns() - begin < kLimitNs) continue;
    *late = 1;
    return;
  }
}

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

}  // namespace

Gate::Gate() {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, sizeof(Latch), cudaHostAllocMapped));
  latch_ = static_cast<volatile Latch*>(memory);
}

void Gate::close(void* stream) {
  latch_->open = 0;
  latch_->late = 0;
  // With unified addressing the device knows pinned memory by the host's address.
  gate_kernel<<<1, 1, 0, static_cast<cudaStream_t>(stream)>>>(&latch_->open, &latch_->late);
  check(cudaGetLastError());
}

void Gate::open() { latch_->open = 1; }

bool Gate::was_late() const { return latch_->late != 0; }

}  // namespace swd::bench
