// SPDX-License-Identifier: Apache-2.0
// A plan with all its buffers, guarded, on either backend, flat or as a list. Used by the tests that compare whole
// runs.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

#include "support/device_buffer.h"
#include "support/numbers.h"

namespace swd::test {

struct RunSetup {
  swd_backend backend = SWD_BACKEND_CPU;
  swd_dtype grad = SWD_DTYPE_F32, copy = SWD_DTYPE_NONE;
  swd_dtype param = SWD_DTYPE_F32, moment = SWD_DTYPE_F32, remainder = SWD_DTYPE_NONE;
  uint32_t flags = 0;
  std::vector<int64_t> counts;
  std::vector<uint32_t> group_of;  // empty: all in group 0
  std::vector<uint32_t> flags_of;  // SWD_SEGMENT_*; empty: none
  std::vector<int64_t> index_of;   // with SWD_PLAN_INDEXED
  std::vector<swd_decay> decay{SWD_DECAY_SCHEDULED};
  std::vector<swd_group> groups{SWD_GROUP_INIT};
  uint64_t shift = 0;   // array b is misaligned by (b + 1) * shift elements
  uint32_t gap = 0;     // elements between segments of the flat layout
  int32_t threads = 0;  // CPU backend
  uint64_t seed = 0;    // of the rounding bits
};

constexpr int kBuffers = 9;  // SWD_BUFFER_*

// The layout of a state image, for tests that write into it what swd_state_set refuses.
constexpr uint64_t kStateHeaderBytes = 64, kSegmentStateBytes = 32;

class Runner {
 public:
  explicit Runner(const RunSetup& s);
  ~Runner();

  void ok(swd_status status) { ASSERT_EQ(status, SWD_OK) << swd_error_detail(); }
  void* stream() const { return test_stream(s_.backend); }
  swd_step_args& args() {
    args_.groups = args_.groups_device ? nullptr : s_.groups.data();
    args_.group_count = static_cast<uint32_t>(s_.groups.size());
    return args_;
  }
  RunSetup& setup() { return s_; }
  swd_plan* plan() { return plan_; }

  // Narrow parameters and moments go through swd_state_load, to nearest; a flat plan loads all segments anew then.
  void set(int buffer, size_t k, const std::vector<float>& x);
  void set_codes(int buffer, size_t k, const std::vector<uint16_t>& codes) {
    arrays_[buffer]->write(position(buffer, k), codes.data(), 2 * codes.size());
  }
  // The bytes of a whole array, as they are.
  void set_bytes(int buffer, const std::vector<uint8_t>& bytes) {
    arrays_[buffer]->write(0, bytes.data(), bytes.size());
  }
  // And through swd_state_store: exp_avg_sq is the second moment itself.
  std::vector<float> get(int buffer, size_t k);
  std::vector<uint16_t> get_codes(int buffer, size_t k) {
    std::vector<uint16_t> codes(static_cast<size_t>(s_.counts[k]));
    if (!codes.empty()) arrays_[buffer]->read(position(buffer, k), codes.data(), 2 * codes.size());
    return codes;
  }
  // Lists: moves the gradient pointers to what `missing` says.
  void point_gradients() {
    if (s_.flags & SWD_PLAN_LIST) point(SWD_BUFFER_GRAD);
  }
  void step() {
    point_gradients();
    ok(swd_step(plan_, &buffers, &args(), stream()));
  }
  swd_stats stats(std::vector<double>* lambda_eff = nullptr);
  std::vector<uint8_t> image() {
    synchronize(s_.backend);
    return state_->read_all();
  }
  void set_segment_state(size_t k, const swd_segment_state& in) {
    state_->write(kStateHeaderBytes + k * kSegmentStateBytes, &in, sizeof in);
  }
  void set_image(const std::vector<uint8_t>& image) { state_->write(0, image.data(), image.size()); }
  swd_segment_state segment_state(size_t k) {
    std::vector<uint8_t> image = this->image();
    swd_segment_state out{};
    ok(swd_state_get(plan_, image.data(), image.size(), static_cast<int64_t>(k), &out, sizeof out));
    return out;
  }
  // Every byte of every array and of the state.
  std::vector<uint8_t> bytes();
  // The bytes of one segment in one of the arrays, as they are stored.
  std::vector<uint8_t> stored(int buffer, size_t k);
  void set_stored(int buffer, size_t k, const std::vector<uint8_t>& bytes);
  uint64_t array_bytes(int buffer) const { return arrays_[buffer] ? arrays_[buffer]->bytes() : 0; }
  uint8_t array_byte(int buffer, uint64_t at) const {
    uint8_t byte;
    arrays_[buffer]->read(at, &byte, 1);
    return byte;
  }

  // Where element 0 of a segment lies; NULL: the plan has no such buffer.
  void* at(int buffer, size_t k) const {
    return arrays_[buffer] ? arrays_[buffer]->data() + position(buffer, k) : nullptr;
  }
  std::vector<uint8_t> workspace_bytes() { return workspace_->read_all(); }
  bool canaries_intact() const;

  swd_buffers buffers{};
  std::vector<uint8_t> missing;  // lists: segments without a gradient in the next step

 private:
  bool is_list() const { return (s_.flags & SWD_PLAN_LIST) != 0; }
  bool is_narrow(int buffer) const;
  uint64_t width(int buffer) const;  // bytes of an element, or of a block's scale
  uint64_t stored_bytes(int buffer, size_t k) const;
  uint64_t position(int buffer, size_t k) const;
  void* base(int buffer) const { return arrays_[buffer] ? arrays_[buffer]->data() : nullptr; }
  void make_plan();
  void make_array(int buffer);
  void point(int buffer);
  template <class F>
  void convert(int buffer, size_t k, const F& f);

  RunSetup s_;
  swd_plan* plan_ = nullptr;
  int64_t extent_ = 0;
  std::vector<int64_t> offsets_;
  std::vector<uint64_t> scale_offsets_;  // with BLOCK8
  std::unique_ptr<DeviceBuffer> arrays_[kBuffers], state_, workspace_, fp32_;
  swd_step_args args_{};
};

}  // namespace swd::test
