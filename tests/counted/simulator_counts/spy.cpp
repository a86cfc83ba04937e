// SPDX-License-Identifier: Apache-2.0
// Stands in for the runtime's functions, in this program and in the library under test, and passes each call on.
#include "spy.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

namespace swd::test {
std::vector<void*> streams_seen;
std::vector<const void*> kernels_loaded, kernels_launched;
int waits = 0;
}  // namespace swd::test

using swd::test::kernels_launched, swd::test::kernels_loaded, swd::test::streams_seen, swd::test::waits;

namespace {
template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
}  // namespace

extern "C" {
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  streams_seen.push_back(config->stream);
  kernels_launched.push_back(kernel);
  return real<decltype(&cudaLaunchKernelExC)>("cudaLaunchKernelExC")(config, kernel, arguments);
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  kernels_loaded.push_back(kernel);
  return real<decltype(&cudaFuncGetAttributes)>("cudaFuncGetAttributes")(attributes, kernel);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  streams_seen.push_back(stream);
  return real<decltype(&cudaMemcpyAsync)>("cudaMemcpyAsync")(to, from, bytes, kind, stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  streams_seen.push_back(stream);
  return real<decltype(&cudaMemsetAsync)>("cudaMemsetAsync")(to, value, bytes, stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++waits;
  streams_seen.push_back(stream);
  return real<decltype(&cudaStreamSynchronize)>("cudaStreamSynchronize")(stream);
}
}
