// SPDX-License-Identifier: Apache-2.0
// Long tests are made shorter where a checking tool slows them down (scripts/sanitize.sh); none is left out.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace swd::test {

// n, or n / SWD_TEST_SCALE if that is set, but not less than `least`.
inline int64_t shortened(int64_t n, int64_t least) {
  const char* scale = getenv("SWD_TEST_SCALE");
  return scale ? std::max(n / std::max<int64_t>(std::atoll(scale), 1), least) : n;
}

}  // namespace swd::test
