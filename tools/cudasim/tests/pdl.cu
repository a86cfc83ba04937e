// SPDX-License-Identifier: Apache-2.0
// Programmatic dependent launch. usage: pdl <case>; run.sh also checks the output.
#include <chrono>
#include <string>

#include "common.h"

#ifdef SM75  // as in a version for devices without it
#define TRIGGER
#define WAIT
#else
#define TRIGGER asm volatile("griddepcontrol.launch_dependents;")
#define WAIT asm volatile("griddepcontrol.wait;" ::: "memory")
#endif

__global__ void fill(int* x, int rounds) {
  TRIGGER;
  for (int i = 0; i < rounds; i++) x[blockIdx.x * blockDim.x + threadIdx.x] = i + 1;
}
__global__ void gather(const int* x, int* y, int n) {
  WAIT;
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i % n];
}
// the same with a trigger, as the middle of a chain
__global__ void addOne(const int* x, int* y) {
  TRIGGER;
  WAIT;
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i] + 1;
}
// two blocks take turns: many rounds of the scheduler
__global__ void pingPong(unsigned* turn, unsigned n) {
  TRIGGER;
  for (unsigned k = blockIdx.x; k < n; k += 2) {
    while (atomicAdd(turn, 0) != k) {
    }
    atomicAdd(turn, 1);
  }
}
__global__ void longLoop(const unsigned* turn, unsigned* o, unsigned n) {
  WAIT;
  unsigned s = *turn;
  for (unsigned i = 0; i < n; i++) s = s * 1664525u + (s >> 7);
  o[threadIdx.x] = s;
}
// blocks of the dependent take turns before the wait (spinning, all of them resident)
__global__ void relay(unsigned* turn, int* y) {
  if (threadIdx.x == 0) {
    while (atomicAdd(turn, 0) != gridDim.x - 1 - blockIdx.x) {
    }
    atomicAdd(turn, 1);
  }
  __syncthreads();
  WAIT;
  y[blockIdx.x] = atomicAdd(turn, 0);
}
__global__ void touch(const int* a, int* o) {
  TRIGGER;
  o[threadIdx.x] = a[threadIdx.x];
}
__global__ void touchEarly(const int* b, int* o) {
  int x = b[blockIdx.x * 256 + threadIdx.x];
  WAIT;
  if (x == 3) o[threadIdx.x] = x;
}
__global__ void noWait(int* y) { y[threadIdx.x] = 1; }
// what a dependent sees before its wait shows the order
__global__ void peek(const volatile int* x, int* y) {
  int before = x[threadIdx.x];
  WAIT;
  y[threadIdx.x] = before;
}
__global__ void untriggered(int* x) { x[threadIdx.x] = 1; }
__global__ void lastBlock(unsigned* count, int* part, int* out, int nc) {
  part[blockIdx.x] = 1;
  __threadfence();
  if (atomicAdd(count, 1) == gridDim.x - 1) {
    int s = 0;
    for (int i = 0; i < gridDim.x; i++) s += nc ? __ldg(part + i) : *(volatile int*)(part + i);
    *out = s;
  }
}
__global__ void ncInput(const int* __restrict__ x, int* __restrict__ y) { y[threadIdx.x] = x[threadIdx.x] + __ldg(x); }

// launches a kernel that may start before the one in front of it has finished
template <class... P, class... A>
static void dependent(void (*f)(P...), int grid, int block, cudaStream_t s, A... args) {
  cudaLaunchConfig_t c = {};
  c.gridDim = dim3(grid);
  c.blockDim = dim3(block);
  c.stream = s;
  cudaLaunchAttribute a = {};
  a.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  a.val.programmaticStreamSerializationAllowed = 1;
  c.attrs = &a;
  c.numAttrs = 1;
  CU(cudaLaunchKernelEx(&c, f, P(args)...));
}
template <class T>
static T* zeros(size_t n) {
  T* d;
  CU(cudaMalloc(&d, n * sizeof(T)));
  CU(cudaMemset(d, 0, n * sizeof(T)));
  return d;
}

