// SPDX-License-Identifier: Apache-2.0
// Copies between the caller's version of a struct and ours.
#include "adopt.h"

namespace swd {
namespace {

// No version will be longer. It bounds what is read when struct_size was never set.
constexpr uint32_t kLongest = 4096;

bool all_zero(const char* at, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; ++i) {
    if (at[i] != 0) return false;
  }
  return true;
}

swd_status check_struct_bytes(uint64_t bytes, const Sizes& sizes, const char* name, const char* member) {
  unsigned long long given = bytes;
  if (bytes < sizes.first || bytes > kLongest) {
    return set_error(SWD_ERR_STRUCT_SIZE, "%s%s is %llu, expected %u to %u", name, member, given, sizes.first,
                     kLongest);
  }
  if (bytes >= sizes.known || bytes % sizes.alignment == 0) return SWD_OK;
  return set_error(SWD_ERR_STRUCT_SIZE, "%s%s is %llu, which ends inside a member", name, member, given);
}

uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

}  // namespace

swd_status adopt_bytes(const void* user, uint64_t bytes, const Sizes& sizes, const char* name, const char* member,
                       void* copy) {
  if (swd_status status = check_struct_bytes(bytes, sizes, name, member)) return status;
  const uint32_t known_bytes = sizes.known;
  const char* from = static_cast<const char*>(user);
  if (bytes > known_bytes && !all_zero(from + known_bytes, bytes - known_bytes)) {
    return set_error(SWD_ERR_STRUCT_SIZE, "%s%s is %llu, and a member behind byte %u, unknown here, is set", name,
                     member, static_cast<unsigned long long>(bytes), known_bytes);
  }
  memcpy(copy, from, smaller(bytes, known_bytes));
  return SWD_OK;
}

swd_status init_bytes(void* user, uint64_t bytes, const Sizes& sizes, const void* initial) {
  if (swd_status status = check_struct_bytes(bytes, sizes, "struct_size", "")) return status;
  uint32_t struct_size = static_cast<uint32_t>(bytes);
  memset(user, 0, bytes);
  memcpy(user, initial, smaller(bytes, sizes.known));
  memcpy(user, &struct_size, sizeof struct_size);
  return SWD_OK;
}

swd_status check_stride(uint32_t stride, const Sizes& sizes, const char* name) {
  return stride == 0 ? SWD_OK : check_struct_bytes(stride, sizes, name, "");
}

bool read_element_bytes(const void* array, uint32_t stride, int64_t i, uint32_t known_bytes, void* out) {
  uint64_t bytes = stride == 0 ? known_bytes : stride;
  const char* from = static_cast<const char*>(array) + bytes * static_cast<uint64_t>(i);
  memcpy(out, from, smaller(bytes, known_bytes));
  return bytes <= known_bytes || all_zero(from + known_bytes, bytes - known_bytes);
}

}  // namespace swd
