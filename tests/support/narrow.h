// SPDX-License-Identifier: Apache-2.0
// The narrow formats that a plan can have, by the names of docs/narrow_states.md. Used by the tests of narrow states.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "support/runner.h"

namespace swd::test {

struct NarrowFormat {
  const char* name;
  swd_dtype param, remainder, moment, grad;

  RunSetup in(RunSetup s) const {
    s.param = param;
    s.remainder = remainder;
    s.moment = moment;
    s.grad = grad;
    return s;
  }
  bool has_narrow_moments() const { return moment != SWD_DTYPE_F32; }
};

// The presets, with gradients in fp32, so that runs can be compared with those in fp32.
inline std::vector<NarrowFormat> narrow_presets() {
  return {{"master16", SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_F32, SWD_DTYPE_F32},
          {"mixed16", SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BF16, SWD_DTYPE_F32},
          {"compact8", SWD_DTYPE_BF16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8, SWD_DTYPE_F32},
          {"tiny8", SWD_DTYPE_BF16, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8, SWD_DTYPE_F32}};
}

// Every row of the table that is not all fp32.
inline std::vector<NarrowFormat> narrow_formats() {
  std::vector<NarrowFormat> out = narrow_presets();
  out.push_back({"f32_bf16", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F32});
  out.push_back({"f32_block8", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8, SWD_DTYPE_F32});
  out.push_back({"i16_block8", SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BLOCK8, SWD_DTYPE_F32});
  out.push_back({"bf16_bf16", SWD_DTYPE_BF16, SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F32});
  for (size_t i = 0, wide = out.size(); i < wide; ++i) {
    out.push_back(out[i]);
    out.back().grad = SWD_DTYPE_BF16;
  }
  return out;
}

inline std::string test_name(const NarrowFormat& f) {
  return std::string(f.name) + (f.grad == SWD_DTYPE_BF16 ? "_grad_bf16" : "");
}

// exp_avg_sq_unit, where 0 stands for 1.
inline double unit_of(const swd_segment_state& state) {
  return state.exp_avg_sq_unit == 0.0 ? 1.0 : state.exp_avg_sq_unit;
}

}  // namespace swd::test