// captures: primary with an event attribute (0: none), dependent on another stream
static void port(int event, int atStart, int wantType, int wantPort, bool kernelAfter = true) {
  cudaStream_t s, t;
  cudaEvent_t e, join;
  CU(cudaStreamCreate(&s));
  CU(cudaStreamCreate(&t));
  CU(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  CU(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  int* x = zeros<int>(64);
  int* y = zeros<int>(64);
  CU(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  cudaLaunchConfig_t c = {};
  c.gridDim = dim3(2);
  c.blockDim = dim3(32);
  c.stream = s;
  cudaLaunchAttribute a = {};
  if (event == 1) {
    a.id = cudaLaunchAttributeProgrammaticEvent;
    a.val.programmaticEvent.event = e;
    a.val.programmaticEvent.triggerAtBlockStart = atStart;
  } else if (event == 2) {
    a.id = cudaLaunchAttributeLaunchCompletionEvent;
    a.val.launchCompletionEvent.event = e;
  }
  c.attrs = &a;
  c.numAttrs = event != 0;
  CU(cudaLaunchKernelEx(&c, fill, x, 50));
  if (event) {
    CU(cudaStreamWaitEvent(t, e, 0));
    const cudaGraphEdgeData* ed;
    size_t n;
    cudaStreamCaptureStatus st;
    const cudaGraphNode_t* deps;
    CU(cudaStreamGetCaptureInfo(t, &st, nullptr, nullptr, &deps, &ed, &n));
    CHECK(n == 1 && ed[0].type == cudaGraphDependencyTypeProgrammatic && ed[0].from_port != 0);
    if (kernelAfter)
      gather<<<2, 32, 0, t>>>(x, y, 64);
    else
      CU(cudaMemcpyAsync(y, x, 256, cudaMemcpyDeviceToDevice, t));
    CU(cudaEventRecord(join, t));
    CU(cudaStreamWaitEvent(s, join, 0));
  } else {
    dependent(gather, 2, 32, s, x, y, 64);
  }
  cudaGraph_t g;
  cudaGraphExec_t ex;
  CU(cudaStreamEndCapture(s, &g));
  cudaGraphNode_t from[4], to[4];
  cudaGraphEdgeData ed[4];
  size_t n = 4;
  CU(cudaGraphGetEdges(g, from, to, ed, &n));
  CHECK(n == 1 && ed[0].type == wantType && ed[0].from_port == wantPort && ed[0].to_port == 0);
  CHECK(cudaGraphGetEdges(g, from, to, nullptr, &n) == (wantType ? cudaErrorLossyQuery : cudaSuccess));
  cudaGetLastError();
  cudaGraphNode_t nodes[4];
  n = 4;
  CU(cudaGraphNodeGetDependencies(to[0], nodes, ed, &n));
  CHECK(n == 1 && nodes[0] == from[0] && ed[0].from_port == wantPort);
  n = 4;
  CU(cudaGraphNodeGetDependentNodes(from[0], nodes, ed, &n));
  CHECK(n == 1 && nodes[0] == to[0] && ed[0].from_port == wantPort);
  CU(cudaGraphInstantiate(&ex, g, 0));
  CU(cudaGraphLaunch(ex, s));
  CU(cudaStreamSynchronize(s));
  for (int v : download(y, 64)) CHECK(v == 50);
}

int main(int argc, char** argv) {
  std::string c = argc > 1 ? argv[1] : "";
  cudaStream_t s;
  CU(cudaStreamCreate(&s));
  if (c == "many") {  // time must be linear in the number of waiting blocks
    int n = 30000, p = 200;
    int* x = zeros<int>(p * 128);
    int* y = zeros<int>((size_t)n * 128);
    auto t = std::chrono::steady_clock::now();
    fill<<<p, 128, 0, s>>>(x, 100);
    dependent(gather, n, 128, s, x, y, p * 128);
    CU(cudaStreamSynchronize(s));
    double sec = std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
    fprintf(stderr, "%.2f s\n", sec);
    CHECK(sec < 15);
    for (int v : download(y, (size_t)n * 128)) CHECK(v == 100);
  } else if (c == "chain") {
    int n = 1500;
    int* x = zeros<int>(n * 64);
    fill<<<n, 64, 0, s>>>(x, 10);
    for (int i = 0; i < 3; i++) dependent(addOne, n, 64, s, x, x);
    dependent(gather, n, 64, s, x, x, n * 64);
    CU(cudaStreamSynchronize(s));
    for (int v : download(x, n * 64)) CHECK(v == 13);
  } else if (c == "rounds") {  // rounds spent waiting for the primary are no livelock
    unsigned* turn = zeros<unsigned>(1);
    unsigned* o = zeros<unsigned>(32);
    pingPong<<<2, 1, 0, s>>>(turn, 8000);
    dependent(longLoop, 1, 32, s, turn, o, 100000u);
    CU(cudaStreamSynchronize(s));
    unsigned want = 8000;
    for (int i = 0; i < 100000; i++) want = want * 1664525u + (want >> 7);
    CHECK(download(o, 32)[31] == want);
  } else if (c == "relay") {
    int n = 40;
    int* x = zeros<int>(64);
    unsigned* turn = zeros<unsigned>(1);
    int* y = zeros<int>(n);
    fill<<<2, 32, 0, s>>>(x, 10);
    dependent(relay, n, 32, s, turn, y);
    CU(cudaStreamSynchronize(s));
    for (int v : download(y, n)) CHECK(v == n);
  } else if (c == "stats") {  // run.sh reads the counters
    int *a = zeros<int>(256), *o = zeros<int>(256), *b = zeros<int>(64 * 256);
    touch<<<2, 256, 0, s>>>(a, o);
    dependent(touchEarly, 64, 256, s, b, o);
    CU(cudaStreamSynchronize(s));
  } else if (c == "ports") {
    port(0, 0, cudaGraphDependencyTypeProgrammatic, cudaGraphKernelNodePortProgrammatic);
    port(1, 0, cudaGraphDependencyTypeProgrammatic, cudaGraphKernelNodePortProgrammatic);
    port(1, 1, cudaGraphDependencyTypeProgrammatic, cudaGraphKernelNodePortLaunchCompletion);
    port(2, 0, cudaGraphDependencyTypeProgrammatic, cudaGraphKernelNodePortLaunchCompletion);
    port(1, 0, cudaGraphDependencyTypeDefault, cudaGraphKernelNodePortDefault, false);
    // edges of a graph built by hand
    cudaGraph_t g;
    CU(cudaGraphCreate(&g, 0));
    int *x = zeros<int>(64), *y = zeros<int>(64), rounds = 5, n = 64;
    cudaKernelNodeParams p = {}, q = {};
    void* pa[] = {&x, &rounds};
    void* qa[] = {&x, &y, &n};
    p.func = (void*)fill;
    p.gridDim = dim3(2);
    p.blockDim = dim3(32);
    p.kernelParams = pa;
    q.func = (void*)gather;
    q.gridDim = dim3(2);
    q.blockDim = dim3(32);
    q.kernelParams = qa;
    cudaGraphNode_t a, b, from[2], to[2];
    CU(cudaGraphAddKernelNode(&a, g, nullptr, 0, &p));
    CU(cudaGraphAddKernelNode(&b, g, nullptr, 0, &q));
    cudaGraphEdgeData ed = {};
    ed.type = cudaGraphDependencyTypeProgrammatic;
    CHECK(cudaGraphAddDependencies(g, &a, &b, &ed, 1) == cudaErrorInvalidValue);  // no port
    cudaGetLastError();
    ed.from_port = cudaGraphKernelNodePortLaunchCompletion;
    CU(cudaGraphAddDependencies(g, &a, &b, &ed, 1));
    cudaGraphEdgeData out[2];
    size_t k = 2;
    CU(cudaGraphGetEdges(g, from, to, out, &k));
    CHECK(k == 1 && out[0].type == cudaGraphDependencyTypeProgrammatic &&
          out[0].from_port == cudaGraphKernelNodePortLaunchCompletion);
    cudaGraphExec_t ex;
    CU(cudaGraphInstantiate(&ex, g, 0));
    CU(cudaGraphLaunch(ex, s));
    CU(cudaStreamSynchronize(s));
    for (int v : download(y, 64)) CHECK(v == 5);
  } else if (c == "nowait" || c == "wait") {
    int *x = zeros<int>(256), *y = zeros<int>(256);
    fill<<<4, 32, 0, s>>>(x, 1000);
    if (c == "wait")
      dependent(gather, 4, 32, s, x, y, 128);
    else
      dependent(noWait, 1, 32, s, y);
    CU(cudaStreamSynchronize(s));
  } else if (c == "implicit") {  // the trigger of a primary without one: its end
    int *x = zeros<int>(32), *y = zeros<int>(32);
    untriggered<<<1, 32, 0, s>>>(x);
    dependent(noWait, 1, 32, s, y);
    CU(cudaStreamSynchronize(s));
  } else if (c == "order") {
    int *x = zeros<int>(32), *y = zeros<int>(32);
    fill<<<1, 32, 0, s>>>(x, 5);
    dependent(peek, 1, 32, s, x, y);
    CU(cudaStreamSynchronize(s));
    int seen = download(y, 1)[0];
    printf("%s: ", seen == 5 ? "primary first" : seen == 0 ? "dependent first" : "mixed");
  } else if (c == "nc" || c == "coherent") {
    int *part = zeros<int>(16), *y = zeros<int>(32);
    unsigned* count = zeros<unsigned>(1);
    lastBlock<<<16, 1, 0, s>>>(count, part, y, c == "nc");
    ncInput<<<1, 16, 0, s>>>(part, y + 16);  // written by an earlier launch: no finding
    CU(cudaStreamSynchronize(s));
    CHECK(download(y, 1)[0] == 16 && download(y + 16, 1)[0] == 2);
  } else {
    fprintf(stderr, "unknown case\n");
    return 2;
  }
  printf("%s ok\n", c.c_str());
  return 0;
}
