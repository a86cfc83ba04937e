// SPDX-License-Identifier: Apache-2.0
// What numbers and arrays mean: products with what lies behind pointers, strides, defaults, flags, infinities.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

TEST(Values, LossScaleMultipliesThePointer) {
  Runner plain(small()), both(small());
  DeviceValue<float> scale(both.setup().backend, 512.0f);
  for (Runner* r : {&plain, &both}) {
    start(*r);
    fill(*r, 1, 4096.0);
  }
  plain.args().loss_scale = 4096.0;
  both.args().loss_scale = 8.0;
  both.args().loss_scale_pointer = scale.pointer();
  plain.step();
  both.step();
  EXPECT_EQ(both.stats().grad_norm, plain.stats().grad_norm);
  EXPECT_EQ(both.bytes(), plain.bytes());
  both.args().loss_scale = -1.0;
  EXPECT_EQ(swd_step(both.plan(), &both.buffers, &both.args(), both.stream()), SWD_ERR_VALUE);
}

TEST(Values, LrFactorMultipliesLrAndThePointer) {
  DeviceValue<float> lr(backend_under_test(), 0.25f);
  for (bool pointer : {false, true}) {
    RunSetup s = small();
    s.groups[0].lr = 0.125;
    Runner plain(s), product(s);
    swd_group& g = product.setup().groups[0];
    g.lr = pointer ? 77.0 : 0.25;
    g.lr_pointer = pointer ? lr.pointer() : nullptr;
    g.lr_factor = 0.5;
    for (Runner* r : {&plain, &product}) {
      start(*r);
      fill(*r, 1);
      r->step();
    }
    EXPECT_EQ(product.bytes(), plain.bytes()) << pointer;
    g.lr_factor = -0.5;
    EXPECT_EQ(swd_step(product.plan(), &product.buffers, &product.args(), product.stream()), SWD_ERR_VALUE);
    EXPECT_NE(std::string(swd_error_detail()).find("lr_factor"), std::string::npos) << swd_error_detail();
  }
}

// Groups as an older caller (48 bytes) and a later one know them, in host memory and where the backend computes.
TEST(Values, GroupsComeWithTheirStride) {
  RunSetup s = small();
  s.group_of = {0, 1, 1, 0};
  s.decay.assign(2, SWD_DECAY_SCHEDULED);
  s.groups.assign(2, s.groups[0]);
  s.groups[1].lr = 3e-3;
  Runner expected(s);
  start(expected);
  fill(expected, 1);
  expected.step();
  constexpr uint32_t kOld = offsetof(swd_group, lr_pointer) + sizeof(float*);
  for (uint32_t stride : {kOld, uint32_t{sizeof(swd_group)}, uint32_t{sizeof(swd_group)} + 16}) {
    for (bool device : {false, true}) {
      Runner r(s);
      start(r);
      fill(r, 1);
      DeviceBuffer memory(device ? s.backend : SWD_BACKEND_CPU, 2 * stride);
      memory.fill(0);
      for (uint64_t i = 0; i < 2; ++i) {
        memory.write(i * stride, &s.groups[i], std::min<uint64_t>(stride, sizeof(swd_group)));
      }
      swd_step_args& args = r.args();
      const swd_group* groups = reinterpret_cast<const swd_group*>(memory.data());
      args.groups = device ? nullptr : groups;
      args.groups_device = device ? groups : nullptr;
      args.group_stride = stride;
      ASSERT_EQ(swd_step(r.plan(), &r.buffers, &args, r.stream()), SWD_OK) << swd_error_detail();
      EXPECT_EQ(r.bytes(), expected.bytes()) << stride << device;
      if (!device || stride <= sizeof(swd_group)) continue;
      uint8_t unknown = 1;  // a member of a later version is set
      memory.write(2 * stride - 1, &unknown, 1);
      ASSERT_EQ(swd_step(r.plan(), &r.buffers, &args, r.stream()), SWD_OK);
      EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_INVALID);
    }
  }
}

