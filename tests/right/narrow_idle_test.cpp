// SPDX-License-Identifier: Apache-2.0
// Elements whose gradients are zero: the decay of their second moment is in the unit, so 1,000 steps leave the stored
// codes as they are; and what a parameter costs in memory, counted on what a run allocates.
#include <cmath>

#include "support/figure.h"
#include "support/narrow.h"

namespace swd::test {
namespace {

// Codes that are not what they were, apart from the powers of two that the unit went through.
double share_off(const std::vector<float>& before, double unit_before, const std::vector<float>& after,
                 double unit_after, double decay) {
  const double doubled = std::round(std::log2(unit_after / (unit_before * decay)));
  double off = 0.0;
  for (size_t i = 0; i < before.size(); ++i) {
    double was = std::ldexp(static_cast<double>(before[i]) / unit_before, -static_cast<int>(doubled));
    double is = static_cast<double>(after[i]) / unit_after;
    off += std::fabs(is / was - 1.0) > 2e-5 ? 1.0 : 0.0;
  }
  return off / static_cast<double>(before.size());
}

void idle(const NarrowFormat& f, double beta2) {
  const int64_t count = scaled(8192, 2048);
  const int steps = scaled(1000, 300);
  RunSetup s = f.in({});
  s.backend = backend_under_test();
  s.counts = {count};
  s.seed = 5;
  s.groups[0] = {1e-3, 0.9, beta2, 1e-8, 0.0, nullptr, 0.0};
  Runner r(s);
  for (int t = 1; t <= 20; ++t) {  // of scales that span the octaves in which codes are unbiased
    std::vector<float> g = uniform(static_cast<uint64_t>(t), 0, count);
    for (size_t i = 0; i < g.size(); ++i) g[i] = std::ldexp(g[i] == 0.0f ? 1.0f : g[i], -static_cast<int>(i * 7 % 11));
    r.set(SWD_BUFFER_GRAD, 0, g);
    r.step();
  }
  const std::vector<float> before = r.get(SWD_BUFFER_EXP_AVG_SQ, 0);
  const double unit_before = unit_of(r.segment_state(0));
  r.set(SWD_BUFFER_GRAD, 0, std::vector<float>(static_cast<size_t>(count)));
  for (int t = 0; t < steps; ++t) r.step();
  const std::vector<float> after = r.get(SWD_BUFFER_EXP_AVG_SQ, 0);
  const double decay = std::pow(beta2, steps), unit_after = unit_of(r.segment_state(0));
  std::string at = std::string(f.name) + ", beta2 " + std::to_string(beta2).substr(0, 6) + ": ";
  Figure off(at + "codes that moved", f.moment == SWD_DTYPE_BF16 ? 0.01 : 0.001), rms(at + "rms error of v", 1e-3);
  off.add(share_off(before, unit_before, after, unit_after, decay));
  double squares = 0.0;
  for (size_t i = 0; i < after.size(); ++i) {
    double error = static_cast<double>(after[i]) / (static_cast<double>(before[i]) * decay) - 1.0;
    squares += error * error;
  }
  rms.add(std::sqrt(squares / static_cast<double>(count)));
  off.check();
  rms.check();
  EXPECT_GE(unit_after, 0.5);
  EXPECT_LE(unit_after, 1.0);
}

TEST(NarrowIdle, CodesStayWhereTheGradientsAreZero) {
  for (const NarrowFormat& f : narrow_presets()) {
    if (!f.has_narrow_moments()) continue;
    for (double beta2 : {0.999, 0.9999, 0.95}) {
      if (beta2 > 0.99 || !backend_is_simulated()) idle(f, beta2);
    }
  }
}

// Beside the gradient. Everything a step reads and writes lies in these allocations, between canaries.
TEST(NarrowMemory, BytesAParameter) {
  const std::pair<const char*, double> bounds[] = {
      {"master16", 12.0}, {"mixed16", 8.0}, {"compact8", 5.0 + 2.0 / 128}, {"tiny8", 4.0 + 2.0 / 128}};
  for (uint32_t flags : {0u, uint32_t{SWD_PLAN_LIST}}) {
    for (size_t i = 0; i < 4; ++i) {
      NarrowFormat f = narrow_presets()[i];
      ASSERT_STREQ(f.name, bounds[i].first);
      f.grad = SWD_DTYPE_BF16;
      RunSetup s = f.in({});
      s.backend = backend_under_test();
      s.flags = flags;
      s.counts = {16384, 4096, scaled(int64_t{1} << 20, int64_t{8192})};
      Runner r(s);
      double elements = 0.0, bytes = 0.0;
      for (int64_t count : s.counts) elements += static_cast<double>(count);
      for (int b = 0; b < kBuffers; ++b) {
        if (b != SWD_BUFFER_GRAD) bytes += static_cast<double>(r.array_bytes(b));
      }
      for (size_t k = 0; k < s.counts.size(); ++k) r.set(SWD_BUFFER_GRAD, k, uniform(1, k, s.counts[k]));
      r.step();
      EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
      printf("[  FIGURE  ] %s: %.4f bytes a parameter\n", f.name, bytes / elements);
      EXPECT_EQ(bytes / elements, bounds[i].second) << f.name;
      double rest = static_cast<double>(r.buffers.state_bytes + r.buffers.workspace_bytes);
      EXPECT_LE(rest, 0.01 * elements + 8192) << "state and workspace";
    }
  }
}

}  // namespace
}  // namespace swd::test
