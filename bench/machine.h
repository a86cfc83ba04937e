// SPDX-License-Identifier: Apache-2.0
// Where a backend computes: its memory, its clock, and the plain loops that show what its memory can do (the roof).
// machine_cpu.cpp and machine_cuda.cpp implement it; used by subject.cpp, measure.cpp and main.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/formats.h"

namespace swd::bench {

// The arrays of a step as a roof loop sees them. The loops touch the very memory that libswd works on, so both have the
// same pages, and leave every value as it was. The scales of block8 are left to libswd: 0.2 % of its bytes.
struct RoofArrays {
  int64_t elements = 0;
  Dtypes dtypes = kDtypeRows[0];  // BF16 in the place of F16: loops know bytes only
  const void* grad = nullptr;
  void* param = nullptr;
  void* remainder = nullptr;
  void* exp_avg = nullptr;
  void* exp_avg_sq = nullptr;
  void* param_copy = nullptr;
  int threads = 0;  // CPU; 0: one per core
};

enum class RoofKind {
  kRead,   // reads grad
  kMix,    // reads grad, param, remainder, exp_avg and exp_avg_sq; writes all but the first, and param_copy
  kMemcpy  // copies exp_avg to exp_avg_sq
};

class Machine {
 public:
  virtual ~Machine() = default;
  virtual std::string name() = 0;  // of the CPU or GPU
  virtual uint64_t available_bytes() = 0;
  virtual double peak_bytes_per_second() = 0;  // from the memory's clock and width; 0: not known

  virtual void* allocate(uint64_t bytes) = 0;  // throws std::bad_alloc
  virtual void release(void* memory) = 0;
  // `pattern`, repeated over all of `target`.
  virtual void fill(void* target, uint64_t bytes, const void* pattern, uint64_t pattern_bytes) = 0;
  virtual void zero(void* target, uint64_t bytes) = 0;

  virtual void* stream() = 0;  // for libswd's calls
  virtual void synchronize() = 0;
  virtual void empty_caches() = 0;
  // Seconds that `work` takes: the wall clock, or CUDA events around what it queues in the stream, which begins only
  // once all of it is queued. May call `work` again where the host was too slow.
  virtual double seconds_of(const std::function<void()>& work) = 0;
  // The launch of a graph of what `work` queues. CPU: `work` itself.
  virtual std::function<void()> captured(const std::function<void()>& work) = 0;

  // The roof comes in variants (how the work is cut, how far ahead it prefetches). The best one is the roof.
  virtual int variants(RoofKind kind) = 0;
  virtual std::string variant_name(RoofKind kind, int variant) = 0;
  // False: there is no such variant for these arrays, and nothing was done.
  virtual bool run_roof(RoofKind kind, int variant, const RoofArrays& arrays) = 0;
};

Machine& cpu_machine();
Machine* cuda_machine();  // NULL if built without CUDA, or if no device can be used

}  // namespace swd::bench
