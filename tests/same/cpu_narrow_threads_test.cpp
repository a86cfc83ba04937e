// SPDX-License-Identifier: Apache-2.0
// Narrow states on any number of threads: every stored byte is that of one. Large enough for several ranges of the
// pool.
#include "support/narrow_model.h"

namespace swd::test {
namespace {

TEST(CpuNarrowThreads, SameBytesForAnyThreadCount) {
  for (const NarrowFormat& format : narrow_formats()) {
    RunSetup s = narrow_model(format);
    s.counts = {200003, 0, 4097, 70001};
    s.group_of = {0, 1, 0, 1};
    s.threads = 1;
    const Stored alone = trained(s, 2);
    for (int32_t threads : {2, 3, 8}) {
      s.threads = threads;
      EXPECT_TRUE(trained(s, 2) == alone) << test_name(format) << " on " << threads;
    }
  }
}

}  // namespace
}  // namespace swd::test
