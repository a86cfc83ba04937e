// SPDX-License-Identifier: Apache-2.0
// Streams, events, graphs, programmatic dependent launch.
#include "common.h"

__global__ void add(int* x, int v, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += v;
}
__global__ void mul(int* x, int v, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= v;
}
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
__global__ void pdlPrimary(int* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  cudaTriggerProgrammaticLaunchCompletion();
  for (int k = 0; k < 50; k++)
    if (i < n) x[i] = x[i] + 1;
}
__global__ void pdlSecondary(const int* x, int* y, int n, int wait) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (wait) cudaGridDependencySynchronize();
  if (i < n) y[i] = x[i];
}
#else
__global__ void pdlPrimary(int* x, int n) {}
__global__ void pdlSecondary(const int* x, int* y, int n, int wait) {}
#endif

static void pdlPair(int* x, int* y, int n, int wait, cudaStream_t s) {
  CU(cudaMemsetAsync(x, 0, n * 4, s));
  pdlPrimary<<<(n + 63) / 64, 64, 0, s>>>(x, n);
  cudaLaunchConfig_t c = {};
  c.gridDim = dim3((n + 63) / 64);
  c.blockDim = dim3(64);
  c.stream = s;
  cudaLaunchAttribute a[1];
  a[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  a[0].val.programmaticStreamSerializationAllowed = 1;
  c.attrs = a;
  c.numAttrs = 1;
  CU(cudaLaunchKernelEx(&c, pdlSecondary, (const int*)x, y, n, wait));
}

int main() {
  int n = 5000;
  std::vector<int> h(n, 1);
  int* d = upload(h);
  dim3 g((n + 127) / 128), b(128);
  cudaStream_t s1, s2;
  CU(cudaStreamCreateWithFlags(&s1, cudaStreamNonBlocking));
  CU(cudaStreamCreateWithFlags(&s2, cudaStreamNonBlocking));
  cudaEvent_t e1, e2;
  CU(cudaEventCreate(&e1));
  CU(cudaEventCreate(&e2));

  // work is deferred: a host read of pinned memory before synchronization is stale
  int* pin;
  CU(cudaMallocHost(&pin, 4));
  *pin = -7;
  add<<<g, b, 0, s1>>>(d, 1, n);
  CU(cudaMemcpyAsync(pin, d, 4, cudaMemcpyDeviceToHost, s1));
  CHECK(*pin == -7);
  CHECK(cudaStreamQuery(s1) == cudaErrorNotReady);
  CU(cudaStreamSynchronize(s1));
  CHECK(*pin == 2);
  CHECK(cudaStreamQuery(s1) == cudaSuccess);

  // cross-stream order through an event
  CU(cudaEventRecord(e1, s1));
  mul<<<g, b, 0, s1>>>(d, 10, n);
  CU(cudaEventRecord(e2, s1));
  CU(cudaStreamWaitEvent(s2, e2, 0));
  add<<<g, b, 0, s2>>>(d, 3, n);
  CU(cudaStreamSynchronize(s2));
  CHECK(download(d, n)[n - 1] == 23);
  float ms;
  CU(cudaEventElapsedTime(&ms, e1, e2));
  CHECK(ms >= 0);

  // host function and legacy stream ordering
  cudaStream_t blk;
  CU(cudaStreamCreate(&blk));
  static int calls = 0;
  add<<<g, b, 0, blk>>>(d, 1, n);
  CU(cudaLaunchHostFunc(
      blk, [](void* p) { ++*(int*)p; }, &calls));
  mul<<<g, b>>>(d, 2, n);  // legacy stream waits for blk
  CHECK(calls == 0);
  CHECK(download(d, n)[0] == 48);
  CHECK(calls == 1);

  // capture with fork/join, replay, update
  cudaGraph_t graph;
  cudaGraphExec_t ex;
  CU(cudaStreamBeginCapture(s1, cudaStreamCaptureModeGlobal));
  cudaStreamCaptureStatus st;
  CU(cudaStreamIsCapturing(s1, &st));
  CHECK(st == cudaStreamCaptureStatusActive);
  int* d2;
  CHECK(cudaMalloc(&d2, 4) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(s1, &graph) == cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  CU(cudaMalloc(&d2, n * 4));
  CU(cudaStreamBeginCapture(s1, cudaStreamCaptureModeThreadLocal));
  CU(cudaMemsetAsync(d, 0, n * 4, s1));
  CU(cudaEventRecord(e1, s1));
  CU(cudaStreamWaitEvent(s2, e1, 0));
  add<<<g, b, 0, s1>>>(d, 5, n);
  CU(cudaMemsetAsync(d2, 0, n * 4, s2));
  add<<<g, b, 0, s2>>>(d2, 7, n);
  CU(cudaEventRecord(e2, s2));
  CU(cudaStreamWaitEvent(s1, e2, 0));
  mul<<<g, b, 0, s1>>>(d, 3, n);
  CU(cudaStreamEndCapture(s1, &graph));
  size_t nn = 0;
  CU(cudaGraphGetNodes(graph, nullptr, &nn));
  CHECK(nn == 5);
  CU(cudaGraphInstantiate(&ex, graph, 0));
  CHECK(download(d, n)[0] == 48);  // nothing ran
  for (int i = 0; i < 3; i++) {
    CU(cudaGraphLaunch(ex, s1));
    CU(cudaStreamSynchronize(s1));
    CHECK(download(d, n)[17] == 15 && download(d2, n)[n - 1] == 7);
  }
  // change a kernel argument
  std::vector<cudaGraphNode_t> nodes(nn);
  CU(cudaGraphGetNodes(graph, nodes.data(), &nn));
  for (auto nd : nodes) {
    cudaGraphNodeType t;
    CU(cudaGraphNodeGetType(nd, &t));
    if (t != cudaGraphNodeTypeKernel) continue;
    cudaKernelNodeParams kp;
    CU(cudaGraphKernelNodeGetParams(nd, &kp));
    if (kp.func == (void*)mul) {
      int v = 4;
      void* args[] = {&d, &v, &n};
      kp.kernelParams = args;
      CU(cudaGraphExecKernelNodeSetParams(ex, nd, &kp));
    }
  }
  CU(cudaGraphLaunch(ex, s1));
  CU(cudaStreamSynchronize(s1));
  CHECK(download(d, n)[17] == 20);
  CU(cudaGraphExecDestroy(ex));
  CU(cudaGraphDestroy(graph));
  // unjoined fork
  CU(cudaStreamBeginCapture(s1, cudaStreamCaptureModeRelaxed));
  CU(cudaEventRecord(e1, s1));
  CU(cudaStreamWaitEvent(s2, e1, 0));
  add<<<g, b, 0, s2>>>(d2, 7, n);
  CHECK(cudaStreamEndCapture(s1, &graph) == cudaErrorStreamCaptureUnjoined);
  cudaGetLastError();

#ifdef SM90
  int *x, *y;
  CU(cudaMalloc(&x, n * 4));
  CU(cudaMalloc(&y, n * 4));
  pdlPair(x, y, n, 1, s1);
  CU(cudaStreamSynchronize(s1));
  auto r = download(y, n);
  for (int v : r) CHECK(v == 50);
  pdlPair(x, y, n, 0, s1);  // without the wait stale values must be visible
  CU(cudaStreamSynchronize(s1));
  r = download(y, n);
  int stale = 0;
  for (int v : r) stale += v != 50;
  CHECK(stale > 0);
  // the same pair inside a graph
  CU(cudaStreamBeginCapture(s1, cudaStreamCaptureModeGlobal));
  pdlPair(x, y, n, 1, s1);
  CU(cudaStreamEndCapture(s1, &graph));
  CU(cudaGraphInstantiate(&ex, graph, 0));
  CU(cudaGraphLaunch(ex, s1));
  CU(cudaStreamSynchronize(s1));
  for (int v : download(y, n)) CHECK(v == 50);
#endif
  // stream-ordered allocation
  int* q;
  CU(cudaMallocAsync(&q, n * 4, s1));
  CU(cudaMemsetAsync(q, 0, n * 4, s1));
  add<<<g, b, 0, s1>>>(q, 9, n);
  CU(cudaMemcpyAsync(pin, q, 4, cudaMemcpyDeviceToHost, s1));
  CU(cudaFreeAsync(q, s1));
  CU(cudaStreamSynchronize(s1));
  CHECK(*pin == 9);
  // managed memory is visible on the host
  int* m;
  CU(cudaMallocManaged(&m, n * 4));
  for (int i = 0; i < n; i++) m[i] = i;
  mul<<<g, b>>>(m, 2, n);
  CU(cudaDeviceSynchronize());
  for (int i = 0; i < n; i++) CHECK(m[i] == 2 * i);
  printf("streams ok\n");
  return 0;
}
