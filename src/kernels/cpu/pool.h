// SPDX-License-Identifier: Apache-2.0
// A small thread pool of our own (OpenMP's runtime exits the process when a thread cannot start, hangs after fork and
// hides behind false TSan reports). Owned by a plan of the CPU backend; used by backend_cpu.cpp.
#pragma once
#include <cstdint>
#include <memory>

namespace swd::cpu {

class Pool {
 public:
  // threads: most threads a run uses, the caller's included; 0: one per core this process may run on.
  // Starts none: workers start at the first run that has work for them, and those that cannot start are done without.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const;  // most that a run uses, the caller's included

  // Calls body(context, begin, end) for disjoint ranges that cover [0, count), `grain` at a time, and returns when all
  // are done. If another thread is inside run(), or after a fork, the caller does all the work alone.
  void run(int64_t count, int64_t grain, void (*body)(void* context, int64_t begin, int64_t end),
           void* context) noexcept;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace swd::cpu
