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
  uint32_t flags = 0;
  std::vector<int64_t> counts;
  std::vector<uint32_t> group_of;  // empty: all in group 0
  std::vector<uint32_t> flags_of;  // SWD_SEGMENT_*; empty: none
  std::vector<swd_decay> decay{SWD_DECAY_SCHEDULED};
  std::vector<swd_group> groups{SWD_GROUP_INIT};
  uint64_t shift = 0;   // array b is misaligned by (b + 1) * shift elements
  uint32_t gap = 0;     // elements between segments of the flat layout
  int32_t threads = 0;  // CPU backend
};

// The layout of a state image, for tests that write into it what swd_state_set refuses.
constexpr uint64_t kStateHeaderBytes = 64, kSegmentStateBytes = 32;

class Runner {
 public:
  explicit Runner(const RunSetup& s) : s_(s) {
    std::vector<swd_segment> segments;
    bool list = (s.flags & SWD_PLAN_LIST) != 0;
    for (size_t k = 0; k < s.counts.size(); ++k) {
      offsets_.push_back(extent_);
      uint32_t group = s.group_of.empty() ? 0 : s.group_of[k];
      segments.push_back({list ? 0 : extent_, s.counts[k], 0, group, s.flags_of.empty() ? 0 : s.flags_of[k]});
      extent_ += s.counts[k] + s.gap;
    }
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.flags = s.flags;
    args.backend = s.backend;
    args.grad_dtype = s.grad;
    args.copy_dtype = s.copy;
    args.threads = s.threads;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = s.decay.data();
    args.group_count = static_cast<uint32_t>(s.decay.size());
    ok(swd_plan_create(&args, &plan_));
    for (int b = 0; b < 6; ++b) make_array(b);
    uint64_t bytes = 0;
    ok(swd_state_size(plan_, &bytes));
    state_ = std::make_unique<DeviceBuffer>(s.backend, bytes);
    state_->fill(0);
    ok(swd_workspace_size(plan_, &bytes));
    workspace_ = std::make_unique<DeviceBuffer>(s.backend, bytes);
    ok(swd_workspace_init(plan_, workspace_->data(), bytes, stream()));
    buffers = SWD_BUFFERS_INIT;
    if (!list) {
      buffers.param = base(SWD_BUFFER_PARAM);
      buffers.grad = base(SWD_BUFFER_GRAD);
      buffers.exp_avg = base(SWD_BUFFER_EXP_AVG);
      buffers.exp_avg_sq = base(SWD_BUFFER_EXP_AVG_SQ);
      buffers.max_exp_avg_sq = base(SWD_BUFFER_MAX_EXP_AVG_SQ);
      buffers.param_copy = base(SWD_BUFFER_PARAM_COPY);
    }
    buffers.state = state_->data();
    buffers.state_bytes = state_->bytes();
    buffers.workspace = workspace_->data();
    buffers.workspace_bytes = bytes;
    missing.assign(s.counts.size(), 0);
    if (list) {
      for (int b = 0; b < 6; ++b) point(b);
    }
    args_ = SWD_STEP_ARGS_INIT;
  }
  ~Runner() {
    synchronize(s_.backend);
    EXPECT_TRUE(canaries_intact());
    EXPECT_EQ(swd_plan_destroy(plan_), SWD_OK);
  }

  void ok(swd_status status) { ASSERT_EQ(status, SWD_OK) << swd_error_detail(); }
  void* stream() const { return test_stream(s_.backend); }
  swd_step_args& args() {
    args_.groups = args_.groups_device ? nullptr : s_.groups.data();
    args_.group_count = static_cast<uint32_t>(s_.groups.size());
    return args_;
  }
  RunSetup& setup() { return s_; }
  swd_plan* plan() { return plan_; }

