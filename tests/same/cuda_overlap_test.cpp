// SPDX-License-Identifier: Apache-2.0
// Pass 2 may start while pass 1 drains. Many steps that overlap so, against the same steps in pieces, which do not: the
// same bits. Meant for a real device, since no simulator shows a multiprocessor that still holds what pass 1 has
// overwritten. CUDA only.
#include <gtest/gtest.h>

#include "support/runner.h"

namespace swd::test {
namespace {

std::vector<std::vector<uint8_t>> train(const std::vector<int64_t>& counts, uint32_t flags, bool pieces, int steps) {
  RunSetup s;
  s.backend = SWD_BACKEND_CUDA;
  s.counts = counts;
  s.flags = flags;
  s.gap = 1;
  s.groups[0].lr = 1e-4;
  s.groups[0].weight_decay = 1e-3;
  Runner r(s);
  for (size_t k = 0; k < counts.size(); ++k) {
    r.set(SWD_BUFFER_PARAM, k, uniform(7, k, counts[k]));
    r.set(SWD_BUFFER_GRAD, k, uniform(11, k, counts[k]));
  }
  r.args().max_grad_norm = 0.5;
  std::vector<std::vector<uint8_t>> trace;
  int64_t n = static_cast<int64_t>(counts.size());
  for (int t = 1; t <= steps; ++t) {
    if (pieces) {
      swd_step_args& args = r.args();
      r.ok(swd_reduce(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, 0, n, r.stream()));
      r.ok(swd_fold(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
      r.ok(swd_decide(r.plan(), &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, r.stream()));
      r.ok(swd_update(r.plan(), &r.buffers, &args, r.stream()));
    } else {
      r.ok(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()));
    }
    if (t == steps || t % (steps / 4 + 1) == 0) {
      EXPECT_EQ(r.stats().result, SWD_RESULT_APPLIED);
      trace.push_back(r.bytes());
    }
  }
  return trace;
}

TEST(Overlap, HasTheBitsOfPieces) {
  ASSERT_EQ(backend_under_test(), SWD_BACKEND_CUDA);
  const int steps = scaled(20000, 3);
  std::vector<int64_t> tensors, tiny;
  for (uint64_t k = 0; k < 600; ++k) tensors.push_back(static_cast<int64_t>(mix(k) % 6001));
  for (uint64_t k = 0; k < 3000; ++k) tiny.push_back(static_cast<int64_t>(mix(k) % 67));
  for (const auto& counts :
       {std::vector<int64_t>{3000}, std::vector<int64_t>{scaled(2000003, 100003)}, tensors, tiny}) {
    for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_LIST}}) {
      EXPECT_TRUE(train(counts, flags, false, steps) == train(counts, flags, true, steps))
          << counts.size() << " tensors, flags " << flags;
    }
  }
}

// Every block is idle then, and has to wait all the same: the step is committed by one of them.
TEST(Overlap, WithoutElements) {
  for (const auto& counts : {std::vector<int64_t>{0}, std::vector<int64_t>{0, 0, 0}}) {
    EXPECT_TRUE(train(counts, 0, false, 3) == train(counts, 0, true, 3)) << counts.size() << " tensors";
  }
}

}  // namespace
}  // namespace swd::test
