// SPDX-License-Identifier: Apache-2.0
// The pinned runs: dtypes, modes, sizes, magnitudes.
#include "pinned_runs.h"

#include <array>
#include <cmath>
#include <cstddef>

#include "support/narrow.h"

namespace swd::test {
namespace {

class Fnv {
 public:
  template <class T>
  void add(const T& x) {
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(&x);
    for (size_t i = 0; i < sizeof x; ++i) hash_ = (hash_ ^ bytes[i]) * 0x100000001B3u;
  }
  template <class T>
  void add(const std::vector<T>& data) {
    for (const T& x : data) add(x);
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xCBF29CE484222325u;
};

const std::vector<int64_t> kSizes = {0, 1, 7, 255, 256, 257, 1025, 4095, 4096, 4097, 9001};

RunSetup four_modes() {
  RunSetup s;
  s.counts = kSizes;
  s.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED, SWD_DECAY_L2, SWD_DECAY_NONE};
  s.groups = {{1e-3, 0.9, 0.999, 1e-8, 1e-3, nullptr, 0.0},
              {2e-3, 0.4, 0.3, 1e-8, 1e-2, nullptr, 0.0},
              {1e-3, 0.0, 0.99, 1e-6, 1e-1, nullptr, 0.0},
              {3e-3, 0.8, 0.95, 1e-8, 1e-2, nullptr, 0.0}};
  for (uint32_t k = 0; k < s.counts.size(); ++k) s.group_of.push_back(k % 4);
  s.gap = 3;
  return s;
}

const char* name_of(swd_dtype dtype) {
  return dtype == SWD_DTYPE_F32 ? "f32" : dtype == SWD_DTYPE_BF16 ? "bf16" : dtype == SWD_DTYPE_F16 ? "f16" : "none";
}

// Of 0.2: every narrow format, and what its codes could trip over.
void add_narrow_runs(std::vector<PinnedRun>& out) {
  auto add = [&](const std::string& name, const NarrowFormat& format, uint32_t flags = 0) -> PinnedRun& {
    RunSetup s = four_modes();
    s.counts = {0, 1, 127, 128, 129, 255, 257, 1025, 4096, 4097};
    s.group_of.resize(s.counts.size());
    s.flags = flags;
    s.seed = 0x0123456789ABCDEFu;
    out.push_back({});
    out.back().name = "narrow_" + name;
    out.back().setup = format.in(s);
    out.back().spread = 23;
    return out.back();
  };
  for (const NarrowFormat& format : narrow_formats()) add(test_name(format), format);
  const NarrowFormat mixed16 = narrow_presets()[1], compact8 = narrow_presets()[2];
  const uint32_t flags = SWD_PLAN_MAXIMIZE | SWD_PLAN_UPDATE_NORMS | SWD_PLAN_LIST;
  add("mixed16_flags", mixed16, flags);
  add("compact8_flags", compact8, flags);
  add("compact8_huge_gradients", compact8).exponent = 60;
  add("compact8_smallest_gradients", compact8).exponent = -60;
  add("mixed16_long_run", mixed16).steps = 30;
  add("compact8_long_run", compact8).steps = 30;
  add("compact8_skipped_step", compact8).bad_step = 2;
  add("compact8_seed_zero", compact8).setup.seed = 0;
}

}  // namespace

std::vector<PinnedRun> pinned_runs() {
  std::vector<PinnedRun> out;
  auto add = [&](const std::string& name, const RunSetup& setup) -> PinnedRun& {
    out.push_back({});
    out.back().name = name;
    out.back().setup = setup;
    return out.back();
  };
  for (swd_dtype grad : {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    for (swd_dtype copy : {SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
      RunSetup s = four_modes();
      s.grad = grad;
      s.copy = copy;
      add(std::string("grad_") + name_of(grad) + "_copy_" + name_of(copy), s);
    }
  }
  for (uint32_t mode = 0; mode < 4; ++mode) {
    RunSetup s;
    s.counts = {5000, 33};
    s.decay = {static_cast<swd_decay>(mode)};
    s.groups[0].weight_decay = 1e-2;
    const char* names[] = {"scheduled", "decoupled", "l2", "none"};
    add(std::string("mode_") + names[mode], s).loss_scale = 3.0;
  }
  const std::pair<const char*, uint32_t> flags[] = {
      {"amsgrad", SWD_PLAN_AMSGRAD},
      {"maximize", SWD_PLAN_MAXIMIZE},
      {"update_norms", SWD_PLAN_UPDATE_NORMS},
      {"list", SWD_PLAN_LIST},
      {"all_flags", SWD_PLAN_AMSGRAD | SWD_PLAN_MAXIMIZE | SWD_PLAN_UPDATE_NORMS | SWD_PLAN_LIST}};
  for (const auto& [name, bits] : flags) {
    RunSetup s = four_modes();
    s.flags = bits;
    add(name, s);
  }
  RunSetup members = four_modes();
  for (uint32_t k = 0; k < members.counts.size(); ++k) members.flags_of.push_back(k % 8);
  add("left_out_segments", members);
  RunSetup plain = four_modes();
  for (auto [name, exponent] : {std::pair{"huge_gradients", 70},
                                {"large_gradients", 40},
                                {"small_gradients", -40},
                                {"tiny_gradients", -90},
                                {"smallest_gradients", -130}}) {
    add(name, plain).exponent = exponent;
  }
  add("unclipped", plain).max_grad_norm = 0.0;
  add("skipped_step", plain).bad_step = 2;
  add("long_run", plain).steps = 30;
  RunSetup deep;
  deep.counts = {257 * 4096 + 5};
  deep.grad = SWD_DTYPE_BF16;
  deep.flags = SWD_PLAN_UPDATE_NORMS;
  add("deep_tree", deep).steps = 2;
  RunSetup many;
  for (int64_t k = 0; k < 1000; ++k) many.counts.push_back(k * 37 % 71);
  add("many_segments", many);
  // Lanes of one magnitude add up exactly in fp64, in any order; these do not.
  RunSetup wide;
  wide.counts = {70003, 4096, 300};
  wide.flags = SWD_PLAN_UPDATE_NORMS | SWD_PLAN_AMSGRAD;
  add("wide_lanes", wide).spread = 31;
  add_narrow_runs(out);
  return out;
}

// The statistics as 0.1 had them, whose hashes are stored: fewer members, and LARGE_DECAY from another bound on.
static std::array<uint8_t, offsetof(swd_stats, vbar_reference)> in_0_1(swd_stats stats) {
  stats.flags &= ~uint32_t{SWD_STATS_LARGE_DECAY};
  if (stats.largest_decay > 0.1) stats.flags |= SWD_STATS_LARGE_DECAY;
  std::array<uint8_t, offsetof(swd_stats, vbar_reference)> out;
  memcpy(out.data(), &stats, out.size());
  return out;
}

uint64_t hash_of(const PinnedRun& run, int32_t threads) {
  RunSetup setup = run.setup;
  setup.backend = backend_under_test();
  setup.threads = threads;
  Runner r(setup);
  r.args().max_grad_norm = run.max_grad_norm;
  r.args().loss_scale = run.loss_scale;
  r.args().max_decay = 1.0;  // the default of 0.1
  Fnv fnv;
  for (size_t k = 0; k < setup.counts.size(); ++k) r.set(SWD_BUFFER_PARAM, k, uniform(7, k, setup.counts[k]));
  for (int t = 1; t <= run.steps; ++t) {
    for (size_t k = 0; k < setup.counts.size(); ++k) {
      std::vector<float> g = uniform(11 + static_cast<uint64_t>(t), k, setup.counts[k]);
      for (size_t i = 0; i < g.size(); ++i)
        g[i] = std::ldexp(g[i], run.exponent - (run.spread != 0 ? static_cast<int>(7 * i % 256 % run.spread) : 0));
      if (t == run.bad_step && k == 3) g.back() = INFINITY;
      r.set(SWD_BUFFER_GRAD, k, g);
      r.missing[k] = k > 2 && (k + static_cast<size_t>(t)) % 5 == 0;  // lists only
    }
    r.step();
    std::vector<double> lambda;
    swd_stats stats = r.stats(&lambda);
    fnv.add(stats.result);
    fnv.add(stats.steps_applied);
    if (stats.result != SWD_RESULT_APPLIED) continue;  // its norm may be a NaN, whose payload is outside the promise
    fnv.add(in_0_1(stats));
    fnv.add(lambda);
  }
  for (size_t k = 0; k < setup.counts.size(); ++k) {
    fnv.add(r.get(SWD_BUFFER_PARAM, k));
    fnv.add(r.get(SWD_BUFFER_EXP_AVG, k));
    fnv.add(r.get(SWD_BUFFER_EXP_AVG_SQ, k));
    if (setup.flags & SWD_PLAN_AMSGRAD) fnv.add(r.get(SWD_BUFFER_MAX_EXP_AVG_SQ, k));
    if (setup.copy != SWD_DTYPE_NONE) fnv.add(r.get_codes(SWD_BUFFER_PARAM_COPY, k));
    swd_segment_state state = r.segment_state(k);
    fnv.add(state.step);  // as 0.1 had it
    fnv.add(state.exp_avg_sq_sum);
    if (setup.param == SWD_DTYPE_F32 && setup.moment == SWD_DTYPE_F32) continue;
    fnv.add(state.exp_avg_sq_unit);
    for (int b = 0; b < kBuffers; ++b) {
      if (b != SWD_BUFFER_GRAD && r.at(b, k)) fnv.add(r.stored(b, k));
    }
  }
  return fnv.hash();
}

}  // namespace swd::test
