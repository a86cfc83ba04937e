// SPDX-License-Identifier: Apache-2.0
// No kernel prefetches an address outside of the arrays. The other tests keep guard zones around their arrays, so an
// address just outside of one is still inside of its allocation; here each array is an allocation of its own. Under the
// simulator a prefetch that leaves it fails the launch.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "support/runner.h"

namespace swd::test {
namespace {

// An array that begins `shift` elements into an allocation and ends with it.
class Tight {
 public:
  Tight(int64_t count, int64_t shift) {
    EXPECT_EQ(cudaMalloc(&memory_, static_cast<size_t>(count + shift) * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMemset(memory_, 0, static_cast<size_t>(count + shift) * sizeof(float)), cudaSuccess);
    data_ = static_cast<float*>(memory_) + shift;
  }
  ~Tight() { EXPECT_EQ(cudaFree(memory_), cudaSuccess); }
  Tight(const Tight&) = delete;
  Tight& operator=(const Tight&) = delete;
  float* data() const { return data_; }

 private:
  void* memory_ = nullptr;
  float* data_ = nullptr;
};

void step_in_tight_arrays(int64_t count, int64_t shift_of_param, int64_t shift_of_moments) {
  RunSetup setup;
  setup.backend = SWD_BACKEND_CUDA;
  setup.counts = {count};
  Runner r(setup);
  Tight param(count, shift_of_param), grad(count, shift_of_param);
  Tight exp_avg(count, shift_of_moments), exp_avg_sq(count, shift_of_moments);
  r.buffers.param = param.data();
  r.buffers.grad = grad.data();
  r.buffers.exp_avg = exp_avg.data();
  r.buffers.exp_avg_sq = exp_avg_sq.data();
  for (int t = 0; t < 2; ++t) r.ok(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()));
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess)
      << count << " elements, shifts " << shift_of_param << ", " << shift_of_moments;
  EXPECT_EQ(r.stats().steps_applied, 2u);
}

TEST(SimulatorPrefetch, StaysInsideTheArrays) {
  for (int64_t count : {int64_t{1}, int64_t{31}, int64_t{1000}, int64_t{4096}, int64_t{9001}}) {
    for (int64_t shift_of_param : {0, 5, 31}) {
      for (int64_t shift_of_moments : {0, 5}) step_in_tight_arrays(count, shift_of_param, shift_of_moments);
    }
  }
}

}  // namespace
}  // namespace swd::test
