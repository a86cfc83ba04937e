// SPDX-License-Identifier: Apache-2.0
// One optimizer as a test sees it: a plan and all its buffers, guarded, behind the C ABI. Used by every test.
#pragma once
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device_buffer.h"
#include "numbers.h"

namespace swd::test {

constexpr int kBuffers = 6;  // SWD_BUFFER_*

struct SegmentSpec {
  int64_t count = 0;
  uint32_t group = 0;
  uint32_t flags = 0;
  int64_t index = 0;
};

// What a test varies. The default is one scheduled group in fp32 on the backend under test.
struct Spec {
  swd_backend backend = backend_under_test();
  swd_dtype grad_dtype = SWD_DTYPE_F32;
  swd_dtype copy_dtype = SWD_DTYPE_NONE;
  bool list = false;
  uint32_t flags = 0;  // SWD_PLAN_* but SWD_PLAN_LIST
  int threads = 0;
  int64_t gap = 0;                          // elements between segments, in a list between its tensors
  std::array<int, kBuffers> shift{};        // by how many elements the base of each buffer is misaligned
  std::vector<SegmentSpec> segments;
  std::vector<swd_decay> decay{SWD_DECAY_SCHEDULED};
};

// n segments of the same group.
std::vector<SegmentSpec> segments_of(const std::vector<int64_t>& counts);

class Optimizer {
 public:
  explicit Optimizer(const Spec& spec);
  ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  const Spec& spec() const { return spec_; }
  const swd_plan* plan() const { return plan_; }
  swd_buffers& buffers() { return buffers_; }
  int64_t segments() const { return static_cast<int64_t>(spec_.segments.size()); }
  int64_t count(int64_t k) const { return spec_.segments[static_cast<size_t>(k)].count; }

  // Used by every call below; `groups` goes along unless args.groups_device is set.
  swd_step_args args = SWD_STEP_ARGS_INIT;
  std::vector<swd_group> groups;

  // Values of segment k in a buffer; written ones are rounded to the buffer's dtype.
  void set(swd_buffer buffer, int64_t k, const std::vector<float>& values);
  std::vector<float> get(swd_buffer buffer, int64_t k) const;
  void set_param(int64_t k, const std::vector<float>& values) { set(SWD_BUFFER_PARAM, k, values); }
  std::vector<float> param(int64_t k) const { return get(SWD_BUFFER_PARAM, k); }
  std::vector<uint16_t> copy_codes(int64_t k) const;
  void set_grad_codes(int64_t k, const std::vector<uint16_t>& codes);

  // Gives segment k this gradient, or takes it away: by has_grad in a flat plan, by a NULL pointer in a list.
  void set_grad(int64_t k, const std::vector<float>& values);
  void clear_grad(int64_t k);
  // Lists: say a missing gradient by has_grad too, not by NULL.
  void use_has_grad_bytes();
  uint8_t* has_grad_bytes() const { return has_grad_.data(); }

  // Parameters uniform, moments 0, gradients uniform: different in every segment, the same for every layout.
  void fill_random(uint64_t seed);
  void random_grads(uint64_t seed, int64_t step, float scale = 1.0f);

  // Each expects SWD_OK and waits for the stream.
  void step();
  void reduce(swd_phase phase, int64_t first, int64_t segment_count);
  void fold(swd_phase phase);
  void finalize(swd_phase phase);
  void update();
  void discard();
  void rebuild();
  // One step by the calls above; the segments are reduced in these ranges {first, count}.
  void step_in_pieces(const std::vector<std::pair<int64_t, int64_t>>& ranges);
  bool needs_max() const;

  // The record that the pieces fold into and finalize from.
  swd_norm_record record() const;
  void set_record(const swd_norm_record& record);

  swd_stats stats() const;
  std::vector<double> lambda_eff() const;

  swd_segment_state segment_state(int64_t k) const;
  void set_segment_state(int64_t k, int64_t step, double sum);
  std::vector<uint8_t> state_image() const;
  void set_state_image(const std::vector<uint8_t>& image);

  // Every value of every segment and the state, in an order that no layout changes, one NaN for all. Gradients are
  // left out: no call may change them, which bits_outside() shows.
  std::vector<uint32_t> bits() const;
  // All bytes that no call may change: gradients and the gaps between segments.
  std::vector<uint8_t> bytes_outside() const;
  bool canaries_intact() const;

 private:
  swd_dtype dtype_of(int buffer) const;
  uint64_t at(int buffer, int64_t k) const;  // byte offset of segment k from the buffer's base
  void create_plan();
  void set_pointer(swd_buffer buffer, int64_t k, const void* pointer);
  const swd_step_args* ready_args();
  void expect_ok(swd_status status, const char* call) const;

  Spec spec_;
  std::vector<int64_t> offsets_;
  int64_t extent_ = 0;
  swd_plan* plan_ = nullptr;
  std::array<std::unique_ptr<DeviceBuffer>, kBuffers> memory_;
  std::unique_ptr<DeviceBuffer> state_, workspace_, record_;
  DeviceBuffer has_grad_;
  bool has_grad_bytes_ = false;
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
};

// Whether two results of bits() are equal, and if not, where they first differ.
::testing::AssertionResult same_bits(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b);

}  // namespace swd::test