TEST(Values, WithoutDecayModesAllGroupsAreScheduled) {
  RunSetup s = small();
  Runner r(s);
  swd_segment segments[] = {{0, 10, 0, 0, 0}};
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.backend = s.backend;
  args.segments = segments;
  args.segment_count = 1;
  const swd_decay scheduled = SWD_DECAY_SCHEDULED;
  swd_plan *without = nullptr, *with = nullptr;
  ASSERT_EQ(swd_plan_create(&args, &without), SWD_OK) << swd_error_detail();
  args.decay_modes = &scheduled;
  ASSERT_EQ(swd_plan_create(&args, &with), SWD_OK) << swd_error_detail();
  uint64_t bytes = 0;
  ASSERT_EQ(swd_workspace_size(with, &bytes), SWD_OK);
  std::vector<uint8_t> a(bytes + 16), b(bytes + 16);
  auto aligned = [](std::vector<uint8_t>& x) {
    return x.data() + (16 - reinterpret_cast<uintptr_t>(x.data()) % 16) % 16;
  };
  ASSERT_EQ(swd_workspace_image(without, aligned(a), bytes), SWD_OK) << swd_error_detail();
  ASSERT_EQ(swd_workspace_image(with, aligned(b), bytes), SWD_OK);
  EXPECT_EQ(memcmp(aligned(a), aligned(b), bytes), 0);
  EXPECT_EQ(swd_workspace_image(with, aligned(a), bytes - 1), SWD_ERR_SIZE);
  EXPECT_EQ(swd_workspace_image(with, aligned(a) + 8, bytes), SWD_ERR_ALIGNMENT);
  EXPECT_EQ(swd_workspace_image(with, nullptr, bytes), SWD_ERR_NULL);
  swd_plan_destroy(with);
  swd_plan_destroy(without);
}

// A workspace that was copied from its image, instead of initialised.
TEST(Values, FoundInfSkipsWithoutAFirstPassToo) {
  Runner r(one_segment(SWD_DECAY_DECOUPLED));
  start(r);
  fill(r, 1);
  DeviceValue<float> found_inf(r.setup().backend, 1.0f);
  r.args().found_inf = found_inf.pointer();
  r.args().flags = SWD_STEP_PROPAGATE | SWD_STEP_SKIP_NORM;
  std::vector<float> before = params(r);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_NONFINITE);
  EXPECT_EQ(params(r), before);
  found_inf.set(0.0f);
  r.step();
  EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
}

// Groups without elements that decay raise no flags; one element is enough.
TEST(Values, FlagsComeFromElementsThatDecay) {
  for (bool decays : {false, true}) {
    RunSetup s = small();
    s.counts = {100, 0, 50, 10};
    s.group_of = {0, 1, 2, 0};
    s.flags_of = {0, 0, decays ? 0u : uint32_t{SWD_SEGMENT_NO_DECAY}, 0};
    s.decay.assign(3, SWD_DECAY_DECOUPLED);
    s.groups.assign(3, s.groups[0]);
    s.groups[1].weight_decay = s.groups[2].weight_decay = 1e6;
    Runner r(s);
    start(r);
    fill(r, 1);
    r.step();
    uint32_t flags = SWD_STATS_LARGE_DECAY | SWD_STATS_DECAY_CAPPED;
    EXPECT_EQ(r.stats().flags & flags, decays ? flags : 0u);
  }
}

TEST(Values, ALearningRateOfZeroDecaysNothing) {
  for (swd_decay decay : {SWD_DECAY_SCHEDULED, SWD_DECAY_RELATIVE}) {
    RunSetup s = one_segment(decay);
    s.groups[0].lr = 0.0;
    s.groups[0].weight_decay = 1e308;
    Runner r(s);
    std::vector<uint8_t> image = r.image();
    swd_state_header header{0, 0, 1e300};
    r.ok(swd_state_header_set(r.plan(), image.data(), image.size(), &header, sizeof header));
    r.set_image(image);
    start(r);
    fill(r, 1, 1e-5);
    std::vector<float> before = params(r);
    r.step();
    std::vector<double> lambda_eff;
    EXPECT_EQ(r.stats(&lambda_eff).result, SWD_RESULT_APPLIED);
    EXPECT_TRUE(std::isinf(lambda_eff[0]));
    EXPECT_EQ(r.stats().largest_decay, 0.0);
    EXPECT_EQ(params(r), before);
  }
}

// Constants that are infinite meet the zeros of slots that belong to no element.
TEST(Values, NormsOfInfiniteConstantsAreInfinite) {
  for (int64_t count : {1024, 1023, 4095, 5}) {
    for (bool l2 : {false, true}) {
      RunSetup s = one_segment(l2 ? SWD_DECAY_L2 : SWD_DECAY_NONE, count);
      s.flags = SWD_PLAN_UPDATE_NORMS;
      if (l2) s.groups[0].weight_decay = 1e39;
      if (!l2) s.groups[0].lr = 1e39;
      Runner r(s);
      r.set(SWD_BUFFER_PARAM, 0, std::vector<float>(static_cast<size_t>(count), 1.0f));
      r.set(SWD_BUFFER_GRAD, 0, std::vector<float>(static_cast<size_t>(count), 0.5f));
      r.step();
      double norm = r.stats().update_norm;
      EXPECT_TRUE(l2 ? std::isnan(norm) : std::isinf(norm)) << count << " " << l2 << " " << norm;
      if (!l2) EXPECT_TRUE(std::isinf(r.stats().param_norm));
    }
  }
}

}  // namespace
}  // namespace swd::test
