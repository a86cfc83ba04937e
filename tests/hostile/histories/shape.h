// SPDX-License-Identifier: Apache-2.0
// What a world of a history looks like: dtypes, flags, segments and groups, drawn from the input; and its plan.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "swd/swd.h"

namespace swd::histories {

using fuzz::Input;

constexpr int kBuffers = 9;  // SWD_BUFFER_*

// What a history did not expect.
struct Finding : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A call of the test's own that cannot fail.
void must(swd_status status, const char* what);

struct Shape {
  swd_backend backend = SWD_BACKEND_CPU;
  uint32_t flags = 0;
  swd_dtype param = SWD_DTYPE_F32, grad = SWD_DTYPE_F32, copy = SWD_DTYPE_NONE, moment = SWD_DTYPE_F32,
            remainder = SWD_DTYPE_NONE;
  std::vector<int64_t> counts;
  std::vector<uint32_t> group_of, flags_of;
  std::vector<swd_decay> decay;
  uint32_t gap = 0;    // elements between segments
  uint32_t shift = 0;  // array b is misaligned by (b + 1) * shift elements

  bool is_list() const { return (flags & SWD_PLAN_LIST) != 0; }
  bool is_wide() const { return param == SWD_DTYPE_F32 && moment == SWD_DTYPE_F32; }
  bool has_vbar_decay() const;  // scheduled or relative
  bool has_two_rounds() const { return (flags & SWD_PLAN_AMSGRAD) && has_vbar_decay(); }
  bool is_member(size_t k) const {  // of vbar
    return decay[group_of[k]] != SWD_DECAY_L2 && !(flags_of[k] & SWD_SEGMENT_NO_VBAR);
  }
  size_t segments() const { return counts.size(); }
  int64_t offset(size_t k) const;  // of its first element, in an array that holds all
  int64_t extent() const { return offset(counts.size()); }
  uint64_t width(int buffer) const;  // bytes of an element, or of a block's scale; 0: no such buffer
};

Shape draw_shape(Input& in, swd_backend backend);

// Another plan for the same state and buffers: update norms, amsgrad or decay modes are switched.
void change_shape(Input& in, Shape& shape);

using PlanPointer = std::shared_ptr<swd_plan>;

swd_status create_plan(const Shape& shape, swd_plan** plan);
PlanPointer make_plan(const Shape& shape);

}  // namespace swd::histories
