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
thread_local int32_t cuda_code = 0;

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
    SWD_NAME(SWD_ERR_DEVICE),
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

constexpr Name kResultNames[] = {
    SWD_NAME(SWD_RESULT_NONE),
    SWD_NAME(SWD_RESULT_APPLIED),
    SWD_NAME(SWD_RESULT_SKIPPED_NONFINITE),
    SWD_NAME(SWD_RESULT_SKIPPED_OVERFLOW),
    SWD_NAME(SWD_RESULT_SKIPPED_UNDERFLOW),
    SWD_NAME(SWD_RESULT_SKIPPED_INVALID),
    SWD_NAME(SWD_RESULT_SKIPPED_SUM_UNKNOWN),
    SWD_NAME(SWD_RESULT_NOT_ARMED),
    SWD_NAME(SWD_RESULT_SKIPPED_VBAR),
    SWD_NAME(SWD_RESULT_FOREIGN_WORKSPACE),
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

void set_error_cuda(int32_t code) { cuda_code = code; }

}  // namespace swd

extern "C" {

const char* swd_status_name(swd_status status) { return swd::name_of(swd::kStatusNames, status); }

const char* swd_result_name(swd_result result) { return swd::name_of(swd::kResultNames, result); }

const char* swd_error_detail(void) { return swd::detail; }

int32_t swd_error_cuda(void) { return swd::cuda_code; }

}  // extern "C"
