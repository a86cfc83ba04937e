// SPDX-License-Identifier: Apache-2.0
// One piece of memory where the backend computes, read and written whole or in parts. Without GoogleTest, because the
// fuzz target uses it too. Used by world.cpp.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd::histories {

// The stream of all calls and copies: a non-blocking one for CUDA, NULL for the CPU.
void* stream_of(swd_backend backend);

class Slab {
 public:
  Slab(swd_backend backend, uint64_t bytes);  // 256-byte aligned
  ~Slab();
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  void write(uint64_t offset, const void* from, uint64_t bytes);
  void read(uint64_t offset, void* to, uint64_t bytes) const;

 private:
  swd_backend backend_;
  uint64_t bytes_;
  uint8_t* data_ = nullptr;
};

}  // namespace swd::histories
