// SPDX-License-Identifier: Apache-2.0
// A small model that is trained through the C ABI and hashed. Used by the tests of the CPU backend that compare whole
// runs with each other: thread counts, instruction sets, processes, floating-point environments.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "swd/swd.h"

namespace swd::test {

struct ModelCase {
  swd_dtype grad = SWD_DTYPE_F32;
  swd_dtype copy = SWD_DTYPE_NONE;
  uint32_t plan_flags = 0;
  std::vector<int64_t> counts;                        // of the segments
  std::vector<swd_decay> decay{SWD_DECAY_SCHEDULED};  // of the groups; segment k is in group k modulo their number
  double beta1 = 0.9, beta2 = 0.999;
  int32_t threads = 1;
  uint64_t seed = 1;
};

// Sizes around every boundary of the loops, and enough of them for several threads.
inline std::vector<int64_t> awkward_counts() {
  return {0, 1, 255, 256, 257, 1023, 4095, 4096, 4097, 0, 8192, 70001, 3, 131072, 200003};
}

// A plan may be shared: `shared` is then used instead of an own one.
class Model {
 public:
  explicit Model(const ModelCase& c, const swd_plan* shared = nullptr) : c_(c), random_(c.seed) {
    Args args = args_of(c);
    if (!shared) ok(swd_plan_create(args.get(), &own_));
    plan_ = shared ? shared : own_;
    int64_t extent = args.extent;
    param_ = floats(extent, 1.0);
    exp_avg_ = floats(extent, 0.0);
    exp_avg_sq_ = floats(extent, 0.0);
    max_exp_avg_sq_ = floats(extent, 0.0);
    grad_.resize(static_cast<size_t>(extent) * (c.grad == SWD_DTYPE_F32 ? 4 : 2));
    param_copy_.resize(static_cast<size_t>(extent));
    uint64_t bytes = 0;
    ok(swd_state_size(plan_, &bytes));
    state_.resize(bytes / 16);
    ok(swd_workspace_size(plan_, &bytes));
    workspace_.resize(bytes / 16);
    ok(swd_workspace_init(plan_, workspace_.data(), workspace_.size() * 16, nullptr));
  }
  ~Model() { swd_plan_destroy(own_); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // The arguments of a plan for the case, and what their pointers point to.
  struct Args {
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    std::vector<swd_segment> segments;
    int64_t extent = 0;
    std::vector<swd_decay> decay;
    const swd_plan_args* get() {
      args.segments = segments.data();
      args.segment_count = static_cast<int64_t>(segments.size());
      args.decay_modes = decay.data();
      args.group_count = static_cast<uint32_t>(decay.size());
      return &args;
    }
  };
  static Args args_of(const ModelCase& c) {
    Args out;
    out.args.grad_dtype = c.grad;
    out.args.copy_dtype = c.copy;
    out.args.flags = c.plan_flags;
    out.args.threads = c.threads;
    out.decay = c.decay;
    for (size_t k = 0; k < c.counts.size(); ++k) {
      out.segments.push_back({out.extent, c.counts[k], 0, static_cast<uint32_t>(k % c.decay.size()), 0});
      out.extent += c.counts[k] + 3;  // gaps, and every alignment
    }
    return out;
  }

  // One step on gradients of magnitude `scale`. False if a call failed.
  bool step(double scale) {
    prepare(scale);
    apply();
    return all_ok_;
  }

  // What must be done before apply(), which then does nothing but the call.
  void prepare(double scale) {
    for (size_t i = 0; i < param_.size(); ++i) {
      float x = static_cast<float>(scale * random());
      uint32_t bits;
      memcpy(&bits, &x, 4);
      // Random half-precision codes would be mostly huge; the upper half of fp32 is bf16, and an fp16 below 2.
      uint16_t half = static_cast<uint16_t>(c_.grad == SWD_DTYPE_BF16 ? bits >> 16 : (bits >> 13) & 0xBBFFu);
      if (c_.grad == SWD_DTYPE_F32) memcpy(&grad_[4 * i], &x, 4);
      if (c_.grad != SWD_DTYPE_F32) memcpy(&grad_[2 * i], &half, 2);
    }
    groups_.assign(c_.decay.size(), swd_group{1e-3, c_.beta1, c_.beta2, 1e-8, 1e-4, nullptr, 0.0});
    buffers_.param = param_.data();
    buffers_.grad = grad_.data();
    buffers_.exp_avg = exp_avg_.data();
    buffers_.exp_avg_sq = exp_avg_sq_.data();
    buffers_.max_exp_avg_sq = c_.plan_flags & SWD_PLAN_AMSGRAD ? max_exp_avg_sq_.data() : nullptr;
    buffers_.param_copy = c_.copy == SWD_DTYPE_NONE ? nullptr : param_copy_.data();
    buffers_.state = state_.data();
    buffers_.state_bytes = state_.size() * 16;
    buffers_.workspace = workspace_.data();
    buffers_.workspace_bytes = workspace_.size() * 16;
    step_.groups = groups_.data();
    step_.group_count = static_cast<uint32_t>(groups_.size());
    step_.max_grad_norm = 1.0;
    step_.loss_scale = 4.0;
  }

  void apply() { ok(swd_step(plan_, &buffers_, &step_, nullptr)); }

  // Several steps: ordinary ones, one whose squares leave the range of fp32 in every way, one with an infinite
  // gradient.
  bool train() {
    bool done = step(1.0) && step(0.01) && step(1e-21) && step(c_.grad == SWD_DTYPE_F32 ? 1e22 : 1.0);
    prepare(1.0);
    if (!grad_.empty()) memcpy(&grad_[first_element()], infinity(), c_.grad == SWD_DTYPE_F32 ? 4 : 2);
    apply();
    return done && step(1.0);
  }

  swd_stats stats() {
    swd_stats out{};
    ok(swd_stats_fetch(plan_, workspace_.data(), &out, sizeof out, nullptr, nullptr));
    return out;
  }

  // Of everything a step leaves behind.
  uint64_t hash() {
    uint64_t h = 0xCBF29CE484222325u;
    add(h, param_);
    add(h, exp_avg_);
    add(h, exp_avg_sq_);
    add(h, max_exp_avg_sq_);
    add(h, param_copy_);
    add(h, state_);
    swd_stats s = stats();
    for (double* x : {&s.grad_norm, &s.vbar, &s.inv_sqrt_vbar, &s.largest_decay, &s.param_norm, &s.update_norm}) {
      if (std::isnan(*x)) *x = -1.0;  // the payload of a NaN is outside the promise
    }
    add(h, std::vector<swd_stats>{s});
    return all_ok_ ? h : 0;
  }

 private:
  struct alignas(16) Block {
    uint8_t bytes[16];
  };

  void ok(swd_status status) { all_ok_ = all_ok_ && status == SWD_OK; }

  double random() {  // splitmix64, in [-1, 1)
    uint64_t x = random_ += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return static_cast<double>((x ^ (x >> 31)) >> 40) * 0x1p-23 - 1.0;
  }

  std::vector<float> floats(int64_t n, double scale) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& x : out) x = scale == 0.0 ? 0.0f : static_cast<float>(scale * random());
    return out;
  }

