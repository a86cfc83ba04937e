// SPDX-License-Identifier: Apache-2.0
// Pass 2 on a device gives root and division other operands where a moment is 0 (adam_step in element.h). Every pair of
// special moments, with gradients that leave them as they are and gradients that do not: the bits of the CPU backend.
// CUDA only.
#include <cfloat>
#include <cmath>

#include "support/runner.h"

namespace swd::test {
namespace {

const float kSpecial[] = {0.0f,   -0.0f, FLT_MIN, -FLT_MIN, FLT_MIN / 2, FLT_TRUE_MIN, -FLT_TRUE_MIN, 1e-30f, -1e-30f,
                          1e-12f, 1.0f,  -1.0f,   FLT_MAX,  -FLT_MAX,    INFINITY,     -INFINITY,     NAN};
const float kGradients[] = {0.0f, -0.0f, 1e-38f, 1e-30f, -1e-20f, 1e-3f};

std::vector<std::vector<float>> after_two_steps(swd_backend backend, uint32_t flags, const swd_group& group) {
  std::vector<float> m, v, g, p;
  for (float first : kSpecial) {
    for (float second : kSpecial) {
      for (float gradient : kGradients) {
        m.push_back(first);
        v.push_back(second);
        g.push_back(gradient);
        p.push_back(0.5f);
      }
    }
  }
  RunSetup s;
  s.backend = backend;
  s.flags = flags;
  s.counts = {static_cast<int64_t>(m.size())};
  s.decay = {SWD_DECAY_DECOUPLED};
  s.groups[0] = group;
  Runner r(s);
  r.set(SWD_BUFFER_PARAM, 0, p);
  r.set(SWD_BUFFER_GRAD, 0, g);
  r.set(SWD_BUFFER_EXP_AVG, 0, m);
  r.set(SWD_BUFFER_EXP_AVG_SQ, 0, v);
  std::vector<int> buffers = {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ};
  if (flags & SWD_PLAN_AMSGRAD) {
    r.set(SWD_BUFFER_MAX_EXP_AVG_SQ, 0, v);
    buffers.push_back(SWD_BUFFER_MAX_EXP_AVG_SQ);
  }
  for (int t = 0; t < 2; ++t) r.step();
  EXPECT_EQ(r.stats().steps_applied, 2u);
  std::vector<std::vector<float>> out;
  for (int buffer : buffers) out.push_back(r.get(buffer, 0));
  return out;
}

TEST(ZeroMoments, HaveTheBitsOfTheCpu) {
  swd_group usual = SWD_GROUP_INIT, huge = SWD_GROUP_INIT, quick = SWD_GROUP_INIT;
  huge.lr = 1e300;  // infinite in fp32
  quick.beta1 = 0.0;
  quick.beta2 = 0.3;
  for (const swd_group& group : {usual, huge, quick}) {
    for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD}}) {
      auto host = after_two_steps(SWD_BACKEND_CPU, flags, group);
      auto device = after_two_steps(SWD_BACKEND_CUDA, flags, group);
      for (size_t b = 0; b < host.size(); ++b) {
        for (size_t i = 0; i < host[b].size(); ++i) {
          if (std::isnan(host[b][i]) && std::isnan(device[b][i])) continue;
          EXPECT_EQ(bits_of(host[b][i]), bits_of(device[b][i])) << "array " << b << ", element " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace swd::test
