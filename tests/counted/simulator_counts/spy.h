// SPDX-License-Identifier: Apache-2.0
// Calls into the CUDA runtime, of this program and of the library under test, as they pass; and runs to make them with.
// Used by simulator_counts_test.
#pragma once
#include <memory>
#include <vector>

#include "support/runner.h"

namespace swd::test {

extern std::vector<void*> streams_seen;  // of every call that takes a stream
extern std::vector<const void*> kernels_loaded, kernels_launched;
extern int waits;

inline RunSetup setup(uint32_t flags, uint32_t groups, swd_decay decay = SWD_DECAY_SCHEDULED) {
  RunSetup s;
  s.backend = SWD_BACKEND_CUDA;
  s.flags = flags;
  for (int64_t k = 0; k < 1000; ++k) s.counts.push_back(k % 100 == 7 ? 300 : 0);
  s.decay.assign(groups, decay);
  s.groups.assign(groups, swd_group{1e-3, 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0});
  return s;
}

inline swd_status step(Runner& r, void* stream) {
  swd_step_args& args = r.args();
  return swd_step(r.plan(), &r.buffers, &args, stream);
}

// fp32 memory for parameters and moments, as swd_state_load and swd_state_store take it.
class Fp32Memory {
 public:
  explicit Fp32Memory(const RunSetup& s) {
    int64_t extent = 0;
    for (int64_t count : s.counts) extent += count;
    const uint64_t bytes = 4 * static_cast<uint64_t>(extent);
    memory_ = std::make_unique<DeviceBuffer>(SWD_BACKEND_CUDA, 3 * bytes);
    const void** to[] = {&arrays_.param, &arrays_.exp_avg, &arrays_.exp_avg_sq};
    for (uint64_t a = 0; a < 3; ++a) {
      uint8_t* at = memory_->data() + a * bytes;
      *to[a] = at;
      if (!(s.flags & SWD_PLAN_LIST)) continue;
      for (int64_t count : s.counts) {
        tensors_[a].push_back(count > 0 ? at : nullptr);
        at += 4 * count;
      }
      *to[a] = tensors_[a].data();
    }
  }
  const swd_fp32_arrays& arrays() const { return arrays_; }

 private:
  swd_fp32_arrays arrays_ = SWD_FP32_ARRAYS_INIT;
  std::unique_ptr<DeviceBuffer> memory_;
  std::vector<const void*> tensors_[3];
};

}  // namespace swd::test
