// SPDX-License-Identifier: Apache-2.0
// The loops for AVX2 (x86-64-v3). Built with -march=x86-64-v3; a stub where the compiler does not target that.
#if defined(__x86_64__) && defined(__AVX2__)
#define SWD_LOOPS loops_v3
#include "loops.inl"
#else
#include "loops.h"

namespace swd::cpu {
const Loops* loops_v3(const Dtypes&) { return nullptr; }
}  // namespace swd::cpu
#endif
