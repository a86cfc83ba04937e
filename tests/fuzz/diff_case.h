// SPDX-License-Identifier: Apache-2.0
// Trainings drawn from a fuzzer's bytes. Used by fuzz_diff.cpp.
#pragma once
#include "input.h"
#include "oracle.h"

namespace swd::fuzz {

struct Case {
  Training start;
  swd_dtype grad_dtype;
  std::vector<uint16_t> grad_codes;
  int64_t elements = 0;
};

Case draw_case(Input& in);
void draw_gradients(Input& in, Case& c);

}  // namespace swd::fuzz
