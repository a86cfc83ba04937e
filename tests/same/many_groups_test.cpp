// SPDX-License-Identifier: Apache-2.0
// More groups than go along with a launch, and than a block has threads.
#include "support/runner.h"

namespace swd::test {
namespace {

// As many groups as segments, no two alike: each gets its own numbers, from wherever they come, on either backend.
TEST(ManyGroups, EachGetsItsOwnNumbers) {
  RunSetup s;
  s.counts.assign(700, 3);
  s.decay.assign(700, SWD_DECAY_SCHEDULED);
  s.groups.assign(700, swd_group SWD_GROUP_INIT);
  for (uint32_t k = 0; k < 700; ++k) {
    s.group_of.push_back(699 - k);
    s.groups[k].lr = 1e-3 * (1 + k);
    s.groups[k].weight_decay = 1e-4 * (k % 7);
  }
  std::vector<uint8_t> expected;
  for (int run = 0; run < 3; ++run) {
    s.backend = run == 0 ? swd_backend{SWD_BACKEND_CPU} : backend_under_test();
    Runner r(s);
    DeviceBuffer memory(s.backend, s.groups.size() * sizeof(swd_group));
    memory.write(0, s.groups.data(), memory.bytes());
    for (size_t k = 0; k < s.counts.size(); ++k) {
      r.set(SWD_BUFFER_PARAM, k, uniform(1, k, 3));
      r.set(SWD_BUFFER_GRAD, k, uniform(2, k, 3));
    }
    if (run == 2) r.args().groups_device = reinterpret_cast<swd_group*>(memory.data());
    r.step();
    std::vector<double> lambda_eff;
    EXPECT_EQ(r.stats(&lambda_eff).result, SWD_RESULT_APPLIED);
    EXPECT_GT(lambda_eff[699], lambda_eff[694]);
    if (run == 0) expected = r.bytes();
    EXPECT_TRUE(r.bytes() == expected) << run;
  }
}

}  // namespace
}  // namespace swd::test
