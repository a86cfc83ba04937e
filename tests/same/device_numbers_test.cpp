// SPDX-License-Identifier: Apache-2.0
// Numbers that are read where the backend computes, out of range: groups, learning rates, loss scale, found_inf, step
// counters, the norm record. The call succeeds, the step is skipped with its own status, and no byte changes.
#include <cmath>
#include <limits>

#include "support/runner.h"

namespace swd::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
constexpr float kNanF = std::numeric_limits<float>::quiet_NaN(), kInfF = std::numeric_limits<float>::infinity();

RunSetup setup(uint32_t groups = 2) {
  RunSetup s;
  s.backend = backend_under_test();
  s.counts = {100, 5000};
  s.group_of = {0, groups - 1};
  s.decay.assign(groups, SWD_DECAY_SCHEDULED);
  s.groups.assign(groups, swd_group{1e-3, 0.9, 0.999, 1e-8, 1e-2, nullptr, 0.0});
  return s;
}

// A run with one good step behind it.
class Case {
 public:
  explicit Case(const RunSetup& s) : r(s), memory(s.backend, s.groups.size() * sizeof(swd_group)) {
    for (size_t k = 0; k < 2; ++k) {
      r.set(SWD_BUFFER_PARAM, k, uniform(1, k, s.counts[k]));
      r.set(SWD_BUFFER_GRAD, k, uniform(2, k, s.counts[k]));
    }
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  }

  // The groups of the setup as groups_device.
  void use_device_groups() {
    memory.write(0, r.setup().groups.data(), memory.bytes());
    on_device = true;
  }
  swd_step_args& args() {
    swd_step_args& a = r.args();
    if (on_device) a.groups = nullptr;
    a.groups_device = on_device ? reinterpret_cast<swd_group*>(memory.data()) : nullptr;
    return a;
  }

  // Everything but the count of skipped steps.
  std::vector<uint8_t> bytes() {
    std::vector<uint8_t> out = r.bytes();
    std::fill(out.begin() + 8, out.begin() + 16, uint8_t{0});
    return out;
  }

  void expect_skipped(swd_result status, const std::string& what) {
    std::vector<uint8_t> before = bytes();
    uint64_t skipped = r.stats().steps_skipped;
    ASSERT_EQ(swd_step(r.plan(), &r.buffers, &args(), r.stream()), SWD_OK) << what << swd_error_detail();
    swd_stats stats = r.stats();
    EXPECT_EQ(swd_result_name(stats.result), std::string(swd_result_name(status))) << what;
    EXPECT_EQ(stats.steps_skipped, skipped + 1) << what;
    EXPECT_EQ(stats.steps_applied, 1u) << what;
    EXPECT_TRUE(bytes() == before) << what;
    EXPECT_TRUE(r.canaries_intact()) << what;
  }
  void expect_applied() {
    ASSERT_EQ(swd_step(r.plan(), &r.buffers, &args(), r.stream()), SWD_OK) << swd_error_detail();
    EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
  }

  Runner r;
  DeviceBuffer memory;
  bool on_device = false;
};

struct Member {
  const char* name;
  double swd_group::*member;
  std::vector<double> bad;
};
const Member kMembers[] = {
    {"lr", &swd_group::lr, {-1.0, -5e-324, kNan, kInf, -kInf}},
    {"beta1", &swd_group::beta1, {1.0, 1.5, -0.1, kNan, kInf, -kInf}},
    {"beta2", &swd_group::beta2, {1.0, 1.5, -0.1, kNan, kInf, -kInf}},
    {"eps", &swd_group::eps, {0.0, -1e-8, 1e-40, 1e39, kNan, kInf, -kInf}},
    {"weight_decay", &swd_group::weight_decay, {-1.0, -5e-324, kNan, kInf, -kInf}},
    {"lr_factor", &swd_group::lr_factor, {-1.0, -5e-324, kNan, kInf, -kInf}},
};

TEST(DeviceNumbers, EveryMemberOfAGroup) {
  for (uint32_t groups : {2u, 100u, 300u}) {  // more than go along with a launch, more than a block has threads
    Case c(setup(groups));
    for (const Member& m : kMembers) {
      for (double bad : m.bad) {
        for (size_t i : {size_t{0}, size_t{groups} - 1}) {
          swd_group& g = c.r.setup().groups[i];
          swd_group good = g;
          g.*m.member = bad;
          c.use_device_groups();
          c.expect_skipped(SWD_RESULT_SKIPPED_INVALID, m.name + std::to_string(bad));
          g = good;
        }
      }
    }
    c.use_device_groups();
    c.expect_applied();
  }
}

