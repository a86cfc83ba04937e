// SPDX-License-Identifier: Apache-2.0
// The loops for the compiler's baseline: SSE2 on x86-64, whatever the target has elsewhere.
#define SWD_LOOPS loops_base
#include "loops.inl"
