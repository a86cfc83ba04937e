// SPDX-License-Identifier: Apache-2.0
// The calls around a step inside a hostile floating-point environment: rounding modes, denormals flushed, traps on.
// Same results, same refusals, no trap, and the environment is the caller's again. Calls of the step:
// cpu_environment_test.
#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <functional>
#include <limits>

#include "swd/swd.h"

#if defined(__SSE2__)
#include "support/control_register.h"

namespace swd::test {
namespace {

constexpr unsigned int kHostile[] = {
    kDefaultControl | 0x8000u,            // results that are denormal become zero
    kDefaultControl | 0x0040u,            // so do operands
    kDefaultControl | 0x8040u | 0x2000u,  // both, rounding down
    kDefaultControl | 0x4000u,            // rounding up
    kDefaultControl | 0x6000u,            // toward zero
    kDefaultControl & ~0x1E80u,           // every exception but the denormal operand traps
};

// Two segments of a plan, of which one is cut out of the middle of a record, so that import computes.
class Plans {
 public:
  Plans() {
    const swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_segment whole[] = {{0, 7, 0, 0, 0}}, parts[] = {{0, 3, 0, 0, 0}, {3, 4, 0, 0, 0}};
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.decay_modes = &decay;
    args.group_count = 1;
    args.segments = whole;
    args.segment_count = 1;
    EXPECT_EQ(swd_plan_create(&args, &one), SWD_OK);
    args.segments = parts;
    args.segment_count = 2;
    EXPECT_EQ(swd_plan_create(&args, &two), SWD_OK);
  }
  ~Plans() {
    swd_plan_destroy(one);
    swd_plan_destroy(two);
  }
  swd_plan *one = nullptr, *two = nullptr;
};

constexpr uint64_t kOne = 64 + 32, kTwo = 64 + 2 * 32;  // image bytes of one and two segments

struct alignas(16) Image {
  uint8_t bytes[kTwo] = {};
};

// What a call leaves behind, as bits.
using Outcome = std::vector<uint64_t>;

uint64_t bits(double x) {
  uint64_t out;
  memcpy(&out, &x, sizeof out);
  return out;
}

// Of integers, as a comparison of doubles would leave its own marks in the environment.
uint64_t without_payload(uint64_t x) { return (x & ~(UINT64_C(1) << 63)) > 0x7FF0000000000000u ? 1u : x; }

void expect_same_everywhere(const char* what, const std::function<Outcome()>& call) {
  Outcome wanted = call();
  for (unsigned int csr : kHostile) {
    if (!takes_control(csr)) continue;
    _mm_setcsr(csr);
    Outcome seen = call();
    unsigned int after = _mm_getcsr();
    _mm_setcsr(kDefaultControl);
    EXPECT_EQ(seen, wanted) << what << " under " << csr;
    EXPECT_EQ(after, csr) << what;
  }
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kSums[] = {0.0,  0.1,     5e-324, 3e-310, 1e300,
                            -1.0, -5e-324, -0.5,   kNan,   std::numeric_limits<double>::infinity()};

TEST(CpuEnvironmentCalls, StateEntries) {
  Plans plans;
  for (double sum : kSums) {
    expect_same_everywhere("swd_state_set and _get", [&] {
      Image image;
      swd_segment_state in{3, 0.0}, out{0, 0.0};
      memcpy(&in.exp_avg_sq_sum, &sum, sizeof sum);
      uint64_t status =
          static_cast<uint64_t>(swd_state_set(plans.one, image.bytes, kTwo, 0, &in, sizeof(swd_segment_state)));
      swd_state_get(plans.one, image.bytes, kTwo, 0, &out, sizeof(swd_segment_state));
      return Outcome{status, static_cast<uint64_t>(out.step), bits(out.exp_avg_sq_sum)};
    });
  }
}

TEST(CpuEnvironmentCalls, BlobsThatAreCut) {
  Plans plans;
  for (double sum : kSums) {
    expect_same_everywhere("swd_state_export and _import", [&] {
      Image image, cut;
      int64_t step = 5;
      memcpy(image.bytes + 64, &step, 8);
      memcpy(image.bytes + 72, &sum, 8);
      uint8_t blob[64 + 40 + 8] = {};
      const void* blobs[] = {blob};
      uint64_t bytes = sizeof blob;
      Outcome out;
      out.push_back(static_cast<uint64_t>(swd_state_export(plans.one, image.bytes, kOne, blob, sizeof blob)));
      out.push_back(static_cast<uint64_t>(swd_state_import(plans.two, blobs, &bytes, 1, cut.bytes, kTwo)));
      for (uint8_t byte : cut.bytes) out.push_back(byte);
      return out;
    });
  }
}

TEST(CpuEnvironmentCalls, UnitsOfWeightDecay) {
  for (double weight_decay : {0.0, 0.1, 3e-310, 1e300, kNan}) {
    for (double vbar : {0.0, 0.3, 5e-324, 1e-320, 1e300, kNan}) {
      expect_same_everywhere("swd_weight_decay_*", [&] {
        double volatile w = weight_decay, v = vbar;
        double from = swd_weight_decay_from_adamw(w, v), to = swd_weight_decay_to_adamw(w, v);
        return Outcome{without_payload(bits(from)), without_payload(bits(to))};
      });
    }
  }
}

TEST(CpuEnvironmentCalls, RefusalsOfNumbers) {
  Plans plans;
  uint64_t bytes = 0;
  ASSERT_EQ(swd_workspace_size(plans.one, &bytes), SWD_OK);
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  std::vector<Block> workspace(bytes / 16);
  Image state;
  float p[7] = {}, g[7] = {}, m[7] = {}, v[7] = {};
  swd_buffers buffers = SWD_BUFFERS_INIT;
  buffers.param = p;
  buffers.grad = g;
  buffers.exp_avg = m;
  buffers.exp_avg_sq = v;
  buffers.state = state.bytes;
  buffers.state_bytes = 32;
  buffers.workspace = workspace.data();
  buffers.workspace_bytes = bytes;
  for (double bad : {kNan, 5e-324, -5e-324, std::numeric_limits<double>::infinity(), 1e-40}) {
    for (double swd_group::*member : {&swd_group::lr, &swd_group::beta1, &swd_group::eps, &swd_group::weight_decay}) {
      expect_same_everywhere("swd_step", [&] {
        swd_group group = SWD_GROUP_INIT;
        memcpy(&(group.*member), &bad, sizeof bad);
        swd_step_args args = SWD_STEP_ARGS_INIT;
        args.groups = &group;
        args.group_count = 1;
        swd_status status = swd_workspace_init(plans.one, workspace.data(), bytes, nullptr);
        return Outcome{static_cast<uint64_t>(status),
                       static_cast<uint64_t>(swd_step(plans.one, &buffers, &args, nullptr))};
      });
    }
  }
}

// The sums that a rebuild makes do not depend on it either.
TEST(CpuEnvironmentCalls, RebuiltSums) {
  Plans plans;
  uint64_t bytes = 0;
  ASSERT_EQ(swd_workspace_size(plans.one, &bytes), SWD_OK);
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  std::vector<Block> workspace(bytes / 16);
  ASSERT_EQ(swd_workspace_init(plans.one, workspace.data(), bytes, nullptr), SWD_OK);
  float v[7] = {0.1f, 1e-30f, 1e30f, 0x1p-149f, 0.3f, 7e-39f, 2.0f};
  expect_same_everywhere("swd_state_rebuild", [&] {
    Image state;
    swd_buffers buffers = SWD_BUFFERS_INIT;
    buffers.exp_avg_sq = v;
    buffers.state = state.bytes;
    buffers.state_bytes = 32;
    buffers.workspace = workspace.data();
    buffers.workspace_bytes = bytes;
    Outcome out{static_cast<uint64_t>(swd_state_rebuild(plans.one, &buffers, nullptr))};
    for (uint8_t byte : state.bytes) out.push_back(byte);
    return out;
  });
}

}  // namespace
}  // namespace swd::test
#endif
