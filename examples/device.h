// SPDX-License-Identifier: Apache-2.0
// What the CUDA examples share: checked calls, device memory for the owners of swd.hpp, a fingerprint of parameters.
#ifndef SWD_EXAMPLE_DEVICE_H
#define SWD_EXAMPLE_DEVICE_H
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "swd/swd.hpp"

// CHECK(call) ends the program where a call of CUDA or libswd fails; main_nccl.cu adds NCCL's.
#define CHECK(call) check_at(__FILE__, __LINE__, (call))

inline void end_at(const char* file, int line, const char* what, const char* detail) {
  std::fprintf(stderr, "%s:%d: %s%s%s\n", file, line, what, *detail ? ": " : "", detail);
  std::exit(1);
}
inline void check_at(const char* file, int line, cudaError_t error) {
  if (error != cudaSuccess) end_at(file, line, cudaGetErrorString(error), "");
}
inline void check_at(const char* file, int line, swd_status status) {
  if (status != SWD_OK) end_at(file, line, swd_status_name(status), swd_error_detail());
}

struct DeviceMemory {
  static void* allocate(void*, uint64_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) != cudaSuccess) return nullptr;
    CHECK(cudaMemset(memory, 0, bytes));
    CHECK(cudaStreamSynchronize(nullptr));  // the step has a stream of its own
    return memory;
  }
  static void release(void*, void* memory, uint64_t) { cudaFree(memory); }
};
constexpr swd::Allocator kDevice = {DeviceMemory::allocate, DeviceMemory::release, nullptr};

template <typename T>
T* of(const swd::Memory& memory) {
  return static_cast<T*>(memory.data());
}

// FNV-1a, to compare runs by eye.
inline void print_fingerprint(const std::vector<float>& parameters) {
  uint64_t hash = 14695981039346656037u;
  for (float p : parameters) {
    uint32_t bits;
    std::memcpy(&bits, &p, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
  }
  std::printf("parameters %016llx\n", static_cast<unsigned long long>(hash));
}

#endif
