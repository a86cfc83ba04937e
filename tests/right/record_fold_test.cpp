// SPDX-License-Identifier: Apache-2.0
// The norm record of many segments: lane j of 256 adds segments j, j + 256, ... in order, then the lanes fold by
// halving strides. Computed here from the sums of single segments, and compared to the bit, for a whole step and for
// pieces, around every size at which a backend changes its way.
#include <array>
#include <cmath>

#include "support/runner.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

using Sums = std::array<double, 4>;  // sum_sq, total_sq, count, vbar_grad

// `steps`: each segment's counter after this step, 1 or 2.
Sums expected(const RunSetup& s, const std::vector<double>& squares, const std::vector<uint8_t>& present,
              const std::vector<int>& steps) {
  double beta2 = s.groups[0].beta2;
  std::vector<Sums> lane(256, Sums{});
  for (size_t k = 0; k < squares.size(); ++k) {
    if (!present[k]) continue;
    Sums& to = lane[k % 256];
    if (!(s.flags_of[k] & SWD_SEGMENT_NO_NORM)) to[0] += squares[k];
    to[1] += squares[k];
    if (s.flags_of[k] & SWD_SEGMENT_NO_VBAR) continue;
    to[2] += static_cast<double>(s.counts[k]);
    to[3] += (1.0 - beta2) * squares[k] / (1.0 - (steps[k] == 1 ? beta2 : beta2 * beta2));
  }
  for (size_t stride = 128; stride > 0; stride /= 2) {
    for (size_t i = 0; i < stride; ++i) {
      for (size_t f = 0; f < 4; ++f) lane[i][f] += lane[i + stride][f];
    }
  }
  return lane[0];
}

RunSetup setup_of(size_t segments, uint32_t flags) {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = flags;
  s.groups[0].weight_decay = 1e-2;
  for (size_t k = 0; k < segments; ++k) {
    uint64_t bits = mix(k);
    s.counts.push_back(bits % 7 == 0 ? 0 : 1);
    s.flags_of.push_back((bits % 5 == 0 ? SWD_SEGMENT_NO_NORM : 0) | (bits % 11 == 0 ? SWD_SEGMENT_NO_VBAR : 0));
    s.group_of.push_back(0);
  }
  return s;
}

struct Outcome {
  swd_norm_record record;
  swd_stats stats;
  std::vector<uint8_t> bytes;
};

// Three steps, each with other gradients and another set of segments that have one.
void run(size_t segments, uint32_t flags, bool pieces, std::vector<Outcome>& out) {
  RunSetup s = setup_of(segments, flags);
  Runner r(s);
  DeviceBuffer has_grad(s.backend, segments);
  DeviceRecord record(s.backend);
  r.args().has_grad = has_grad.data();
  r.args().max_grad_norm = 0.5;
  int64_t n = static_cast<int64_t>(segments), half = n / 2;
  std::vector<int> steps(segments);
  for (uint64_t t = 0; t < 3; ++t) {
    std::vector<uint8_t> present(segments);
    std::vector<double> squares(segments);
    for (size_t k = 0; k < segments; ++k) {
      std::vector<float> g = uniform(t, k, s.counts[k]);
      for (float& x : g) x = std::ldexp(x, static_cast<int>(mix(k + t) % 21) - 10);
      // In the later steps one lane alone has gradients: among 256, a lane's last bit is lost.
      present[k] = t == 0 ? mix(k) % 3 != 0 : k % 256 == (t == 1 ? 0 : 200);
      r.set(SWD_BUFFER_PARAM, k, g);
      r.set(SWD_BUFFER_GRAD, k, g);
      if (!g.empty()) squares[k] = static_cast<double>(g[0] * g[0]);
    }
    has_grad.write(0, present.data(), segments);
    swd_step_args& args = r.args();
    Outcome now{};
    if (pieces) {
      bool max_round = (flags & SWD_PLAN_AMSGRAD) != 0;
      for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
        r.ok(swd_reduce(r.plan(), &r.buffers, &args, phase, half, n - half, r.stream()));
        r.ok(swd_reduce(r.plan(), &r.buffers, &args, phase, 0, half, r.stream()));
        r.ok(swd_fold(r.plan(), &r.buffers, &args, phase, record.pointer(), kRecordDoubles, r.stream()));
        r.ok(swd_decide(r.plan(), &r.buffers, &args, phase, record.pointer(), kRecordDoubles, r.stream()));
        synchronize(s.backend);
        if (phase == SWD_PHASE_GRAD) now.record = record.get();
      }
      r.ok(swd_update(r.plan(), &r.buffers, &args, r.stream()));
      for (size_t k = 0; k < segments; ++k) present[k] = present[k] && s.counts[k] > 0;
      for (size_t k = 0; k < segments; ++k) steps[k] += present[k];
      Sums want = expected(s, squares, present, steps);
      EXPECT_EQ(now.record.sum_sq, want[0]) << segments;
      EXPECT_EQ(now.record.total_sq, want[1]) << segments;
      EXPECT_EQ(now.record.count, want[2]) << segments;
      EXPECT_EQ(now.record.vbar_grad, want[3]) << segments;
    } else {
      r.step();
    }
    now.stats = r.stats();
    now.bytes = r.bytes();
    out.push_back(now);
  }
}

TEST(RecordFold, TheOrderIsTheSameForEverySizeAndWay) {
  size_t largest = static_cast<size_t>(shortened(9001, 1025));
  for (size_t segments : std::vector<size_t>{1, 255, 256, 257, 1023, 1024, 1025, 1279, 4096, 4097, 9001}) {
    if (segments > largest) break;
    for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD}}) {
      std::vector<Outcome> whole, pieces;
      run(segments, flags, false, whole);
      run(segments, flags, true, pieces);
      for (size_t t = 0; t < whole.size(); ++t) {
        EXPECT_EQ(whole[t].stats.result, SWD_RESULT_APPLIED);
        EXPECT_EQ(memcmp(&whole[t].stats, &pieces[t].stats, sizeof(swd_stats)), 0) << segments << " segments";
        EXPECT_TRUE(whole[t].bytes == pieces[t].bytes) << segments << " segments, flags " << flags;
      }
    }
  }
}

}  // namespace
}  // namespace swd::test
