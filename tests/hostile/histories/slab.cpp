// SPDX-License-Identifier: Apache-2.0
// Memory and the stream of the histories, for both backends.
#include "slab.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#ifdef SWD_TEST_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace swd::histories {

#ifdef SWD_TEST_WITH_CUDA
namespace {

void must(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

cudaStream_t cuda_stream() {
  static cudaStream_t stream = [] {
    cudaStream_t created = nullptr;
    must(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking));
    return created;
  }();
  return stream;
}

void copy(void* to, const void* from, uint64_t bytes) {
  must(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cuda_stream()));
  must(cudaStreamSynchronize(cuda_stream()));
}

}  // namespace

void* stream_of(swd_backend backend) { return backend == SWD_BACKEND_CUDA ? cuda_stream() : nullptr; }

Slab::Slab(swd_backend backend, uint64_t bytes) : backend_(backend), bytes_(bytes) {
  if (backend == SWD_BACKEND_CPU) {
    data_ = static_cast<uint8_t*>(aligned_alloc(256, (bytes + 255) / 256 * 256));
    if (!data_) throw std::bad_alloc();
  } else {
    void* memory = nullptr;
    must(cudaMalloc(&memory, bytes));
    data_ = static_cast<uint8_t*>(memory);
  }
}

Slab::~Slab() {
  if (backend_ == SWD_BACKEND_CPU) free(data_);
  if (backend_ == SWD_BACKEND_CUDA) cudaFree(data_);
}

void Slab::write(uint64_t offset, const void* from, uint64_t bytes) {
  if (backend_ == SWD_BACKEND_CUDA) return copy(data_ + offset, from, bytes);
  memcpy(data_ + offset, from, bytes);
}

void Slab::read(uint64_t offset, void* to, uint64_t bytes) const {
  if (backend_ == SWD_BACKEND_CUDA) return copy(to, data_ + offset, bytes);
  memcpy(to, data_ + offset, bytes);
}
#else
void* stream_of(swd_backend) { return nullptr; }

Slab::Slab(swd_backend backend, uint64_t bytes) : backend_(backend), bytes_(bytes) {
  if (backend_ != SWD_BACKEND_CPU) throw std::runtime_error("the histories were built without CUDA");
  data_ = static_cast<uint8_t*>(aligned_alloc(256, (bytes + 255) / 256 * 256));
  if (!data_) throw std::bad_alloc();
}
Slab::~Slab() { free(data_); }
void Slab::write(uint64_t offset, const void* from, uint64_t bytes) { memcpy(data_ + offset, from, bytes); }
void Slab::read(uint64_t offset, void* to, uint64_t bytes) const { memcpy(to, data_ + offset, bytes); }
#endif

}  // namespace swd::histories
