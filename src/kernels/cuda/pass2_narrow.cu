// SPDX-License-Identifier: Apache-2.0
// The kernels of pass 2 where parameters or moments are not fp32: a file of its own, so that both compile at once.
// Called by pass2_update.cu.
#include "pass2_kernel.cuh"

namespace swd::cuda {

UpdateKernel narrow_kernel_of(const Plan& plan) {
  bool norms = (plan.facts.flags & SWD_PLAN_UPDATE_NORMS) != 0, amsgrad = (plan.facts.flags & SWD_PLAN_AMSGRAD) != 0;
  UpdateKernel kernel = nullptr;
  visit_dtypes(plan.dtypes, [&](auto types) {
    using Types = decltype(types);
    if constexpr (!Types::kPlain) {
      kernel = norms ? update_kernel<NarrowItem, Types, false, true> : update_kernel<NarrowItem, Types, false, false>;
      if constexpr (Types::kAmsgrad) {
        if (amsgrad) {
          kernel = norms ? update_kernel<NarrowItem, Types, true, true> : update_kernel<NarrowItem, Types, true, false>;
        }
      }
    }
  });
  return kernel;
}

}  // namespace swd::cuda
