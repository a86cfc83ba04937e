// SPDX-License-Identifier: Apache-2.0
// Runs of narrow states on both backends, and their comparison. Used by cuda_narrow_test.cpp.
#pragma once
#include <cfloat>
#include <cmath>

#include "support/narrow.h"

namespace swd::test {

constexpr int kSteps = 3;

struct Case {
  std::string name;
  RunSetup setup;
  double max_grad_norm = 0.5, loss_scale = 4.0;
  int bad_step = 0;    // this step has an infinite gradient, and is skipped
  uint32_t flags = 0;  // SWD_STEP_*
  bool pieces = false;
  bool reloads = false;  // between the steps states go through fp32, sums are rebuilt
};

// Over 40 octaves, with zeros, so that block8 uses all its codes; in every other segment over 12 and without, which is
// the usual case of its rows.
inline std::vector<float> gradients(int t, size_t k, int64_t count) {
  std::vector<float> g = uniform(static_cast<uint64_t>(20 + t), k, count);
  int octaves = k % 2 == 0 ? 12 : 40;
  for (size_t i = 0; i < g.size(); ++i) {
    float x = std::ldexp(g[i], i % 3 == 0 ? -static_cast<int>(mix(i) % static_cast<uint64_t>(octaves)) : 0);
    g[i] = k % 2 == 1 && i % 11 == 3 ? 0.0f : x == 0.0f ? 1.0f : x;
  }
  return g;
}

// What storage must get right: ties, the ends of the range, denormals, what is not finite.
inline std::vector<float> awkward(size_t k, int64_t count) {
  const float values[] = {0.0f, 1.0f, 1.00390625f, 1.01171875f, FLT_MIN, FLT_MAX, 0x1p-149f, 0x1p-100f, 0x1.fffffep60f};
  std::vector<float> x = uniform(5, k, count);
  for (size_t i = 0; i < x.size(); i += 3)
    x[i] = std::fabs(values[(i / 3 + k) % 9]) * (i % 256 < 128 ? 1.0f : 0x1p-20f);
  if (k % 2 == 1) x[x.size() / 2] = INFINITY;
  return x;
}

inline void prepare(Runner& r, const Case& c, int t) {
  const std::vector<int64_t>& counts = r.setup().counts;
  for (size_t k = 0; k < counts.size(); ++k) {
    std::vector<float> g = gradients(t, k, counts[k]);
    if (t == c.bad_step && k == 0) g.back() = INFINITY;
    r.set(SWD_BUFFER_GRAD, k, g);
    r.missing[k] = counts.size() > 2 && (k + static_cast<size_t>(t)) % 4 == 0;
  }
}

inline void reload(Runner& r) {
  const std::vector<int64_t>& counts = r.setup().counts;
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    for (size_t k = 0; k < counts.size(); k += 2) r.set(buffer, k, r.get(buffer, k));
  }
  r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
}

inline void step(Runner& r, const Case& c) {
  if (!c.pieces) return r.step();
  int64_t n = static_cast<int64_t>(r.setup().counts.size()), half = n / 2;
  r.point_gradients();
  const swd_step_args* args = &r.args();
  if (!(c.flags & SWD_STEP_SKIP_NORM)) {
    r.ok(swd_reduce(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, half, n - half, r.stream()));
    r.ok(swd_reduce(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, 0, half, r.stream()));
  }
  r.ok(swd_fold(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_decide(r.plan(), &r.buffers, args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
  r.ok(swd_update(r.plan(), &r.buffers, args, r.stream()));
}

struct Trace {
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<std::vector<uint8_t>> stored;  // without gradients and the counters of steps
  std::vector<swd_stats> stats;
};

inline Trace run(const Case& c, swd_backend backend) {
  RunSetup setup = c.setup;
  setup.backend = backend;
  setup.seed = 77;
  Runner r(setup);
  Trace out;
  for (size_t k = 0; k < setup.counts.size(); ++k) r.set(SWD_BUFFER_PARAM, k, uniform(7, k, setup.counts[k]));
  r.args().max_grad_norm = c.max_grad_norm;
  r.args().loss_scale = c.loss_scale;
  r.args().flags = c.flags;
  for (int t = 1; t <= kSteps; ++t) {
    prepare(r, c, t);
    step(r, c);
    out.stats.push_back(r.stats());
    if (c.reloads) reload(r);
    out.bytes.push_back(r.bytes());
    std::vector<uint8_t> image = r.image();
    out.stored.emplace_back(image.begin() + kStateHeaderBytes, image.end());
    for (int b = 0; b < kBuffers; ++b) {
      for (size_t k = 0; b != SWD_BUFFER_GRAD && r.at(b, 0) && k < setup.counts.size(); ++k) {
        std::vector<uint8_t> more = r.stored(b, k);
        out.stored.back().insert(out.stored.back().end(), more.begin(), more.end());
      }
    }
  }
  return out;
}

inline void expect_equal(const Case& c) {
  Trace cpu = run(c, SWD_BACKEND_CPU), cuda = run(c, SWD_BACKEND_CUDA);
  for (size_t t = 0; t < kSteps; ++t) {
    SCOPED_TRACE(c.name + ", step " + std::to_string(t + 1));
    EXPECT_TRUE(cpu.bytes[t] == cuda.bytes[t]);
    EXPECT_EQ(cpu.stats[t].result, cuda.stats[t].result);
    bool skipped = static_cast<int>(t) + 1 == c.bad_step && !(c.flags & SWD_STEP_PROPAGATE);
    EXPECT_EQ(cpu.stats[t].result, skipped ? SWD_RESULT_SKIPPED_NONFINITE : SWD_RESULT_APPLIED);
    if (c.bad_step == 0) EXPECT_EQ(memcmp(&cpu.stats[t], &cuda.stats[t], sizeof(swd_stats)), 0);
  }
}

inline Case make(const std::string& name, const NarrowFormat& format, const std::vector<int64_t>& counts) {
  Case c;
  c.name = name + " " + test_name(format);
  c.setup.counts = counts;
  c.setup.groups[0].weight_decay = 1e-2;
  c.setup = format.in(c.setup);
  return c;
}

}  // namespace swd::test
