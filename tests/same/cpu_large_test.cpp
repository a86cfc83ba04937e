// SPDX-License-Identifier: Apache-2.0
// Tensors past 2^31 and 2^32 elements on a small machine: one page of memory is mapped again and again over a huge
// range of addresses, and only the last page of each array is its own. Answers are exact, so a wrapped index shows.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "support/device_buffer.h"
#include "support/shortened.h"
#include "swd/swd.h"

namespace swd::test {
namespace {

constexpr uint64_t kTile = 1u << 24;  // bytes of real memory behind an array

// Addresses without memory: touching one ends the program.
uint8_t* reserve(uint64_t bytes) {
  void* base = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  EXPECT_NE(base, MAP_FAILED);
  return static_cast<uint8_t*>(base);
}

// `bytes` addresses, rounded up to tiles; all tiles but the last are the same memory.
class Repeated {
 public:
  explicit Repeated(uint64_t bytes) : bytes_((bytes + kTile - 1) / kTile * kTile) {
    int file = memfd_create("swd_large_test", 0);
    EXPECT_EQ(ftruncate(file, 2 * kTile), 0);
    data_ = reserve(bytes_);
    for (uint64_t at = 0; at < bytes_; at += kTile) {
      off_t offset = at + kTile < bytes_ ? 0 : static_cast<off_t>(kTile);
      EXPECT_NE(mmap(data_ + at, kTile, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, offset), MAP_FAILED);
    }
    close(file);
  }
  ~Repeated() { munmap(data_, bytes_); }
  Repeated(const Repeated&) = delete;
  Repeated& operator=(const Repeated&) = delete;

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  uint64_t bytes_;
  uint8_t* data_;
};

struct Block {
  alignas(16) uint8_t bytes[16];
};

// A plan with state and workspace. Decoupled decay: nothing depends on vbar.
class Huge {
 public:
  Huge(const std::vector<swd_segment>& segments, swd_dtype grad, swd_dtype copy) {
    swd_decay decay = SWD_DECAY_DECOUPLED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.grad_dtype = grad;
    args.copy_dtype = copy;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = &decay;
    args.group_count = 1;
    ok(swd_plan_create(&args, &plan));
    ok(swd_workspace_size(plan, &buffers.workspace_bytes));
    ok(swd_state_size(plan, &buffers.state_bytes));
    workspace_.resize(buffers.workspace_bytes / 16);
    state_.resize(buffers.state_bytes / 16);
    buffers.workspace = workspace_.data();
    buffers.state = state_.data();
    ok(swd_workspace_init(plan, buffers.workspace, buffers.workspace_bytes, nullptr));
    step.groups = &group;
    step.group_count = 1;
  }
  ~Huge() { swd_plan_destroy(plan); }
  void ok(swd_status status) { ASSERT_EQ(status, SWD_OK) << swd_error_detail(); }

  swd_plan* plan = nullptr;
  swd_buffers buffers = SWD_BUFFERS_INIT;
  swd_step_args step = SWD_STEP_ARGS_INIT;
  swd_group group = SWD_GROUP_INIT;

