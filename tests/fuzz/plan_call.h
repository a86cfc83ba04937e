// SPDX-License-Identifier: Apache-2.0
// One call of swd_plan_create with right and spoiled arguments. Used by fuzz_args.cpp.
#pragma once
#include "spoil.h"

namespace swd::fuzz {

struct Outcome {
  swd_status status;
  uint32_t writes;  // pieces that a success may write
};

Outcome call_plan(Input& in, Call& c);

}  // namespace swd::fuzz
