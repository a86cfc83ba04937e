// SPDX-License-Identifier: Apache-2.0
// Status names and the thread-local line that says what failed. No allocation. Called from everywhere.
#pragma once
#include "swd/swd.h"

namespace swd {

// Formats the detail line (printf style, cut at 255 bytes) and returns `status`.
swd_status set_error(swd_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));

// What swd_error_cuda says from now on, in this thread.
void set_error_cuda(int32_t code);

}  // namespace swd
