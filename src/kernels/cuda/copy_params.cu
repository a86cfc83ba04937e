// SPDX-License-Identifier: Apache-2.0
// Fills param_copy with the rounded parameters, as pass 2 would. Called by backend_cuda.cu.
#include "../record.h"
#include "kernels.h"
#include "vector.cuh"

namespace swd::cuda {
namespace {

// A warp takes chunk after chunk, element by element: once after a load, and bound by memory all the same.
template <class Copy>
__global__ void __launch_bounds__(kThreads) copy_params_kernel(const __grid_constant__ Launch args) {
  const Pass& pass = args.pass;
  if (pass.ws.header->fingerprint != pass.plan.fingerprint) return;
  int64_t warps = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t chunk = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; chunk < pass.plan.chunk_count; chunk += warps) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    const float* p = array_of<const float>(pass, SWD_BUFFER_PARAM, segment);
    Copy* copy = array_of<Copy>(pass, SWD_BUFFER_PARAM_COPY, segment);
    if (!p || !copy) continue;  // of a list, never set
    int64_t begin = (chunk - info.first_chunk) * kChunk;
    int64_t end = begin + kChunk < info.count ? begin + kChunk : info.count;
    for (int64_t i = begin + threadIdx.x % 32; i < end; i += 32) store_element(copy + i, __ldcs(p + i));
  }
}

using CopyKernel = void (*)(Launch);

CopyKernel kernel_of(const Plan& plan) {
  return plan.dtypes.copy == SWD_DTYPE_BF16 ? copy_params_kernel<Bf16> : copy_params_kernel<F16>;
}

}  // namespace

swd_status load_copy_params(const Plan& plan) {
  return plan.dtypes.copy == SWD_DTYPE_NONE ? SWD_OK : load(kernel_of(plan));
}

swd_status launch_copy_params(const Plan& plan, const Launch& args, void* stream) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  unsigned int blocks = grid_size(device, plan.facts, plan.facts.chunk_count, kWarps, kReduceBlocksPerSm);
  return launch("launch of the copy kernel", kernel_of(plan), blocks, kThreads, stream, false, args);
}

}  // namespace swd::cuda
