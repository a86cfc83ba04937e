// SPDX-License-Identifier: Apache-2.0
// Calls that use part of the buffers: swd_state_rebuild, swd_state_load, swd_state_store. And what calls may write.
// Used by fuzz_args.cpp.
#pragma once
#include "plan_call.h"

namespace swd::fuzz {

constexpr uint32_t bit(PieceName piece) { return 1u << piece; }
constexpr uint32_t kArrays = bit(kParam) | bit(kExpAvg) | bit(kExpAvgSq) | bit(kMaxExpAvgSq) | bit(kParamCopy) |
                             bit(kRemainder) | bit(kExpAvgScale) | bit(kExpAvgSqScale);
constexpr uint32_t kFp32 = bit(kFp32Param) | bit(kFp32ExpAvg) | bit(kFp32ExpAvgSq);
constexpr uint32_t kUpdated = kArrays | bit(kState) | bit(kWorkspace);

uint32_t updated(const Call& c);  // what a step may write

Outcome call_rebuild(Input& in, Call& c);
Outcome call_convert(Input& in, bool load, Call& c);

}  // namespace swd::fuzz
