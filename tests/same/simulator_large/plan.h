// SPDX-License-Identifier: Apache-2.0
// A plan of a segment past 2^31 or 2^32 elements and a small one behind it, on the simulated device, and a small plan
// on the CPU whose segments are the parts of it that are looked at. Used by simulator_large_test.cpp.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "support/buffer_bases.h"
#include "support/narrow.h"

namespace swd::test {

constexpr int64_t kHead = 2 * 4096, kTail = 2 * 4096 + 77, kBehindCount = 4096 + 1027;
// Elements of the large segment: whole chunks, and what the last of its parts has beyond them.
constexpr int64_t kPast31 = (int64_t{1} << 31) + 5 * 4096 + 77, kPast32 = (int64_t{1} << 32) + 5 * 4096 + 77;
enum Part : size_t { kBeginning, kEnd, kBehind };  // of the large segment, of it, the segment behind it

// Memory for the largest plan, made once: whose pages nobody touches it costs addresses only. All zero between plans.
struct LargeArrays {
  LargeArrays() {
    if (!getenv("CUDASIM_ENDS") || !getenv("CUDASIM_POISON") || !getenv("CUDASIM_MEM_MB")) {
      throw std::runtime_error("run with CUDASIM_ENDS=8 CUDASIM_POISON=0 CUDASIM_MEM_MB=140000, as ctest does");
    }
    const uint64_t n = static_cast<uint64_t>(kPast32 + kBehindCount) + 64;
    const uint64_t bytes[kBuffers] = {4 * n, 4 * n, 4 * n, 4 * n, 4 * n, 2 * n, 2 * n, n / 64, n / 64};
    for (int b = 0; b < kBuffers; ++b) of[b] = make(bytes[b]);
    fp32 = make(4 * n);
  }
  static std::unique_ptr<DeviceBuffer> make(uint64_t bytes) {
    return std::make_unique<DeviceBuffer>(SWD_BACKEND_CUDA, bytes, 0, Poison::kCanaries);
  }
  std::unique_ptr<DeviceBuffer> of[kBuffers], fp32;
};

inline swd_fp32_arrays fp32_arrays(int buffer, const void* base) {
  swd_fp32_arrays out = SWD_FP32_ARRAYS_INIT;
  (buffer == SWD_BUFFER_PARAM ? out.param : buffer == SWD_BUFFER_EXP_AVG ? out.exp_avg : out.exp_avg_sq) = base;
  return out;
}

class LargePlan {
 public:
  LargePlan(LargeArrays& arrays, const RunSetup& s, int64_t count) : arrays_(arrays), s_(s), count_(count) {
    bool list = (s.flags & SWD_PLAN_LIST) != 0;
    swd_segment segments[2] = {{0, count, 0, 0, 0}, {list ? 0 : count, kBehindCount, count, 0, 0}};
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.flags = s.flags | SWD_PLAN_INDEXED;
    args.backend = SWD_BACKEND_CUDA;
    args.param_dtype = s.param;
    args.grad_dtype = s.grad;
    args.copy_dtype = s.copy;
    args.moment_dtype = s.moment;
    args.remainder_dtype = s.remainder;
    args.segments = segments;
    args.segment_count = 2;
    args.decay_modes = s.decay.data();
    args.group_count = 1;
    ok(swd_plan_create(&args, &plan));
    uint64_t bytes = 0;
    ok(swd_workspace_size(plan, &bytes));
    workspace = LargeArrays::make(bytes);
    ok(swd_workspace_init(plan, workspace->data(), bytes, stream()));
    buffers.workspace = workspace->data();
    buffers.workspace_bytes = bytes;
    ok(swd_state_size(plan, &bytes));
    state_ = std::make_unique<DeviceBuffer>(SWD_BACKEND_CUDA, bytes);
    state_->fill(0);
    buffers.state = state_->data();
    buffers.state_bytes = bytes;
  }
  ~LargePlan() {
    for (const Window& w : windows_) arrays_.of[w.buffer]->write(w.at, std::vector<uint8_t>(w.bytes).data(), w.bytes);
    for (size_t k = 0; k < 3; ++k) set_fp32(k, std::vector<float>(static_cast<size_t>(part_count(k))));
    EXPECT_EQ(swd_plan_destroy(plan), SWD_OK);
  }
  LargePlan(const LargePlan&) = delete;
  LargePlan& operator=(const LargePlan&) = delete;

  void* stream() const { return test_stream(SWD_BACKEND_CUDA); }

