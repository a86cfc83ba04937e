// SPDX-License-Identifier: Apache-2.0
// What is asked once of the current device: whether it is there and runs code of this build, whether a workspace and a
// stream are its own. Called by backend_cuda.cu.
#include "kernels.h"

namespace swd::cuda {
namespace {

// That kernels on the current device can use the workspace: its own memory, managed or mapped memory, or any where it
// reads pageable memory.
swd_status check_memory(const void* workspace, int device) {
  cudaPointerAttributes memory{};
  swd_status status = check_cuda(cudaPointerGetAttributes(&memory, workspace), "cudaPointerGetAttributes");
  if (status != SWD_OK) return status;
  if (memory.type == cudaMemoryTypeDevice && memory.device != device) {
    return set_error(SWD_ERR_DEVICE, "workspace at %p is memory of device %d, but device %d is current", workspace,
                     memory.device, device);
  }
  if (memory.type != cudaMemoryTypeUnregistered) return SWD_OK;
  int pageable = 0;
  status =
      check_cuda(cudaDeviceGetAttribute(&pageable, cudaDevAttrPageableMemoryAccess, device), "cudaDeviceGetAttribute");
  if (status != SWD_OK || pageable) return status;
  return set_error(SWD_ERR_DEVICE, "workspace at %p is no memory of device %d", workspace, device);
}

}  // namespace

swd_status available() {
  int devices = 0;
  swd_status status = check_cuda(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
  if (status == SWD_OK && devices == 0) status = check_cuda(cudaErrorNoDevice, "cudaGetDeviceCount");
  return status == SWD_OK ? find_code() : status;
}

swd_status check_device(const void* workspace, cudaStream_t stream) {
  int device = 0;
  swd_status status = check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  if (status == SWD_OK) status = check_memory(workspace, device);
#if CUDART_VERSION >= 12080
  int stream_device = device;
  if (status == SWD_OK && stream) {
    status = check_cuda(cudaStreamGetDevice(stream, &stream_device), "cudaStreamGetDevice");
  }
  if (status == SWD_OK && stream_device != device) {
    status = set_error(SWD_ERR_DEVICE, "stream is of device %d, but device %d is current", stream_device, device);
  }
#else
  (void)stream;  // this runtime cannot tell
#endif
  return status;
}

}  // namespace swd::cuda
