// SPDX-License-Identifier: Apache-2.0
// A few steps of a drawn training, on each instruction set that this machine has and by the oracle: all must agree to
// the bit, NaN payloads excepted. Defines the library's choice of loops itself: the linker takes isa.cpp out of the
// static library only where nobody else defines what stands there.
#include <memory>

#include "diff_case.h"
#include "kernels/cpu/isa.h"

namespace swd::cpu {

static const Loops* (*picked)(const Dtypes&) = loops_base;
const Loops& loops_for(const Dtypes& dtypes) { return *picked(dtypes); }
const char* isa_name() { return "fuzz"; }

}  // namespace swd::cpu

namespace swd::fuzz {
namespace {

// The library's side: a plan and a workspace for one instruction set.
class Machine {
 public:
  Machine(const Case& c, decltype(cpu::picked) loops) : loops_(loops), t(c.start) {
    std::vector<swd_segment> segments;
    int64_t offset = 0;
    for (const Segment& s : t.segments) {
      segments.push_back({offset, s.count, 0, s.group, s.flags});
      offset += s.count;
    }
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.flags = t.plan_flags;
    args.grad_dtype = c.grad_dtype;
    args.copy_dtype = t.copy_dtype;
    args.param_dtype = t.param_dtype;
    args.moment_dtype = t.moment_dtype;
    args.remainder_dtype = t.remainder_dtype;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = t.decay.data();
    args.group_count = 2;
    args.threads = 1;
    must(swd_plan_create(&args, &plan_));
    uint64_t bytes = 0;
    must(swd_workspace_size(plan_, &bytes));
    workspace_.resize(bytes / 8);
    must(swd_workspace_init(plan_, workspace_.data(), bytes, nullptr));
    image_.resize(8 + 4 * t.states.size());
    bytes = 8 * image_.size();
    must(swd_state_header_set(plan_, image_.data(), bytes, &t.counts, sizeof t.counts));
    for (size_t k = 0; k < t.states.size(); ++k) {
      must(swd_state_set(plan_, image_.data(), bytes, static_cast<int64_t>(k), &t.states[k], sizeof t.states[k]));
    }
  }
  ~Machine() { swd_plan_destroy(plan_); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void step(const Case& c) {
    cpu::picked = loops_;
    std::vector<uint64_t>& image = image_;
    uint64_t bytes = 8 * image.size();
    const void* grad =
        c.grad_dtype == SWD_DTYPE_F32 ? static_cast<const void*>(c.start.grad.data()) : c.grad_codes.data();
    const bool split = t.param_dtype != SWD_DTYPE_F32, narrow = t.moment_dtype != SWD_DTYPE_F32;
    swd_buffers b = {sizeof b,
                     0,
                     split ? at(SWD_BUFFER_PARAM) : t.param.data(),
                     grad,
                     narrow ? at(SWD_BUFFER_EXP_AVG) : t.exp_avg.data(),
                     narrow ? at(SWD_BUFFER_EXP_AVG_SQ) : t.exp_avg_sq.data(),
                     t.plan_flags & SWD_PLAN_AMSGRAD ? t.max_exp_avg_sq.data() : nullptr,
                     t.copy_dtype != SWD_DTYPE_NONE ? t.param_copy.data() : nullptr,
                     image.data(),
                     8 * image.size(),
                     workspace_.data(),
                     8 * workspace_.size(),
                     at(SWD_BUFFER_REMAINDER),
                     at(SWD_BUFFER_EXP_AVG_SCALE),
                     at(SWD_BUFFER_EXP_AVG_SQ_SCALE)};
    swd_step_args a = {
        sizeof a,          t.step_flags,    t.groups.data(), nullptr,         2, 0, t.loss_scale, nullptr, &t.found_inf,
        t.has_grad.data(), t.max_grad_norm, t.max_decay,     t.reference_step};
    must(swd_step(plan_, &b, &a, nullptr));
    must(swd_state_header_get(plan_, image.data(), bytes, &t.counts, sizeof t.counts));
    for (size_t k = 0; k < t.states.size(); ++k) {
      must(swd_state_get(plan_, image.data(), bytes, static_cast<int64_t>(k), &t.states[k], sizeof t.states[k]));
    }
    must(swd_stats_fetch(plan_, workspace_.data(), &t.stats, sizeof t.stats, nullptr, nullptr));
  }

 private:
  void* at(int buffer) {
    std::vector<uint8_t>& codes = t.codes[buffer];
    bool wanted = buffer == SWD_BUFFER_REMAINDER       ? t.remainder_dtype != SWD_DTYPE_NONE
                  : buffer >= SWD_BUFFER_EXP_AVG_SCALE ? t.moment_dtype == SWD_DTYPE_BLOCK8
                                                       : true;
    if (codes.empty() && wanted) codes.reserve(16);  // no elements: an address all the same
    return wanted ? codes.data() : nullptr;
  }
  static void must(swd_status status) { SWD_FUZZ_EXPECT(status == SWD_OK); }

  decltype(cpu::picked) loops_;
  swd_plan* plan_ = nullptr;
  std::vector<uint64_t> workspace_, image_;

 public:
  Training t;
};

bool same(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }
bool same(float a, float b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }
bool same(uint16_t a, uint16_t b) { return a == b; }

template <class T>
void expect_same(const std::vector<T>& a, const std::vector<T>& b) {
  SWD_FUZZ_EXPECT(a.size() == b.size());
  if (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0) return;
  for (size_t i = 0; i < a.size(); ++i) SWD_FUZZ_EXPECT(same(a[i], b[i]));
}

void expect_same(const Training& a, const Training& b) {
  SWD_FUZZ_EXPECT(a.stats.result == b.stats.result && a.stats.flags == b.stats.flags);
  SWD_FUZZ_EXPECT(a.stats.steps_applied == b.stats.steps_applied && a.stats.steps_skipped == b.stats.steps_skipped);
  for (double swd_stats::*x : {&swd_stats::grad_norm, &swd_stats::clip_coef, &swd_stats::vbar,
                               &swd_stats::inv_sqrt_vbar, &swd_stats::largest_decay, &swd_stats::bad,
                               &swd_stats::param_norm, &swd_stats::update_norm, &swd_stats::vbar_reference}) {
    if (!same(a.stats.*x, b.stats.*x)) fprintf(stderr, "%.17g, but the oracle has %.17g\n", a.stats.*x, b.stats.*x);
    SWD_FUZZ_EXPECT(same(a.stats.*x, b.stats.*x));
  }
  if (a.param_dtype == SWD_DTYPE_F32) expect_same(a.param, b.param);
  if (a.moment_dtype == SWD_DTYPE_F32) expect_same(a.exp_avg, b.exp_avg);
  if (a.moment_dtype == SWD_DTYPE_F32) expect_same(a.exp_avg_sq, b.exp_avg_sq);
  for (int buffer = 0; buffer < 9; ++buffer) SWD_FUZZ_EXPECT(a.codes[buffer] == b.codes[buffer]);
  expect_same(a.max_exp_avg_sq, b.max_exp_avg_sq);
  expect_same(a.param_copy, b.param_copy);
  for (size_t k = 0; k < a.states.size(); ++k) {
    SWD_FUZZ_EXPECT(a.states[k].step == b.states[k].step &&
                    a.states[k].exp_avg_sq_unit == b.states[k].exp_avg_sq_unit &&
                    same(a.states[k].exp_avg_sq_sum, b.states[k].exp_avg_sq_sum));
  }
  SWD_FUZZ_EXPECT(memcmp(&a.counts, &b.counts, sizeof a.counts) == 0);
}

bool runs_here(decltype(cpu::picked) loops) {
  if (loops == cpu::loops_base) return true;
  if (loops(Dtypes{kF32, kF32, kNone, kF32, kNone}) == nullptr) return false;
  return loops == cpu::loops_v3 ? __builtin_cpu_supports("avx2") != 0 : __builtin_cpu_supports("avx512bw") != 0;
}

}  // namespace
}  // namespace swd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swd::fuzz;
  Input in(data, size);
  Case c = draw_case(in);
  Training oracle = c.start;
  std::vector<std::unique_ptr<Machine>> machines;
  for (auto loops : {swd::cpu::loops_base, swd::cpu::loops_v3, swd::cpu::loops_v4}) {
    if (runs_here(loops)) machines.push_back(std::make_unique<Machine>(c, loops));
  }
  for (uint32_t steps = 1 + in.below(3); steps > 0; --steps) {
    draw_gradients(in, c);
    oracle.grad = c.start.grad;
    oracle_step(oracle);
    for (auto& machine : machines) {
      machine->step(c);
      expect_same(machine->t, oracle);
    }
  }
  return 0;
}