  // The byte of the gradient where the first segment with elements begins.
  size_t first_element() const {
    size_t k = 0;
    while (k < c_.counts.size() && c_.counts[k] == 0) ++k;
    return 3 * k * (c_.grad == SWD_DTYPE_F32 ? 4 : 2);
  }

  const void* infinity() const {
    static const uint32_t f32 = 0x7F800000u;
    static const uint16_t bf16 = 0x7F80u, f16 = 0x7C00u;
    if (c_.grad == SWD_DTYPE_F32) return &f32;
    return c_.grad == SWD_DTYPE_BF16 ? &bf16 : &f16;
  }

  template <class T>
  static void add(uint64_t& h, const std::vector<T>& data) {
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(data.data());
    for (size_t i = 0; i < data.size() * sizeof(T); ++i) h = (h ^ bytes[i]) * 0x100000001B3u;
  }

  ModelCase c_;
  uint64_t random_;
  bool all_ok_ = true;
  swd_plan* own_ = nullptr;
  const swd_plan* plan_ = nullptr;
  std::vector<float> param_, exp_avg_, exp_avg_sq_, max_exp_avg_sq_;
  std::vector<uint8_t> grad_;
  std::vector<uint16_t> param_copy_;
  std::vector<Block> state_, workspace_;
  std::vector<swd_group> groups_;
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
  swd_step_args step_ = SWD_STEP_ARGS_INIT;
};

}  // namespace swd::test
