// SPDX-License-Identifier: Apache-2.0
// Guarded memory and the stream of the tests, for both backends.
#include "device_buffer.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#ifdef SWD_TEST_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace swd::test {
namespace {

#ifdef SWD_TEST_WITH_CUDA
void expect_success(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
  }
}

cudaStream_t cuda_stream() {
  static cudaStream_t stream = [] {
    cudaStream_t created = nullptr;
    expect_success(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return created;
  }();
  return stream;
}
#endif

void copy(swd_backend backend, void* target, const void* source, uint64_t bytes) {
  if (bytes == 0) return;
  if (backend == SWD_BACKEND_CPU) {
    memcpy(target, source, bytes);
    return;
  }
#ifdef SWD_TEST_WITH_CUDA
  expect_success(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, cuda_stream()), "cudaMemcpyAsync");
  expect_success(cudaStreamSynchronize(cuda_stream()), "cudaStreamSynchronize");
#endif
}

std::vector<uint8_t> poisoned(uint64_t bytes, uint64_t first_offset) {
  std::vector<uint8_t> out(bytes);
  for (uint64_t i = 0; i < bytes; ++i) out[i] = DeviceBuffer::poison(first_offset + i);
  return out;
}

}  // namespace

swd_backend backend_under_test() {
  static const swd_backend chosen = [] {
    const char* name = getenv("SWD_TEST_BACKEND");
    if (!name || std::string(name) == "cpu") return swd_backend{SWD_BACKEND_CPU};
    if (std::string(name) == "cuda") return swd_backend{SWD_BACKEND_CUDA};
    throw std::runtime_error("SWD_TEST_BACKEND must be cpu or cuda");
  }();
  if (swd_backend_available(chosen) != SWD_OK) {
    throw std::runtime_error(std::string("the backend under test cannot run here: ") + swd_error_detail());
  }
#ifndef SWD_TEST_WITH_CUDA
  if (chosen == SWD_BACKEND_CUDA) throw std::runtime_error("these tests were built without CUDA");
#endif
  return chosen;
}

bool backend_is_simulated() {
  // Only the simulator counts its calls.
  static const bool simulated = dlsym(RTLD_DEFAULT, "cudasimCallCount") != nullptr;
  return simulated && backend_under_test() == SWD_BACKEND_CUDA;
}

void* test_stream(swd_backend backend) {
#ifdef SWD_TEST_WITH_CUDA
  if (backend == SWD_BACKEND_CUDA) return cuda_stream();
#endif
  (void)backend;
  return nullptr;
}

void synchronize(swd_backend backend) {
  (void)backend;
#ifdef SWD_TEST_WITH_CUDA
  if (backend != SWD_BACKEND_CUDA) return;
  cudaError_t error = cudaStreamSynchronize(cuda_stream());
  EXPECT_EQ(cudaSuccess, error) << cudaGetErrorString(error);
#endif
}

DeviceBuffer::DeviceBuffer(swd_backend backend, uint64_t bytes, uint64_t shift_bytes, Poison poison)
    : backend_(backend), bytes_(bytes), allocation_(nullptr) {
  uint64_t total = 2 * kGuardBytes + (bytes + shift_bytes + 255) / 256 * 256;
  if (backend == SWD_BACKEND_CPU) {
    allocation_ = static_cast<uint8_t*>(aligned_alloc(256, total));
    if (!allocation_) throw std::bad_alloc();
  } else {
#ifdef SWD_TEST_WITH_CUDA
    void* memory = nullptr;
    expect_success(cudaMalloc(&memory, total), "cudaMalloc");
    allocation_ = static_cast<uint8_t*>(memory);
#else
    throw std::runtime_error("these tests were built without CUDA");
#endif
  }
  data_ = allocation_ + kGuardBytes + shift_bytes;
  std::vector<uint8_t> pattern = poisoned(poison == Poison::kAll ? 2 * kGuardBytes + bytes : kGuardBytes, 0);
  copy(backend_, data_ - kGuardBytes, pattern.data(), pattern.size());
  if (poison == Poison::kAll) return;
  pattern = poisoned(kGuardBytes, bytes);
  copy(backend_, data_ + bytes, pattern.data(), pattern.size());
}

DeviceBuffer::~DeviceBuffer() {
  EXPECT_TRUE(canaries_intact()) << "memory outside a buffer of " << bytes_ << " bytes was written";
  if (backend_ == SWD_BACKEND_CPU) {
    free(allocation_);
  } else {
#ifdef SWD_TEST_WITH_CUDA
    EXPECT_EQ(cudaSuccess, cudaFree(allocation_));
#endif
  }
}

void DeviceBuffer::write(uint64_t offset, const void* source, uint64_t bytes) {
  if (offset + bytes > bytes_) throw std::out_of_range("DeviceBuffer::write");
  copy(backend_, data_ + offset, source, bytes);
}

void DeviceBuffer::read(uint64_t offset, void* target, uint64_t bytes) const {
  if (offset + bytes > bytes_) throw std::out_of_range("DeviceBuffer::read");
  copy(backend_, target, data_ + offset, bytes);
}

void DeviceBuffer::fill(uint8_t value) {
  std::vector<uint8_t> bytes(bytes_, value);
  write(0, bytes.data(), bytes_);
}

std::vector<uint8_t> DeviceBuffer::read_all() const {
  std::vector<uint8_t> out(bytes_);
  read(0, out.data(), bytes_);
  return out;
}

bool DeviceBuffer::canaries_intact() const {
  std::vector<uint8_t> front(kGuardBytes), behind(kGuardBytes);
  copy(backend_, front.data(), data_ - kGuardBytes, kGuardBytes);
  copy(backend_, behind.data(), data_ + bytes_, kGuardBytes);
  return front == poisoned(kGuardBytes, 0) && behind == poisoned(kGuardBytes, bytes_);
}

}  // namespace swd::test