  // The small plan: a segment for each part.
  RunSetup parts() const {
    RunSetup out = s_;
    out.flags |= SWD_PLAN_INDEXED;
    out.shift = 0;
    out.threads = 1;
    out.counts = {kHead, kTail, kBehindCount};
    out.index_of = {0, count_ - kTail, count_};
    return out;
  }

  // Takes what the small plan stores, and begins with it.
  void take(Runner& from) {
    for (int b = 0; b < kBuffers; ++b) {
      if (!from.at(b, 0)) continue;
      for (size_t k = 0; k < 3; ++k) {
        std::vector<uint8_t> bytes = from.stored(b, k);
        windows_.push_back({b, k, at(b, k), bytes.size()});
        arrays_.of[b]->write(at(b, k), bytes.data(), bytes.size());
      }
      place(b);
    }
  }

  // Everything that the small plan stores is the same here.
  void expect_equal(Runner& to, const char* what) {
    synchronize(SWD_BACKEND_CUDA);
    for (const Window& w : windows_) {
      std::vector<uint8_t> bytes(w.bytes);
      arrays_.of[w.buffer]->read(w.at, bytes.data(), w.bytes);
      EXPECT_TRUE(bytes == to.stored(w.buffer, w.part)) << what << ": buffer " << w.buffer << ", part " << w.part;
    }
  }

  using Convert = swd_status (*)(const swd_plan*, const swd_buffers*, const swd_fp32_arrays*, void*);
  void convert(int buffer, Convert call) {
    const void* tensors[2] = {arrays_.fp32->data(), arrays_.fp32->data() + fp32_at(kBehind)};
    bool list = (s_.flags & SWD_PLAN_LIST) != 0;
    swd_fp32_arrays arrays = fp32_arrays(buffer, list ? static_cast<const void*>(tensors) : tensors[0]);
    ok(call(plan, &buffers, &arrays, stream()));
    synchronize(SWD_BACKEND_CUDA);
  }
  std::vector<float> fp32(size_t k) {
    std::vector<float> out(static_cast<size_t>(part_count(k)));
    arrays_.fp32->read(fp32_at(k), out.data(), 4 * out.size());
    return out;
  }
  void set_fp32(size_t k, const std::vector<float>& x) { arrays_.fp32->write(fp32_at(k), x.data(), 4 * x.size()); }

  swd_plan* plan = nullptr;
  swd_buffers buffers = SWD_BUFFERS_INIT;
  std::unique_ptr<DeviceBuffer> workspace;

 private:
  struct Window {
    int buffer;
    size_t part;
    uint64_t at;
    size_t bytes;
  };

  static void ok(swd_status status) { ASSERT_EQ(status, SWD_OK) << swd_error_detail(); }
  static int64_t part_count(size_t k) { return k == kBeginning ? kHead : k == kEnd ? kTail : kBehindCount; }
  int64_t element(size_t k) const { return k == kBeginning ? 0 : k == kEnd ? count_ - kTail : count_; }
  uint64_t width(int b) const {
    const uint64_t widths[] = {
        element_bytes(s_.param), element_bytes(s_.grad),     element_bytes(s_.moment), element_bytes(s_.moment), 4,
        element_bytes(s_.copy),  element_bytes(s_.remainder)};
    return widths[b];
  }
  // Where in its buffer a part lies.
  uint64_t at(int b, size_t k) const {
    if (b < SWD_BUFFER_EXP_AVG_SCALE) return (static_cast<uint64_t>(element(k)) + s_.shift) * width(b);
    return static_cast<uint64_t>(k == kBehind ? (count_ + 4095) / 4096 * 32 : element(k) / 128);
  }
  uint64_t fp32_at(size_t k) const { return 4 * static_cast<uint64_t>(element(k)); }

  // Where the buffer begins, for the next calls.
  void place(int b) {
    void* base = arrays_.of[b]->data() + at(b, kBeginning);
    if (s_.flags & SWD_PLAN_LIST) {
      const void* tensors[2] = {base, arrays_.of[b]->data() + at(b, kBehind)};
      return ok(swd_set_pointers(plan, workspace->data(), b, 0, 2, tensors, stream()));
    }
    set_base(buffers, b, base);
  }

  LargeArrays& arrays_;
  RunSetup s_;
  int64_t count_;
  std::vector<Window> windows_;
  std::unique_ptr<DeviceBuffer> state_;
};

}  // namespace swd::test
