// SPDX-License-Identifier: Apache-2.0
// The only place that launches kernels and translates CUDA errors. Called by the files beside it.
#pragma once
#include <cuda_runtime.h>

#include "../layout.h"
#include "host/error.h"
#include "tuning.h"

namespace swd::cuda {

enum Then : uint32_t { kNothing = 0, kPrepare = 1, kFold = 2, kDecide = 4, kReport = 8 };

// What every kernel of a step gets, by value.
struct Launch {
  Pass pass;
  double* record;         // of fold and decide
  uint32_t then;          // Then: what follows once all segments are reduced
  uint32_t may_prefetch;  // pass 2: it overlaps pass 1, and waits for it in time
  swd_group inline_groups[kInlineGroups];
};

// Turns the error of one call into a status and clears it, so that it does not surface in the caller's code.
inline swd_status check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return SWD_OK;
  (void)cudaGetLastError();
  set_error_cuda(error);
  bool no_device = error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver;
  return set_error(no_device ? SWD_ERR_NO_DEVICE : SWD_ERR_CUDA, "%s failed: %s (%s)", what, cudaGetErrorName(error),
                   cudaGetErrorString(error));
}

struct Device {
  int number;
  int multiprocessors;
};

inline swd_status query_device(Device& out) {
  swd_status status = check_cuda(cudaGetDevice(&out.number), "cudaGetDevice");
  if (status != SWD_OK) return status;
  return check_cuda(cudaDeviceGetAttribute(&out.multiprocessors, cudaDevAttrMultiProcessorCount, out.number),
                    "cudaDeviceGetAttribute");
}

// Blocks for `warps` warps of work: one warp each where there is little of it or, in order, much; else what is resident
// (kWavesInOrder).
inline unsigned int grid_size(const Device& device, const PlanFacts& plan, int64_t warps, int warps_per_block,
                              int blocks_per_multiprocessor) {
  int64_t blocks = divide_up(warps, warps_per_block);
  int64_t resident = static_cast<int64_t>(device.multiprocessors) * blocks_per_multiprocessor;
  bool in_order = blocks / kWavesInOrder >= resident && plan.element_count / kChunk >= plan.chunk_count / 2;
  if (blocks > resident && !in_order) blocks = resident;
  if (blocks > INT32_MAX) blocks = INT32_MAX;  // the largest grid; its warps then take more than one
  return static_cast<unsigned int>(blocks < 1 ? 1 : blocks);
}

// Has the kernel's code brought to the device now: asking for its attributes does. Left to its first launch it would be
// loaded there, which waits for kernels that run beside it and, with older drivers, breaks a capture.
template <class... Parameters>
swd_status load(void (*kernel)(Parameters...), cudaFuncAttributes* attributes = nullptr) {
  cudaFuncAttributes unused;
  return check_cuda(cudaFuncGetAttributes(attributes ? attributes : &unused, kernel), "cudaFuncGetAttributes");
}

// `overlaps`: programmatic dependent launch; the kernel may start before its predecessor in the stream has ended.
template <class... Parameters, class... Arguments>
swd_status launch(const char* name, void (*kernel)(Parameters...), unsigned int blocks, int threads, void* stream,
                  bool overlaps, const Arguments&... arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(static_cast<unsigned int>(threads));
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = overlaps ? 1 : 0;
  return check_cuda(cudaLaunchKernelEx(&config, kernel, arguments...), name);
}

}  // namespace swd::cuda
