// SPDX-License-Identifier: Apache-2.0
// Narrow states once more, written for the test from docs/numerics.md in whole numbers and doubles, without any header
// of src: from a training's codes to fp32 and back. Used by oracle.cpp and fuzz_diff.cpp.
#pragma once
#include "oracle.h"

namespace swd::fuzz {

// What a step of segment k starts from, whose first element is element `at` of the training. Arrays that are not narrow
// are left alone, but for parameters that somebody wrote into their copy, with SWD_PLAN_TAKE_COPY.
void decode_segment(Training& t, size_t k, int64_t at);

// After its step: the counter is the new one, the unit still the old one.
void encode_segment(Training& t, size_t k, int64_t at);

}  // namespace swd::fuzz
