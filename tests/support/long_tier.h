// SPDX-License-Identifier: Apache-2.0
// Tests that look at a sample by default and at everything in the long tier: SWD_LONG_TIER=1 (scripts/accuracy.sh).
#pragma once
#include <cstdlib>

namespace swd::test {

inline bool long_tier() { return getenv("SWD_LONG_TIER") != nullptr; }

}  // namespace swd::test
