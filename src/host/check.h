// SPDX-License-Identifier: Apache-2.0
// Every precondition of the public functions. A check changes nothing but the detail line, which names the argument as
// swd.h spells it. Called by the entry points; what passes is never checked again.
// Order within a struct: sizes of structs, flags, enums, counts, NULL, alignment, overlap, numbers, the workspace.
#pragma once
#include "adopt.h"
#include "plan.h"

namespace swd {

constexpr uint64_t kImageAlignment = 16;  // of workspaces and state images
constexpr uint32_t kAllBuffers = (1u << kBufferCount) - 1u;
constexpr uint32_t kSecondMoment = 1u << SWD_BUFFER_EXP_AVG_SQ | 1u << SWD_BUFFER_EXP_AVG_SQ_SCALE;
constexpr uint32_t kState = 1u << kBufferCount;  // the state, in the same masks

// The buffers as swd_buffers and the pointer tables call them, by SWD_BUFFER_*.
constexpr const char* kBufferNames[kBufferCount] = {"param",      "grad",           "exp_avg",
                                                    "exp_avg_sq", "max_exp_avg_sq", "param_copy",
                                                    "remainder",  "exp_avg_scale",  "exp_avg_sq_scale"};

swd_status check_pointer(const void* pointer, const char* name);  // not NULL
swd_status check_alignment(const void* pointer, uint64_t bytes, const char* name);

// Of what the host reads or writes as a T: not NULL, and aligned for it.
template <class T>
swd_status check_object(const T* pointer, const char* name) {
  swd_status status = check_pointer(pointer, name);
  return status == SWD_OK ? check_alignment(pointer, alignof(T), name) : status;
}

// The same of a struct that begins with its size, which then becomes `copy`.
template <class T>
swd_status check_struct(const T* user, const char* name, T& copy) {
  copy = T{};
  swd_status status = check_object(user, name);
  return status == SWD_OK ? adopt(user, name, copy) : status;
}

swd_status check_segment(const Plan& plan, int64_t segment);
swd_status check_backend(swd_backend backend, const char* name);

// check_plan.cpp: before a plan is built, and what is easier to see once its segments are sorted.
swd_status check_plan(const swd_plan_args& args);
swd_status check_indices(const Plan& plan);

// Memory of a call. element 0: all `bytes` of it; else only the plan's segments, of elements of that size.
struct Extent {
  const char* name;
  const void* base;
  uint64_t bytes;
  uint64_t element;
};

// What a flat plan may touch of a buffer: the segments, or, of scales, all of it.
Extent extent_of(const Plan& plan, int buffer, const char* name, const void* base);

// A row of a pointer table, as swd_set_pointers gets it; or the arrays of swd_fp32_arrays, one after the other.
constexpr swd_buffer_kind kFp32Row = -1;
struct PointerRow {
  swd_buffer_kind buffer;
  int64_t first, count;
  const void* const* pointers;
  const char* const* names;  // of the arrays
};

// check_overlap.cpp.
swd_status check_apart(const Plan& plan, const Extent& a, const Extent& b);
swd_status check_disjoint(const void* a, uint64_t a_bytes, const char* a_name, const void* b, uint64_t b_bytes,
                          const char* b_name);
swd_status check_tensors_apart(const Plan& plan, const Workspace& ws, const PointerRow& row);

void list_bases(const swd_buffers& buffers, const void** bases);  // by SWD_BUFFER_*

// check_buffers.cpp. `used`: bit b for each SWD_BUFFER_* that the call touches, and kState; others are not looked at.
swd_status check_stream(const Plan& plan, const void* stream);
swd_status check_workspace(const swd_plan* plan, const void* workspace, const void* stream);
swd_status check_initialised(const Plan& plan, const void* workspace);  // nothing where the host cannot look
swd_status check_bytes(uint64_t bytes, uint64_t needed, const char* name);
swd_status check_buffers(const Plan& plan, const swd_buffers& buffers, uint32_t used);
swd_status check_tables(const Plan& plan, const Workspace& ws, uint32_t used);

// check_args.cpp.
swd_status check_step_args(const Plan& plan, const swd_step_args& args);

}  // namespace swd