TEST(DeviceNumbers, LearningRateBehindAPointer) {
  for (bool on_device : {false, true}) {
    Case c(setup());
    DeviceValue<float> lr(c.r.setup().backend, 1e-3f);
    for (float bad : {-1.0f, -1e-45f, kNanF, kInfF, -kInfF}) {
      lr.set(bad);
      c.r.setup().groups[1].lr_pointer = lr.pointer();
      if (on_device) c.use_device_groups();
      c.expect_skipped(SWD_RESULT_SKIPPED_INVALID, "lr_pointer " + std::to_string(bad));
    }
    for (uintptr_t by : {1u, 2u, 3u}) {  // a pointer that only the device can see is checked there
      if (!on_device) break;
      c.r.setup().groups[1].lr_pointer = reinterpret_cast<const float*>(reinterpret_cast<uintptr_t>(lr.pointer()) + by);
      c.use_device_groups();
      c.expect_skipped(SWD_RESULT_SKIPPED_INVALID, "lr_pointer misaligned by " + std::to_string(by));
    }
    lr.set(0.0f);
    c.r.setup().groups[1].lr_pointer = lr.pointer();
    if (on_device) c.use_device_groups();
    c.expect_applied();
  }
}

TEST(DeviceNumbers, LossScaleAndFoundInf) {
  Case c(setup());
  DeviceValue<float> scale(c.r.setup().backend, 1.0f), found(c.r.setup().backend, 0.0f);
  c.r.args().loss_scale_pointer = scale.pointer();
  c.r.args().found_inf = found.pointer();
  for (float bad : {0.0f, -0.0f, -1.0f, kNanF, kInfF, -kInfF}) {
    scale.set(bad);
    c.expect_skipped(SWD_RESULT_SKIPPED_INVALID, "loss_scale " + std::to_string(bad));
  }
  scale.set(1e-45f);
  c.expect_skipped(SWD_RESULT_SKIPPED_OVERFLOW, "loss_scale denormal");
  scale.set(0x1.FFFFFEp127f);
  c.expect_skipped(SWD_RESULT_SKIPPED_UNDERFLOW, "loss_scale FLT_MAX");
  scale.set(1.0f);
  for (float bad : {1.0f, -1.0f, 1e-45f, kNanF, kInfF, -kInfF}) {
    found.set(bad);
    c.expect_skipped(SWD_RESULT_SKIPPED_NONFINITE, "found_inf " + std::to_string(bad));
  }
  found.set(-0.0f);
  c.expect_applied();
}

TEST(DeviceNumbers, StepCounters) {
  Case c(setup());
  std::vector<uint8_t> good = c.r.image();
  for (int64_t bad : {INT64_C(-1), INT64_C(-2), INT64_MIN, INT64_MAX}) {
    for (size_t k : {size_t{0}, size_t{1}}) {
      std::vector<uint8_t> image = c.r.image();
      memcpy(image.data() + kStateHeaderBytes + kSegmentStateBytes * k, &bad, 8);
      c.r.set_image(image);
      c.expect_skipped(SWD_RESULT_SKIPPED_INVALID, "step " + std::to_string(bad));
      image = c.r.image();
      memcpy(image.data() + kStateHeaderBytes, good.data() + kStateHeaderBytes, 2 * kSegmentStateBytes);
      c.r.set_image(image);
    }
  }
  c.expect_applied();
}

// The record may have come from other ranks.
TEST(DeviceNumbers, EveryMemberOfARecord) {
  Case c(setup());
  DeviceRecord record(c.r.setup().backend);
  auto pieces = [&](double swd_norm_record::*member, double value) {
    c.r.ok(swd_reduce(c.r.plan(), &c.r.buffers, &c.args(), SWD_PHASE_GRAD, 0, 2, c.r.stream()));
    c.r.ok(
        swd_fold(c.r.plan(), &c.r.buffers, &c.args(), SWD_PHASE_GRAD, record.pointer(), kRecordDoubles, c.r.stream()));
    swd_norm_record changed = record.get();
    changed.*member = value;
    record.set(changed);
    c.r.ok(swd_decide(c.r.plan(), &c.r.buffers, &c.args(), SWD_PHASE_GRAD, record.pointer(), kRecordDoubles,
                      c.r.stream()));
    c.r.ok(swd_update(c.r.plan(), &c.r.buffers, &c.args(), c.r.stream()));
    return c.r.stats().result;
  };
  std::vector<uint8_t> before = c.bytes();
  for (double bad : {kNan, kInf, -kInf, -1.0}) {
    for (auto member : {&swd_norm_record::sum_sq, &swd_norm_record::total_sq, &swd_norm_record::count,
                        &swd_norm_record::unknown, &swd_norm_record::invalid}) {
      EXPECT_EQ(pieces(member, bad), SWD_RESULT_SKIPPED_INVALID) << bad;
    }
    EXPECT_EQ(pieces(&swd_norm_record::bad, bad), SWD_RESULT_SKIPPED_NONFINITE) << bad;
  }
  EXPECT_EQ(pieces(&swd_norm_record::invalid, 1.0), SWD_RESULT_SKIPPED_INVALID);
  EXPECT_EQ(pieces(&swd_norm_record::bad, 0.5), SWD_RESULT_SKIPPED_NONFINITE);
  EXPECT_EQ(pieces(&swd_norm_record::unknown, 1.0), SWD_RESULT_SKIPPED_SUM_UNKNOWN);
  EXPECT_EQ(pieces(&swd_norm_record::total_sq, 0x1p127), SWD_RESULT_SKIPPED_OVERFLOW);
  EXPECT_TRUE(c.bytes() == before);
  EXPECT_EQ(pieces(&swd_norm_record::bad, 0.0), SWD_RESULT_APPLIED);
}

}  // namespace
}  // namespace swd::test
