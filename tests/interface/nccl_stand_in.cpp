// SPDX-License-Identifier: Apache-2.0
// A libnccl.so.2 with the calls of examples/sharded/main_nccl.cu, for simulated devices: a collective is what the host
// sums, in the order of ranks. It refuses what NCCL would wait for without end, or answer with garbage: groups without
// all ranks, ranks that ask for different things, memory of another device.
#include <cuda_runtime.h>
#include <nccl.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

struct ncclComm {
  int rank;
  size_t ranks;
};

namespace {
enum class Kind { kGather, kScatter, kSum };
struct Call {
  Kind kind;
  const void* send;
  void* recv;
  size_t count;
  ncclDataType_t type;
  ncclComm_t comm;
  cudaStream_t stream;
};
std::vector<Call> group;
bool grouped = false;
const char* problem = "";

struct Communicators {
  int alive = 0;
  ~Communicators() {
    if (alive == 0) return;
    std::fprintf(stderr, "%d communicators were not destroyed\n", alive);
    std::_Exit(1);
  }
} communicators;

ncclResult_t refuse(const char* what) { return problem = what, ncclInvalidUsage; }

// The memory is this rank's; waits for what the rank's stream has before the call.
bool prepare(const Call& call) {
  cudaPointerAttributes send, recv;
  return cudaPointerGetAttributes(&send, call.send) == cudaSuccess && send.device == call.comm->rank &&
         cudaPointerGetAttributes(&recv, call.recv) == cudaSuccess && recv.device == call.comm->rank &&
         cudaSetDevice(call.comm->rank) == cudaSuccess && cudaStreamSynchronize(call.stream) == cudaSuccess;
}

template <typename T>
ncclResult_t run() {
  const Call& first = group.front();
  size_t ranks = group.size();
  size_t sent = first.kind == Kind::kScatter ? ranks * first.count : first.count;
  std::vector<T> all(ranks * sent), sum(sent);
  for (const Call& call : group) {
    T* mine = &all[static_cast<size_t>(call.comm->rank) * sent];
    if (!prepare(call)) return refuse("memory or stream of another device");
    if (cudaMemcpy(mine, call.send, sent * sizeof(T), cudaMemcpyDeviceToHost) != cudaSuccess)
      return ncclUnhandledCudaError;
  }
  for (size_t i = 0; i < all.size(); ++i) sum[i % sent] += all[i];
  for (const Call& call : group) {
    const std::vector<T>& from = call.kind == Kind::kGather ? all : sum;
    const T* out = from.data() + (call.kind == Kind::kScatter ? static_cast<size_t>(call.comm->rank) * call.count : 0);
    size_t count = call.kind == Kind::kGather ? all.size() : call.count;
    cudaSetDevice(call.comm->rank);
    if (cudaMemcpyAsync(call.recv, out, count * sizeof(T), cudaMemcpyHostToDevice, call.stream) != cudaSuccess)
      return ncclUnhandledCudaError;
  }
  return ncclSuccess;
}

ncclResult_t enqueue(const Call& call) {
  if (!grouped) return refuse("a call outside of a group waits for the other ranks for ever");
  for (const Call& other : group) {
    if (other.comm == call.comm) return refuse("two calls of one rank: this stand-in runs one collective a group");
    if (other.kind != call.kind || other.count != call.count || other.type != call.type) return refuse("ranks differ");
  }
  return group.push_back(call), ncclSuccess;
}
}  // namespace

extern "C" {
ncclResult_t ncclGetVersion(int* version) { return *version = 0, ncclSuccess; }
ncclResult_t ncclCommInitAll(ncclComm_t* comms, int count, const int*) {
  for (int r = 0; r < count; ++r) comms[r] = new ncclComm{r, static_cast<size_t>(count)};
  communicators.alive += count;
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) { return delete comm, --communicators.alive, ncclSuccess; }
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) { return *error = ncclSuccess, ncclSuccess; }
const char* ncclGetErrorString(ncclResult_t) { return "stand-in for NCCL"; }
const char* ncclGetLastError(ncclComm_t) { return problem; }
ncclResult_t ncclGroupStart() { return grouped = true, ncclSuccess; }

ncclResult_t ncclGroupEnd() {
  grouped = false;
  if (group.empty() || group.size() != group.front().comm->ranks) return refuse("not all ranks are in the group");
  int device = 0;
  cudaGetDevice(&device);
  ncclResult_t result = group.front().type == ncclDouble  ? run<double>()
                        : group.front().type == ncclFloat ? run<float>()
                                                          : refuse("neither fp64 nor fp32");
  cudaSetDevice(device);
  group.clear();
  return result;
}

ncclResult_t ncclAllGather(const void* send, void* recv, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return enqueue({Kind::kGather, send, recv, count, type, comm, stream});
}
ncclResult_t ncclReduceScatter(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
  return op == ncclSum ? enqueue({Kind::kScatter, send, recv, count, type, comm, stream}) : refuse("not a sum");
}
ncclResult_t ncclAllReduce(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  return op == ncclSum ? enqueue({Kind::kSum, send, recv, count, type, comm, stream}) : refuse("not a sum");
}
}