 private:
  std::vector<Block> workspace_, state_;
};

// The norm alone: every gradient is 0.5, the last one 3, so the sum of squares is exact.
void check_norm(int64_t count) {
  Repeated grad(static_cast<uint64_t>(count) * 2);
  const uint16_t half = 0x3F00, three = 0x4040;  // bf16
  uint16_t* g = grad.as<uint16_t>();
  for (int64_t i = 0; i < static_cast<int64_t>(kTile / 2); ++i) g[i] = half;
  for (int64_t i = std::max<int64_t>(0, count - static_cast<int64_t>(kTile / 2)); i < count; ++i) g[i] = half;
  g[count - 1] = three;
  ASSERT_EQ(g[0], half);
  Huge h({{0, count, 0, 0, 0}}, SWD_DTYPE_BF16, SWD_DTYPE_NONE);
  // Reducing reads gradients only: the others are addresses without memory.
  const uint64_t apart = static_cast<uint64_t>(count) * 4;
  uint8_t* nothing = reserve(3 * apart);
  h.buffers.grad = g;
  h.buffers.param = nothing;
  h.buffers.exp_avg = nothing + apart;
  h.buffers.exp_avg_sq = nothing + 2 * apart;
  double whole[kRecordDoubles];
  swd_norm_record record{};
  h.ok(swd_reduce(h.plan, &h.buffers, &h.step, SWD_PHASE_GRAD, 0, 1, nullptr));
  h.ok(swd_fold(h.plan, &h.buffers, &h.step, SWD_PHASE_GRAD, whole, kRecordDoubles, nullptr));
  memcpy(&record, whole, sizeof record);
  EXPECT_EQ(record.sum_sq, 0.25 * static_cast<double>(count - 1) + 9.0);
  EXPECT_EQ(record.count, static_cast<double>(count));
  EXPECT_EQ(record.bad, 0.0);
  g[count - 1] = 0x7F80;  // infinity
  h.ok(swd_reduce(h.plan, &h.buffers, &h.step, SWD_PHASE_GRAD, 0, 1, nullptr));
  h.ok(swd_fold(h.plan, &h.buffers, &h.step, SWD_PHASE_GRAD, whole, kRecordDoubles, nullptr));
  memcpy(&record, whole, sizeof record);
  EXPECT_EQ(record.bad, 1.0);
  munmap(nothing, 3 * apart);
}

TEST(Large, NormAround2To31) {
  for (int64_t count : {(int64_t{1} << 31) - 1, int64_t{1} << 31, (int64_t{1} << 31) + 1}) {
    check_norm(shortened(count, 5000));
  }
}

TEST(Large, NormPast2To32) { check_norm(shortened((int64_t{1} << 32) + 17, 5000)); }

// A whole step. With lr = 0, beta1 = beta2 = 0 it writes the same values wherever an element is mapped: m = g, v = g*g,
// copy = p. The last elements have memory and values of their own: in all arrays the same ones, so tiles end alike.
TEST(Large, StepPast2To31) {
  constexpr int64_t kElements = kTile / sizeof(uint16_t);
  const int64_t count = shortened((int64_t{1} << 31) / kElements, 2) * kElements + 17, tail = count - 1;
  const uint64_t bytes = static_cast<uint64_t>(count) * 4;
  Repeated param(bytes), grad(bytes / 2), exp_avg(bytes), exp_avg_sq(bytes), copy(bytes / 2);
  Huge h({{0, count, 0, 0, 0}}, SWD_DTYPE_BF16, SWD_DTYPE_BF16);
  for (uint64_t i = 0; i < kTile / 4; ++i) param.as<float>()[i] = 1.5f;
  for (uint64_t i = 0; i < kTile / 2; ++i) grad.as<uint16_t>()[i] = 0x3F00;
  param.as<float>()[tail] = -2.5f;
  grad.as<uint16_t>()[tail] = 0x4040;
  h.buffers.param = param.as<void>();
  h.buffers.grad = grad.as<void>();
  h.buffers.exp_avg = exp_avg.as<void>();
  h.buffers.exp_avg_sq = exp_avg_sq.as<void>();
  h.buffers.param_copy = copy.as<void>();
  h.group = {0.0, 0.0, 0.0, 1e-8, 0.1, nullptr, 0.0};
  h.ok(swd_step(h.plan, &h.buffers, &h.step, nullptr));
  EXPECT_EQ(exp_avg.as<float>()[tail], 3.0f);
  EXPECT_EQ(exp_avg_sq.as<float>()[tail], 9.0f);
  EXPECT_EQ(copy.as<uint16_t>()[tail], 0xC020);
  EXPECT_EQ(exp_avg.as<float>()[tail + 1], 0.0f) << "one past the end is untouched";
  EXPECT_EQ(exp_avg.as<float>()[0], 0.5f);
  EXPECT_EQ(exp_avg_sq.as<float>()[count / 2], 0.25f);
  EXPECT_EQ(copy.as<uint16_t>()[0], 0x3FC0);
}

// A flat plan may leave gaps: here the second segment begins past 2^32, and nothing between the two has memory.
TEST(Large, OffsetPast2To32) {
  const int64_t far = (int64_t{1} << 32) + 4096, count = 9;
  const uint64_t bytes = static_cast<uint64_t>(far) * 4 + 4096;
  Huge h({{3, count, 0, 0, 0}, {far, count, 0, 0, 0}}, SWD_DTYPE_F32, SWD_DTYPE_NONE);
  float* arrays[4];
  for (float*& array : arrays) {
    uint8_t* base = reserve(bytes);
    EXPECT_EQ(mprotect(base, 4096, PROT_READ | PROT_WRITE), 0);
    EXPECT_EQ(mprotect(base + bytes - 4096, 4096, PROT_READ | PROT_WRITE), 0);
    array = reinterpret_cast<float*>(base);
  }
  auto [param, grad, exp_avg, exp_avg_sq] = arrays;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t first : {int64_t{3}, far}) {
      param[first + i] = 1.0f;
      grad[first + i] = static_cast<float>(i + 1);
    }
  }
  h.buffers.param = param;
  h.buffers.grad = grad;
  h.buffers.exp_avg = exp_avg;
  h.buffers.exp_avg_sq = exp_avg_sq;
  h.ok(swd_step(h.plan, &h.buffers, &h.step, nullptr));
  for (int64_t i = 0; i < count; ++i) {
    EXPECT_GT(exp_avg[far + i], 0.0f);
    EXPECT_EQ(exp_avg[far + i], exp_avg[3 + i]);
    EXPECT_EQ(exp_avg_sq[far + i], exp_avg_sq[3 + i]);
    EXPECT_LT(param[far + i], 1.0f);
    EXPECT_EQ(param[far + i], param[3 + i]);
  }
  EXPECT_EQ(exp_avg[far + count], 0.0f);
  for (float* array : arrays) munmap(array, bytes);
}

}  // namespace
}  // namespace swd::test
