// SPDX-License-Identifier: Apache-2.0
// The rule of struct growth: a caller's struct, of whatever version, becomes a zero-filled copy of ours.
// Called by the entry points before anything else is looked at.
#pragma once
#include <cstddef>
#include <cstring>

#include "error.h"

namespace swd {

// What version 0.1 knew of a struct, up to the end of its last member. Clients never pass less, so these never
// change; members that are appended later read as zero where the caller does not know them.
template <class T>
inline constexpr uint32_t kFirstBytes = 0;
template <>
inline constexpr uint32_t kFirstBytes<swd_plan_args> = offsetof(swd_plan_args, reserved) + sizeof(uint32_t);
template <>
inline constexpr uint32_t kFirstBytes<swd_buffers> = offsetof(swd_buffers, workspace_bytes) + sizeof(uint64_t);
template <>
inline constexpr uint32_t kFirstBytes<swd_step_args> = offsetof(swd_step_args, max_decay) + sizeof(double);
template <>
inline constexpr uint32_t kFirstBytes<swd_segment> = offsetof(swd_segment, flags) + sizeof(uint32_t);
template <>
inline constexpr uint32_t kFirstBytes<swd_group> = offsetof(swd_group, lr_pointer) + sizeof(float*);
// These came with 0.2.
template <>
inline constexpr uint32_t kFirstBytes<swd_fp32_arrays> = offsetof(swd_fp32_arrays, exp_avg_sq) + sizeof(void*);
template <>
inline constexpr uint32_t kFirstBytes<swd_state_header> = offsetof(swd_state_header, vbar_reference) + sizeof(double);
template <>
inline constexpr uint32_t kFirstBytes<swd_segment_state> = offsetof(swd_segment_state, exp_avg_sq_sum) + sizeof(double);

// The sizes that a struct may have. A shorter one than ours, of whatever version, ends where a member does; sizes that
// no compiler gives would leave half a pointer.
struct Sizes {
  uint32_t first, known, alignment;
};
template <class T>
inline constexpr Sizes kSizes = {kFirstBytes<T>, sizeof(T), alignof(T)};

// `bytes` is what the caller says its struct has; name and member say where. Copies what is known to both sides over
// `copy`. check_struct (check.h) is what entry points call.
swd_status adopt_bytes(const void* user, uint64_t bytes, const Sizes& sizes, const char* name, const char* member,
                       void* copy);

template <class T>
swd_status adopt(const T* user, const char* name, T& copy) {
  uint32_t bytes;
  memcpy(&bytes, user, sizeof bytes);
  return adopt_bytes(user, bytes, kSizes<T>, name, ".struct_size", &copy);
}

// The counterpart for the init functions: writes `initial` in as far as the caller knows it, zeros behind it.
swd_status init_bytes(void* user, uint64_t bytes, const Sizes& sizes, const void* initial);

// A stride is 0, for our own size, or at least the first version's.
swd_status check_stride(uint32_t stride, const Sizes& sizes, const char* name);

// True if element i of an array holds nothing that this version does not know. `out` gets what it does.
bool read_element_bytes(const void* array, uint32_t stride, int64_t i, uint32_t known_bytes, void* out);

template <class T>
bool read_element(const T* array, uint32_t stride, int64_t i, T& out) {
  out = T{};
  return read_element_bytes(array, stride, i, sizeof(T), &out);
}

}  // namespace swd
