// SPDX-License-Identifier: Apache-2.0
// The loops for AVX-512 (x86-64-v4). Built with -march=x86-64-v4; a stub where the compiler does not target that.
#if defined(__x86_64__) && defined(__AVX512BW__)
#define SWD_LOOPS loops_v4
#include "loops.inl"
#else
#include "loops.h"

namespace swd::cpu {
const Loops* loops_v4(const Dtypes&) { return nullptr; }
}  // namespace swd::cpu
#endif
