// SPDX-License-Identifier: Apache-2.0
// The floating-point control register of x86, for the tests that set it under the library.
#pragma once
#include <gtest/gtest.h>
#include <immintrin.h>

#include <cstdlib>

namespace swd::test {

constexpr unsigned int kDefaultControl = 0x1F80;  // round to nearest, denormals on, no exception traps

// Whether the processor takes this value. A real one does; valgrind's keeps the rounding mode alone.
inline bool takes_control(unsigned int csr) {
  _mm_setcsr(csr);
  bool taken = _mm_getcsr() == csr;
  _mm_setcsr(kDefaultControl);
  EXPECT_TRUE(taken || getenv("SWD_TEST_SCALE")) << csr;  // which scripts/sanitize.sh sets
  return taken;
}

}  // namespace swd::test
