// SPDX-License-Identifier: Apache-2.0
// Which backends this build has. Called by every entry point.
#include "backend.h"

namespace swd {

#ifndef SWD_WITH_CUDA
const Backend* cuda_backend() { return nullptr; }
#endif

// A plan exists only for a backend that is there (check_plan).
const Backend& backend_of(const Plan& plan) {
  return plan.backend == SWD_BACKEND_CUDA ? *cuda_backend() : cpu_backend();
}

}  // namespace swd
