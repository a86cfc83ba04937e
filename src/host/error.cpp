// SPDX-License-Identifier: Apache-2.0
// Status names, and the line of this thread that says what its latest failed call complained about.
#include "error.h"

#include <cstdarg>
#include <cstddef>
#include <cstdio>

namespace swd {
namespace {

constexpr int kDetailBytes = 256;
thread_local char detail[kDetailBytes];

struct Name {
  int32_t value;
  const char* text;
};

#define SWD_NAME(constant) \
  { constant, #constant }

constexpr Name kStatusNames[] = {
    SWD_NAME(SWD_OK),
    SWD_NAME(SWD_ERR_NULL),
    SWD_NAME(SWD_ERR_STRUCT_SIZE),
    SWD_NAME(SWD_ERR_FLAGS),
    SWD_NAME(SWD_ERR_ENUM),
    SWD_NAME(SWD_ERR_VALUE),
    SWD_NAME(SWD_ERR_SIZE),
    SWD_NAME(SWD_ERR_LAYOUT),
    SWD_NAME(SWD_ERR_ALIGNMENT),
    SWD_NAME(SWD_ERR_OVERLAP),
    SWD_NAME(SWD_ERR_UNEXPECTED),
    SWD_NAME(SWD_ERR_WORKSPACE),
    SWD_NAME(SWD_ERR_UNSUPPORTED),
    SWD_NAME(SWD_ERR_NO_CUDA),
    SWD_NAME(SWD_ERR_NO_DEVICE),
    SWD_NAME(SWD_ERR_MEMORY),
    SWD_NAME(SWD_ERR_CUDA),
    SWD_NAME(SWD_ERR_BLOB_MAGIC),
    SWD_NAME(SWD_ERR_BLOB_VERSION),
    SWD_NAME(SWD_ERR_BLOB_SIZE),
    SWD_NAME(SWD_ERR_BLOB_CHECKSUM),
    SWD_NAME(SWD_ERR_BLOB_VALUE),
    SWD_NAME(SWD_ERR_BLOB_PLAN),
};

constexpr Name kStepStatusNames[] = {
    SWD_NAME(SWD_STEP_NONE),
    SWD_NAME(SWD_STEP_APPLIED),
    SWD_NAME(SWD_STEP_SKIPPED_NONFINITE),
    SWD_NAME(SWD_STEP_SKIPPED_OVERFLOW),
    SWD_NAME(SWD_STEP_SKIPPED_UNDERFLOW),
    SWD_NAME(SWD_STEP_SKIPPED_INVALID),
    SWD_NAME(SWD_STEP_SKIPPED_SUM_UNKNOWN),
    SWD_NAME(SWD_STEP_NOT_ARMED),
};

#undef SWD_NAME

template <size_t kCount>
const char* name_of(const Name (&names)[kCount], int32_t value) {
  for (const Name& name : names) {
    if (name.value == value) return name.text;
  }
  return "unknown";
}

}  // namespace

swd_status set_error(swd_status status, const char* format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(detail, sizeof detail, format, values);
  va_end(values);
  return status;
}

}  // namespace swd

extern "C" {

const char* swd_status_name(swd_status status) { return swd::name_of(swd::kStatusNames, status); }

const char* swd_step_status_name(swd_step_status status) { return swd::name_of(swd::kStepStatusNames, status); }

const char* swd_error_detail(void) { return swd::detail; }

}  // extern "C"
