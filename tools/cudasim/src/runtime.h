// SPDX-License-Identifier: Apache-2.0
// Simulated CUDA runtime: registration, streams, events, graphs.
#pragma once
#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "exec.h"
#include "memory.h"

namespace cs {

struct FatBin;

struct FuncReg {  // also the cudaFunction_t / cudaKernel_t handle
  FatBin* fb = nullptr;
  std::string name;
  const void* host = nullptr;
  std::shared_ptr<Kernel> kernel;
  int maxDynShared = 48 * 1024;  // opt-in limit
  bool optIn = false;
  int carveout = -1, nonPortableCluster = 0;
  cudaError_t load(std::shared_ptr<Kernel>& k);
};
struct VarReg {
  FatBin* fb = nullptr;
  std::string name;
  size_t size = 0;
  bool constant = false, managed = false;
  void** managedPtr = nullptr;
};

struct FatBin {
  const void* data = nullptr;
  std::vector<const void*> linked;  // relocatable device code: fatbins of the objects
  std::unique_ptr<Module> module;
  bool loaded = false, sassOnly = false;
  std::string loadError;
  // What was registered; another fat binary may have registered the same host address since (templates).
  std::vector<std::unique_ptr<FuncReg>> funcs;
  std::vector<std::unique_ptr<VarReg>> vars;
  Module* get();  // loads on first use; nullptr without usable PTX
};

// Something a stream or graph can execute.
struct Work {
  enum Kind { Empty, Kernel, Memcpy, Memset, Host, EventRecord, EventWait, MemAlloc, MemFree, Child } kind = Empty;
  std::shared_ptr<LaunchParams> launch;  // Kernel
  FuncReg* func = nullptr;
  std::function<void()> fn;  // everything else
  // parameters kept for graph queries
  cudaMemsetParams memset{};
  cudaMemcpy3DParms memcpy{};
  cudaHostNodeParams host{};
  struct Event* event = nullptr;
  cudaGraph_t child = nullptr;
  void* ptr = nullptr;
  size_t bytes = 0;
};

struct OpNode {
  uint64_t seq = 0;
  Work work;
  std::vector<std::shared_ptr<OpNode>> deps;
  std::weak_ptr<OpNode> primary;  // programmatic dependency (PDL)
  bool done = false, started = false;
  double doneTime = 0;
};
using OpPtr = std::shared_ptr<OpNode>;

struct GraphNode {
  Work work;
  std::vector<GraphNode*> deps;
  std::vector<char> pdlEdge;  // parallel to deps: outgoing port of a programmatic edge, else 0
  struct Graph* graph = nullptr;
  bool enabled = true;
  uint64_t id = 0;
};
struct Graph {
  std::vector<std::unique_ptr<GraphNode>> nodes;
  std::vector<std::pair<cudaUserObject_t, unsigned>> objects;
  uint64_t id = 0;
};
struct GraphExec {
  std::unique_ptr<Graph> graph;
  std::unordered_map<GraphNode*, GraphNode*> map;  // original node -> clone
  unsigned long long flags = 0;
};
struct Capture {
  Graph* graph = nullptr;
  bool ownGraph = true;
  uint64_t id = 0;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  struct Stream* origin = nullptr;
  std::set<struct Stream*> streams;
  bool invalid = false;
};
struct Stream {
  uint64_t id = 0;
  unsigned flags = 0;
  int priority = 0, device = 0;
  bool legacy = false;
  OpPtr last;
  std::shared_ptr<Capture> capture;
  std::vector<GraphNode*> capDeps;
  std::map<GraphNode*, char> capPorts;  // members of capDeps that are programmatic, with their port
  std::vector<const GraphNode*> capDepsOut;
  std::vector<cudaGraphEdgeData> capEdgesOut;
};
struct Event {
  unsigned flags = 0;
  bool recorded = false;
  OpPtr op;
  std::shared_ptr<Capture> capture;
  std::vector<GraphNode*> capDeps;
  std::map<GraphNode*, char> capPorts;
  double time = 0;
};

struct Runtime {
  std::recursive_mutex mu;
  std::set<FatBin*> fatbins;
  std::unordered_map<const void*, FuncReg*> funcs;
  std::unordered_map<const void*, VarReg*> vars;
  std::set<FuncReg*> funcSet;
  cudaError_t sticky = cudaSuccess;
  std::string stickyMsg;
  Stream legacy, perThread;
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::set<Graph*> graphs;
  std::set<GraphExec*> execs;
  std::map<uint64_t, OpPtr> pending;  // by sequence number
  uint64_t nextSeq = 1, nextId = 1;
  Rng rng{1};
  int activeCaptures = 0;
  std::map<int, size_t> limits;
  unsigned deviceFlags = 0;

  static Runtime& get();
  Stream* stream(cudaStream_t s, bool perThreadDefault = false);  // nullptr: invalid handle
  // Adds work to a stream (or to its capture). pdl: programmatic serialization.
  cudaError_t submit(Stream* s, Work w, bool pdl = false, OpPtr* out = nullptr);
  OpPtr enqueue(std::vector<OpPtr> deps, Work w, OpPtr primary = nullptr);
  void execute(const OpPtr& op);
  void runKernels(const OpPtr& first);
  void complete(const OpPtr& op);
  void runUntil(const OpPtr& target);  // target complete afterwards
  void runAll();
  bool runOne();  // any ready operation
  void syncStream(Stream* s);
  void fail(int code, const std::string& msg);
  cudaError_t launch(FuncReg* f, dim3 grid, dim3 block, void** args, size_t shmem, Stream* s,
                     const cudaLaunchConfig_t* cfg, bool coop);
  cudaError_t prepare(FuncReg* f, dim3 grid, dim3 block, void** args, size_t shmem, const cudaLaunchAttribute* attrs,
                      unsigned nattrs, bool coop, std::shared_ptr<LaunchParams>& out, bool& pdl);
};

double wallSeconds();
int& currentDevice();
cudaError_t setLast(cudaError_t e);  // records and returns the error
cudaError_t takeLast(bool reset);
cudaError_t enterCall(const char* function);  // counts the call; an injected error or cudaSuccess
FuncReg* findFunc(const void* p);
VarReg* findVar(const void* p);
cudaError_t varAddress(const void* sym, Alloc*& a);
int occupancyBlocks(FuncReg* f, int blockSize, size_t dynShared);
cudaError_t addCaptureNode(Stream* s, Work w, bool pdl);
void launchGraph(Graph& g, Stream* s);
void fillProps(cudaDeviceProp& p);
int deviceAttr(int attr, bool& ok);
// Rejects calls that are unsafe while a stream captures in global mode.
cudaError_t captureUnsafe();

}  // namespace cs
