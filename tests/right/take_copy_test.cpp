// SPDX-License-Identifier: Apache-2.0
// SWD_PLAN_TAKE_COPY: what others wrote into param_copy is what a step starts from, element by element, bit for bit.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

struct Case {
  uint32_t flags;
  swd_dtype copy, grad;
  uint64_t shift;
};

constexpr Case kCases[] = {
    {0, SWD_DTYPE_F16, SWD_DTYPE_F16, 0},
    {0, SWD_DTYPE_BF16, SWD_DTYPE_F32, 1},
    {SWD_PLAN_LIST, SWD_DTYPE_BF16, SWD_DTYPE_BF16, 0},
    {SWD_PLAN_LIST | SWD_PLAN_AMSGRAD, SWD_DTYPE_F16, SWD_DTYPE_F32, 3},
    {SWD_PLAN_UPDATE_NORMS, SWD_DTYPE_F16, SWD_DTYPE_BF16, 0},
    {SWD_PLAN_UPDATE_NORMS | SWD_PLAN_AMSGRAD | SWD_PLAN_MAXIMIZE, SWD_DTYPE_BF16, SWD_DTYPE_F16, 1},
};

RunSetup setup_of(const Case& c, uint32_t flags, swd_decay decay) {
  RunSetup s = small(c.flags | flags);
  s.copy = c.copy;
  s.grad = c.grad;
  s.shift = c.shift;
  s.decay = {decay};
  s.threads = s.backend == SWD_BACKEND_CPU ? 2 : 0;
  return s;
}

// Writes every seventh element of each copy: other numbers, zeros of both signs, small and large ones, the code
// that is there; and what the parameters are then, as a host would work it out.
void write_copies(Runner& r, uint64_t seed) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    std::vector<float> p = r.get(SWD_BUFFER_PARAM, k);
    std::vector<uint16_t> codes = r.get_codes(SWD_BUFFER_PARAM_COPY, k);
    for (size_t i = k; i < codes.size(); i += 7) {
      uint16_t drawn = nearest_code(r.setup().copy, p[(i * 31 + seed) % p.size()]);
      const uint16_t choice[] = {drawn, 0, 0x8000, 1, 0x0400, 0x4780, codes[i]};
      codes[i] = choice[(i / 7 + seed) % 7];
    }
    r.set_codes(SWD_BUFFER_PARAM_COPY, k, codes);
  }
}

void take_on_the_host(Runner& from, Runner& to) {
  swd_dtype copy = from.setup().copy;
  for (size_t k = 0; k < from.setup().counts.size(); ++k) {
    std::vector<float> p = from.get(SWD_BUFFER_PARAM, k);
    std::vector<uint16_t> codes = from.get_codes(SWD_BUFFER_PARAM_COPY, k);
    for (size_t i = 0; i < p.size(); ++i) {
      if (nearest_code(copy, p[i]) != codes[i]) p[i] = code_value(copy, codes[i]);
    }
    to.set(SWD_BUFFER_PARAM, k, p);
    to.set_codes(SWD_BUFFER_PARAM_COPY, k, codes);
  }
}

void begin(Runner& r) {
  start(r);
  r.ok(swd_copy_params(r.plan(), &r.buffers, r.stream()));
}

TEST(TakeCopy, IsTheStepFromWhatTheCopySays) {
  for (const Case& c : kCases) {
    for (swd_decay decay : {SWD_DECAY_SCHEDULED, SWD_DECAY_L2}) {
      SCOPED_TRACE(testing::Message() << "flags " << c.flags << " copy " << c.copy << " decay " << decay);
      Runner takes(setup_of(c, SWD_PLAN_TAKE_COPY, decay)), plain(setup_of(c, 0, decay));
      begin(takes);
      begin(plain);
      for (int t = 1; t <= 4; ++t) {
        if (t != 2) write_copies(takes, static_cast<uint64_t>(t));  // in the second step nobody wrote
        take_on_the_host(takes, plain);
        fill(takes, t);
        fill(plain, t);
        takes.step();
        plain.step();
        EXPECT_EQ(takes.stats().result, SWD_RESULT_APPLIED);
        EXPECT_EQ(takes.stats().param_norm, plain.stats().param_norm);
        ASSERT_EQ(takes.bytes(), plain.bytes()) << "step " << t;
      }
      EXPECT_TRUE(takes.canaries_intact());
    }
  }
}