  void set(int buffer, size_t k, const std::vector<float>& x) {
    if (x.empty()) return;
    if (width(buffer) == 4) return arrays_[buffer]->write(position(buffer, k), x.data(), 4 * x.size());
    std::vector<uint16_t> codes;
    for (float value : x) codes.push_back(nearest_code(s_.grad, value));
    arrays_[buffer]->write(position(buffer, k), codes.data(), 2 * codes.size());
  }
  void set_codes(int buffer, size_t k, const std::vector<uint16_t>& codes) {
    arrays_[buffer]->write(position(buffer, k), codes.data(), 2 * codes.size());
  }
  // The bytes of a whole array, as they are.
  void set_bytes(int buffer, const std::vector<uint8_t>& bytes) {
    arrays_[buffer]->write(0, bytes.data(), bytes.size());
  }
  std::vector<float> get(int buffer, size_t k) {
    std::vector<float> x(static_cast<size_t>(s_.counts[k]));
    if (!x.empty()) arrays_[buffer]->read(position(buffer, k), x.data(), 4 * x.size());
    return x;
  }
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
  swd_stats stats(std::vector<double>* lambda_eff = nullptr) {
    swd_stats out{};
    if (lambda_eff) lambda_eff->resize(s_.decay.size());
    ok(swd_stats_fetch(plan_, workspace_->data(), &out, sizeof out, lambda_eff ? lambda_eff->data() : nullptr,
                       stream()));
    synchronize(s_.backend);
    return out;
  }
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
  std::vector<uint8_t> bytes() {
    std::vector<uint8_t> out = state_->read_all();
    for (auto& array : arrays_) {
      if (!array) continue;
      std::vector<uint8_t> more = array->read_all();
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  }

  // Where element 0 of a segment lies; NULL: the plan has no such buffer.
  void* at(int buffer, size_t k) const {
    return arrays_[buffer] ? arrays_[buffer]->data() + position(buffer, k) : nullptr;
  }
  std::vector<uint8_t> workspace_bytes() { return workspace_->read_all(); }
  bool canaries_intact() const {
    for (auto& array : arrays_) {
      if (array && !array->canaries_intact()) return false;
    }
    return state_->canaries_intact() && workspace_->canaries_intact();
  }

  swd_buffers buffers{};
  std::vector<uint8_t> missing;  // lists: segments without a gradient in the next step

 private:
  uint64_t width(int buffer) const {
    return buffer == SWD_BUFFER_GRAD         ? element_bytes(s_.grad)
           : buffer == SWD_BUFFER_PARAM_COPY ? element_bytes(s_.copy)
                                             : 4;
  }
  uint64_t position(int buffer, size_t k) const { return static_cast<uint64_t>(offsets_[k]) * width(buffer); }
  void* base(int buffer) const { return arrays_[buffer] ? arrays_[buffer]->data() : nullptr; }
  void make_array(int buffer) {
    if (buffer == SWD_BUFFER_MAX_EXP_AVG_SQ && !(s_.flags & SWD_PLAN_AMSGRAD)) return;
    if (buffer == SWD_BUFFER_PARAM_COPY && s_.copy == SWD_DTYPE_NONE) return;
    uint64_t shift = static_cast<uint64_t>(buffer + 1) * s_.shift * width(buffer);
    arrays_[buffer] = std::make_unique<DeviceBuffer>(s_.backend, static_cast<uint64_t>(extent_) * width(buffer), shift);
    if (buffer != SWD_BUFFER_PARAM_COPY && buffer != SWD_BUFFER_GRAD) {
      for (size_t k = 0; k < s_.counts.size(); ++k)
        set(buffer, k, std::vector<float>(static_cast<size_t>(s_.counts[k])));
    }
  }
  void point(int buffer) {
    if (!arrays_[buffer]) return;
    std::vector<const void*> pointers;
    for (size_t k = 0; k < s_.counts.size(); ++k) {
      pointers.push_back(buffer == SWD_BUFFER_GRAD && missing[k] ? nullptr : at(buffer, k));
    }
    ok(swd_set_pointers(plan_, workspace_->data(), buffer, 0, static_cast<int64_t>(pointers.size()), pointers.data(),
                        stream()));
  }

  RunSetup s_;
  swd_plan* plan_ = nullptr;
  int64_t extent_ = 0;
  std::vector<int64_t> offsets_;
  std::unique_ptr<DeviceBuffer> arrays_[6], state_, workspace_;
  swd_step_args args_{};
};

}  // namespace swd::test