TEST(TakeCopy, KeepsTheLowBitsOfWhatNobodyWrote) {
  for (const Case& c : kCases) {
    Runner takes(setup_of(c, SWD_PLAN_TAKE_COPY, SWD_DECAY_SCHEDULED)), plain(setup_of(c, 0, SWD_DECAY_SCHEDULED));
    begin(takes);
    begin(plain);
    for (int t = 1; t <= 3; ++t) {
      fill(takes, t);
      fill(plain, t);
      takes.step();
      plain.step();
    }
    EXPECT_EQ(takes.bytes(), plain.bytes()) << "flags " << c.flags;
  }
}

// Nor in one without the flag: the copy is overwritten.
TEST(TakeCopy, ChangesNothingInASkippedStep) {
  for (uint32_t flag : {uint32_t{SWD_PLAN_TAKE_COPY}, uint32_t{0}}) {
    Runner r(setup_of(kCases[1], flag, SWD_DECAY_SCHEDULED));
    begin(r);
    std::vector<float> start = r.get(SWD_BUFFER_PARAM, 2);
    const std::vector<uint16_t> written(start.size(), 0x4000);  // 2
    r.set_codes(SWD_BUFFER_PARAM_COPY, 2, written);
    fill(r, 1, INFINITY);
    r.step();
    EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_NONFINITE);
    EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 2), start);
    EXPECT_EQ(r.get_codes(SWD_BUFFER_PARAM_COPY, 2), written);
    fill(r, 1);
    r.step();
    for (float p : r.get(SWD_BUFFER_PARAM, 2)) EXPECT_EQ(p > 1.9f, flag != 0);
  }
}

// A segment without a gradient keeps both as they are, until it has one.
TEST(TakeCopy, LeavesSegmentsWithoutGradientAlone) {
  Runner r(setup_of(kCases[2], SWD_PLAN_TAKE_COPY, SWD_DECAY_SCHEDULED));
  begin(r);
  const std::vector<uint16_t> written(33, 0x4000);
  std::vector<float> start = r.get(SWD_BUFFER_PARAM, 3);
  r.set_codes(SWD_BUFFER_PARAM_COPY, 3, written);
  fill(r, 1);
  r.missing = {0, 0, 0, 1};
  r.step();
  EXPECT_EQ(r.get(SWD_BUFFER_PARAM, 3), start);
  EXPECT_EQ(r.get_codes(SWD_BUFFER_PARAM_COPY, 3), written);
  r.missing = {0, 0, 0, 0};
  r.step();
  for (float p : r.get(SWD_BUFFER_PARAM, 3)) EXPECT_NEAR(p, 2.0f, 0.01f);
}

// By bits: a zero that others wrote with the other sign is theirs.
TEST(TakeCopy, TakesAZeroOfTheOtherSign) {
  for (const Case& c : kCases) {
    Runner r(setup_of(c, SWD_PLAN_TAKE_COPY, SWD_DECAY_DECOUPLED));
    for (size_t k = 0; k < r.setup().counts.size(); ++k) {
      size_t n = static_cast<size_t>(r.setup().counts[k]);
      r.set(SWD_BUFFER_PARAM, k, std::vector<float>(n, 0.0f));
      r.set(SWD_BUFFER_GRAD, k, std::vector<float>(n, 0.0f));
      r.set_codes(SWD_BUFFER_PARAM_COPY, k, std::vector<uint16_t>(n, 0x8000));
    }
    r.step();
    for (float p : params(r)) ASSERT_TRUE(p == 0.0f && std::signbit(p)) << "flags " << c.flags;
  }
}

// Infinity and NaN are what others wrote, too.
TEST(TakeCopy, TakesWhatIsNotFinite) {
  Runner r(setup_of(kCases[0], SWD_PLAN_TAKE_COPY, SWD_DECAY_NONE));
  begin(r);
  std::vector<uint16_t> codes = r.get_codes(SWD_BUFFER_PARAM_COPY, 2);
  codes[0] = 0x7C00;
  codes[4000] = 0x7E01;
  r.set_codes(SWD_BUFFER_PARAM_COPY, 2, codes);
  fill(r, 1);
  r.step();
  std::vector<float> p = r.get(SWD_BUFFER_PARAM, 2);
  EXPECT_TRUE(std::isinf(p[0]));
  EXPECT_TRUE(std::isnan(p[4000]));
  EXPECT_TRUE(std::isfinite(p[1]) && std::isfinite(p[3999]));
}

TEST(TakeCopy, NeedsACopy) {
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.flags = SWD_PLAN_TAKE_COPY;
  swd_plan* plan = nullptr;
  EXPECT_EQ(swd_plan_create(&args, &plan), SWD_ERR_UNEXPECTED);
  EXPECT_NE(std::string(swd_error_detail()).find("SWD_PLAN_TAKE_COPY"), std::string::npos) << swd_error_detail();
}

}  // namespace
}  // namespace swd::test
