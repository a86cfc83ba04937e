// SPDX-License-Identifier: Apache-2.0
// Entry points of libcudart: registration, launches, memory, streams, events,
// device queries. Graphs are in graph.cpp.
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "fatbin.h"
#include "runtime.h"

using namespace cs;

#define EXPORT extern "C" __attribute__((visibility("default")))
#define LOCK std::lock_guard<std::recursive_mutex> lock_(Runtime::get().mu)
// Common prologue: lock, and fail if the context is corrupted.
#define ENTER                                                   \
  LOCK;                                                         \
  Runtime& rt = Runtime::get();                                 \
  (void)rt;                                                     \
  if (config().devices <= 0) return setLast(cudaErrorNoDevice); \
  if (rt.sticky != cudaSuccess) return setLast(rt.sticky);      \
  if (cudaError_t injected_ = enterCall(__func__)) return setLast(injected_)

namespace {

struct ErrInfo {
  int code;
  const char* name;
  const char* text;
};
const ErrInfo kErrors[] = {
#include "errors.inc"
};

struct PushedConfig {
  dim3 grid, block;
  size_t shmem;
  cudaStream_t stream;
};
thread_local std::vector<PushedConfig> t_configs;

bool isDeviceSide(Alloc* a) { return a && a->kind != AllocKind::Pinned && a->kind != AllocKind::Registered; }

}  // namespace

// ---------------------------------------------------------------- errors

EXPORT const char* cudaGetErrorName(cudaError_t e) {
  for (auto& x : kErrors)
    if (x.code == (int)e) return x.name;
  return "unrecognized error code";
}
EXPORT const char* cudaGetErrorString(cudaError_t e) {
  for (auto& x : kErrors)
    if (x.code == (int)e) return x.text;
  return "unrecognized error code";
}
EXPORT cudaError_t cudaGetLastError() {
  LOCK;
  return takeLast(true);
}
EXPORT cudaError_t cudaPeekAtLastError() {
  LOCK;
  return takeLast(false);
}

// ---------------------------------------------------------------- registration

EXPORT void** __cudaRegisterFatBinary(void* wrapper) {
  LOCK;
  struct Wrapper {
    int magic, version;
    const void* data;
    void* extra;
  };
  auto* w = (Wrapper*)wrapper;
  auto* fb = new FatBin;
  fb->data = w->data;
  if (w->version == 2 && w->extra)
    for (void** p = (void**)w->extra; *p; p++) fb->linked.push_back(*p);
  Runtime::get().fatbins.insert(fb);
  return (void**)fb;
}
EXPORT void __cudaRegisterFatBinaryEnd(void**) {}
EXPORT void __cudaUnregisterFatBinary(void** h) {
  LOCK;
  Runtime& rt = Runtime::get();
  auto* fb = (FatBin*)h;
  if (!rt.fatbins.count(fb)) return;
  rt.fatbins.erase(fb);
  std::set<FuncReg*> funcs;
  std::set<VarReg*> vars;  // a managed variable is registered under two addresses
  for (auto it = rt.funcs.begin(); it != rt.funcs.end();) {
    if (it->second->fb != fb) {
      ++it;
      continue;
    }
    funcs.insert(it->second);
    it = rt.funcs.erase(it);
  }
  for (auto it = rt.vars.begin(); it != rt.vars.end();) {
    if (it->second->fb != fb) {
      ++it;
      continue;
    }
    vars.insert(it->second);
    it = rt.vars.erase(it);
  }
  // Statistics, queued launches and graphs may still refer to its kernels: then they stay in memory.
  if (statsEnabled() || !rt.pending.empty() || !rt.graphs.empty() || !rt.execs.empty()) return;
  for (FuncReg* f : funcs) {
    rt.funcSet.erase(f);
    delete f;
  }
  for (VarReg* v : vars) delete v;
  if (fb->module)
    for (auto& symbol : fb->module->symbols) Memory::get().release(symbol.second);
  delete fb;
}
EXPORT void __cudaRegisterFunction(void** h, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*,
                                   dim3*, int*) {
  LOCK;
  auto* f = new FuncReg;
  f->fb = (FatBin*)h;
  f->name = name;
  f->host = host;
  Runtime::get().funcs[host] = f;
  Runtime::get().funcSet.insert(f);
}
EXPORT void __cudaRegisterVar(void** h, char* host, char*, const char* name, int, size_t size, int constant, int) {
  LOCK;
  auto* v = new VarReg;
  v->fb = (FatBin*)h;
  v->name = name;
  v->size = size;
  v->constant = constant;
  Runtime::get().vars[host] = v;
}
EXPORT void __cudaRegisterManagedVar(void** h, void** hostPtr, char* devAddr, const char* name, int, size_t size,
                                     int constant, int) {
  LOCK;
  auto* v = new VarReg;
  v->fb = (FatBin*)h;
  v->name = name;
  v->size = size;
  v->constant = constant;
  v->managed = true;
  v->managedPtr = hostPtr;
  Runtime::get().vars[devAddr] = v;
  Runtime::get().vars[hostPtr] = v;
}
EXPORT void __cudaRegisterHostVar(void**, const char*, char*, size_t) {}
EXPORT void __cudaRegisterUnifiedTable(void**, void*) {}
EXPORT char __cudaInitModule(void** h) {
  LOCK;
  auto* fb = (FatBin*)h;
  Module* m = fb ? fb->get() : nullptr;
  if (!m) return 0;
  for (auto& kv : Runtime::get().vars) {
    VarReg* v = kv.second;
    if (v->fb != fb || !v->managed) continue;
    if (Alloc* a = m->symbol(nullptr, v->name)) *v->managedPtr = (void*)a->start;
  }
  return 1;
}
EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shmem, struct CUstream_st* stream) {
  t_configs.push_back({grid, block, shmem, (cudaStream_t)stream});
  return 0;
}
EXPORT cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shmem, void* stream) {
  if (t_configs.empty()) return setLast(cudaErrorMissingConfiguration);
  PushedConfig& c = t_configs.back();
  *grid = c.grid;
  *block = c.block;
  *shmem = c.shmem;
  *(cudaStream_t*)stream = c.stream;
  t_configs.pop_back();
  return cudaSuccess;
}
EXPORT cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* host) {
  LOCK;
  FuncReg* f = findFunc(host);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  *k = (cudaKernel_t)f;
  return cudaSuccess;
}

// ---------------------------------------------------------------- launches

static cudaError_t doLaunch(const void* fn, dim3 g, dim3 b, void** args, size_t sh, cudaStream_t s, bool pt, bool coop,
                            const cudaLaunchConfig_t* cfg = nullptr) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  Stream* st = rt.stream(s, pt);
  if (!st) return setLast(cudaErrorInvalidResourceHandle);
  return setLast(rt.launch(f, g, b, args, sh, st, cfg, coop));
}
EXPORT cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void** a, size_t sh, cudaStream_t s) {
  return doLaunch((const void*)k, g, b, a, sh, s, false, false);
}
EXPORT cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t k, dim3 g, dim3 b, void** a, size_t sh, cudaStream_t s) {
  return doLaunch((const void*)k, g, b, a, sh, s, true, false);
}
EXPORT cudaError_t cudaLaunchKernel(const void* fn, dim3 g, dim3 b, void** a, size_t sh, cudaStream_t s) {
  return doLaunch(fn, g, b, a, sh, s, false, false);
}
EXPORT cudaError_t cudaLaunchKernel_ptsz(const void* fn, dim3 g, dim3 b, void** a, size_t sh, cudaStream_t s) {
  return doLaunch(fn, g, b, a, sh, s, true, false);
}
EXPORT cudaError_t cudaLaunchCooperativeKernel(const void* fn, dim3 g, dim3 b, void** a, size_t sh, cudaStream_t s) {
  return doLaunch(fn, g, b, a, sh, s, false, true);
}
EXPORT cudaError_t cudaLaunchCooperativeKernel_ptsz(const void* fn, dim3 g, dim3 b, void** a, size_t sh,
                                                    cudaStream_t s) {
  return doLaunch(fn, g, b, a, sh, s, true, true);
}
EXPORT cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* fn, void** a) {
  if (!c) return setLast(cudaErrorInvalidValue);
  return doLaunch(fn, c->gridDim, c->blockDim, a, c->dynamicSmemBytes, c->stream, false, false, c);
}
EXPORT cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t* c, const void* fn, void** a) {
  if (!c) return setLast(cudaErrorInvalidValue);
  return doLaunch(fn, c->gridDim, c->blockDim, a, c->dynamicSmemBytes, c->stream, true, false, c);
}
static cudaError_t hostFunc(cudaStream_t s, cudaHostFn_t fn, void* data, bool pt) {
  ENTER;
  Stream* st = rt.stream(s, pt);
  if (!st) return setLast(cudaErrorInvalidResourceHandle);
  Work w;
  w.kind = Work::Host;
  w.host.fn = fn;
  w.host.userData = data;
  w.fn = [fn, data] { fn(data); };
  return setLast(rt.submit(st, std::move(w)));
}
EXPORT cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void* d) { return hostFunc(s, fn, d, false); }
EXPORT cudaError_t cudaLaunchHostFunc_ptsz(cudaStream_t s, cudaHostFn_t fn, void* d) {
  return hostFunc(s, fn, d, true);
}
static cudaError_t addCallback(cudaStream_t s, cudaStreamCallback_t cb, void* data, bool pt) {
  ENTER;
  Stream* st = rt.stream(s, pt);
  if (!st) return setLast(cudaErrorInvalidResourceHandle);
  if (st->capture) return setLast(cudaErrorStreamCaptureUnsupported);
  Work w;
  w.kind = Work::Host;
  w.fn = [s, cb, data] { cb(s, cudaSuccess, data); };
  return setLast(rt.submit(st, std::move(w)));
}
EXPORT cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t cb, void* d, unsigned) {
  return addCallback(s, cb, d, false);
}
EXPORT cudaError_t cudaStreamAddCallback_ptsz(cudaStream_t s, cudaStreamCallback_t cb, void* d, unsigned) {
  return addCallback(s, cb, d, true);
}

// ---------------------------------------------------------------- functions

EXPORT cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void* fn) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  std::shared_ptr<Kernel> k;
  cudaError_t e = f->load(k);
  if (e != cudaSuccess) return setLast(e);
  memset(a, 0, sizeof *a);
  a->sharedSizeBytes = k->staticShared - k->reservedShared;
  a->localSizeBytes = k->localBytes;
  a->maxThreadsPerBlock = (int)k->maxThreads;
  int byRegs = 65536 / (int)alignUp((uint64_t)k->numRegs * 32, 256) * 32;
  a->maxThreadsPerBlock = std::min(a->maxThreadsPerBlock, std::max(32, byRegs));
  a->numRegs = k->numRegs;
  a->ptxVersion = k->module->target;
  a->binaryVersion = config().arch;
  a->maxDynamicSharedSizeBytes = f->optIn ? f->maxDynShared : 48 * 1024 - (int)k->staticShared;
  a->preferredShmemCarveout = f->carveout;
  a->requiredClusterWidth = (int)k->clusterDim[0];
  a->requiredClusterHeight = (int)k->clusterDim[1];
  a->requiredClusterDepth = (int)k->clusterDim[2];
  a->nonPortableClusterSizeAllowed = f->nonPortableCluster;
  return cudaSuccess;
}
EXPORT cudaError_t cudaFuncSetAttribute(const void* fn, cudaFuncAttribute attr, int v) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  std::shared_ptr<Kernel> k;
  cudaError_t e = f->load(k);
  if (e != cudaSuccess) return setLast(e);
  switch (attr) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize:
      if (v < 0 || v + (int)k->staticShared > 227 * 1024) return setLast(cudaErrorInvalidValue);
      f->maxDynShared = v;
      f->optIn = true;
      break;
    case cudaFuncAttributePreferredSharedMemoryCarveout:
      if (v < -1 || v > 100) return setLast(cudaErrorInvalidValue);
      f->carveout = v;
      break;
    case cudaFuncAttributeNonPortableClusterSizeAllowed:
      f->nonPortableCluster = v;
      break;
    case cudaFuncAttributeClusterDimMustBeSet:
    case cudaFuncAttributeRequiredClusterWidth:
    case cudaFuncAttributeRequiredClusterHeight:
    case cudaFuncAttributeRequiredClusterDepth:
    case cudaFuncAttributeClusterSchedulingPolicyPreference:
      break;
    default:
      return setLast(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
EXPORT cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t k, cudaFuncAttribute attr, int v, int) {
  return cudaFuncSetAttribute((const void*)k, attr, v);
}
EXPORT cudaError_t cudaFuncSetCacheConfig(const void* fn, cudaFuncCache) {
  ENTER;
  return findFunc(fn) ? cudaSuccess : setLast(cudaErrorInvalidDeviceFunction);
}
EXPORT cudaError_t cudaFuncSetSharedMemConfig(const void* fn, cudaSharedMemConfig) {
  ENTER;
  return findFunc(fn) ? cudaSuccess : setLast(cudaErrorInvalidDeviceFunction);
}
EXPORT cudaError_t cudaFuncGetName(const char** n, const void* fn) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  *n = f->name.c_str();
  return cudaSuccess;
}
EXPORT cudaError_t cudaFuncGetParamInfo(const void* fn, size_t i, size_t* off, size_t* size) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  std::shared_ptr<Kernel> k;
  cudaError_t e = f->load(k);
  if (e != cudaSuccess) return setLast(e);
  if (i >= k->params.size()) return setLast(cudaErrorInvalidValue);
  if (off) *off = k->params[i].offset;
  if (size) *size = k->params[i].size;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetFuncBySymbol(cudaFunction_t* out, const void* sym) {
  ENTER;
  FuncReg* f = findFunc(sym);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  *out = (cudaFunction_t)f;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetKernel(cudaKernel_t* out, const void* sym) { return __cudaGetKernel(out, sym); }

static cudaError_t occ(int* n, const void* fn, int bs, size_t dyn) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  if (bs <= 0) return setLast(cudaErrorInvalidValue);
  std::shared_ptr<Kernel> k;
  cudaError_t e = f->load(k);
  if (e != cudaSuccess) return setLast(e);
  *n = occupancyBlocks(f, bs, dyn);
  return cudaSuccess;
}
EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void* fn, int bs, size_t dyn) {
  return occ(n, fn, bs, dyn);
}
EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void* fn, int bs, size_t dyn,
                                                                          unsigned) {
  return occ(n, fn, bs, dyn);
}
EXPORT cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* out, const void* fn, int blocks, int bs) {
  ENTER;
  FuncReg* f = findFunc(fn);
  if (!f) return setLast(cudaErrorInvalidDeviceFunction);
  if (blocks <= 0 || bs <= 0) return setLast(cudaErrorInvalidValue);
  std::shared_ptr<Kernel> k;
  cudaError_t e = f->load(k);
  if (e != cudaSuccess) return setLast(e);
  size_t per = 228 * 1024 / (size_t)blocks / 128 * 128;
  size_t used = k->staticShared + 1024;
  *out = per > used ? std::min<size_t>(per - used, 227 * 1024 - k->staticShared) : 0;
  return cudaSuccess;
}
EXPORT cudaError_t cudaOccupancyMaxPotentialClusterSize(int* n, const void*, const cudaLaunchConfig_t*) {
  ENTER;
  *n = 8;
  return cudaSuccess;
}
EXPORT cudaError_t cudaOccupancyMaxActiveClusters(int* n, const void* fn, const cudaLaunchConfig_t* c) {
  int b = 0;
  cudaError_t e = occ(&b, fn, (int)(c->blockDim.x * c->blockDim.y * c->blockDim.z), c->dynamicSmemBytes);
  if (e != cudaSuccess) return e;
  unsigned cs_ = 1;
  for (unsigned i = 0; i < c->numAttrs; i++)
    if (c->attrs[i].id == cudaLaunchAttributeClusterDimension)
      cs_ = c->attrs[i].val.clusterDim.x * c->attrs[i].val.clusterDim.y * c->attrs[i].val.clusterDim.z;
  *n = b * config().sms / (int)std::max(1u, cs_);
  return cudaSuccess;
}

// ---------------------------------------------------------------- device

// Prologue of what works on a corrupted context too.
#define QUERY \
  LOCK;       \
  if (cudaError_t injected_ = enterCall(__func__)) return setLast(injected_)
#define NODEV \
  QUERY;      \
  if (config().devices <= 0) return setLast(cudaErrorNoDevice)
EXPORT cudaError_t cudaGetDeviceCount(int* n) {
  QUERY;
  *n = config().devices > 0 ? config().devices : 0;
  return config().devices > 0 ? cudaSuccess : setLast(cudaErrorNoDevice);
}
EXPORT cudaError_t cudaGetDevice(int* d) {
  NODEV;
  *d = currentDevice();
  return cudaSuccess;
}
EXPORT cudaError_t cudaSetDevice(int d) {
  NODEV;
  if (d < 0 || d >= config().devices) return setLast(cudaErrorInvalidDevice);
  currentDevice() = d;
  return cudaSuccess;
}
EXPORT cudaError_t cudaInitDevice(int d, unsigned, unsigned) {
  NODEV;
  return d < 0 || d >= config().devices ? setLast(cudaErrorInvalidDevice) : cudaSuccess;
}
EXPORT cudaError_t cudaSetValidDevices(int*, int) {
  NODEV;
  return cudaSuccess;
}
EXPORT cudaError_t cudaChooseDevice(int* d, const cudaDeviceProp*) {
  NODEV;
  *d = 0;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceFlags(unsigned* f) {
  ENTER;
  *f = rt.deviceFlags;
  return cudaSuccess;
}
EXPORT cudaError_t cudaSetDeviceFlags(unsigned f) {
  ENTER;
  rt.deviceFlags = f;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int d) {
  NODEV;
  if (d < 0 || d >= config().devices) return setLast(cudaErrorInvalidDevice);
  if (!p) return setLast(cudaErrorInvalidValue);
  fillProps(*p);
  p->pciBusID = 1 + d;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int d) {
  NODEV;
  if (d < 0 || d >= config().devices) return setLast(cudaErrorInvalidDevice);
  bool ok;
  *v = deviceAttr((int)a, ok);
  return ok ? cudaSuccess : setLast(cudaErrorInvalidValue);
}
EXPORT cudaError_t cudaDeviceGetP2PAttribute(int* v, cudaDeviceP2PAttr, int, int) {
  NODEV;
  *v = 1;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceCanAccessPeer(int* v, int a, int b) {
  NODEV;
  *v = a != b;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) {
  NODEV;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceDisablePeerAccess(int) {
  NODEV;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetPCIBusId(char* s, int n, int d) {
  NODEV;
  snprintf(s, (size_t)n, "0000:%02X:00.0", 1 + d);
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetByPCIBusId(int* d, const char* s) {
  NODEV;
  unsigned dom, bus;
  if (sscanf(s, "%x:%x", &dom, &bus) != 2 || bus < 1 || (int)bus > config().devices)
    return setLast(cudaErrorInvalidValue);
  *d = (int)bus - 1;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetLimit(size_t* v, cudaLimit l) {
  ENTER;
  auto it = rt.limits.find(l);
  if (it == rt.limits.end()) return setLast(cudaErrorUnsupportedLimit);
  *v = it->second;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceSetLimit(cudaLimit l, size_t v) {
  ENTER;
  if (!rt.limits.count(l)) return setLast(cudaErrorUnsupportedLimit);
  rt.limits[l] = v;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* c) {
  ENTER;
  *c = cudaFuncCachePreferNone;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* c) {
  ENTER;
  *c = cudaSharedMemBankSizeFourByte;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetStreamPriorityRange(int* lo, int* hi) {
  ENTER;
  if (lo) *lo = 0;
  if (hi) *hi = -5;
  return cudaSuccess;
}
EXPORT cudaError_t cudaCtxResetPersistingL2Cache() {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDriverGetVersion(int* v) {
  *v = config().devices > 0 ? 13000 : 0;
  return cudaSuccess;
}
EXPORT cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = 13000;
  return cudaSuccess;
}
EXPORT cudaError_t cudaProfilerStart() { return cudaSuccess; }
EXPORT cudaError_t cudaProfilerStop() { return cudaSuccess; }
EXPORT cudaError_t cudaDeviceSynchronize() {
  ENTER;
  if (rt.activeCaptures) {
    cudaError_t e = captureUnsafe();
    if (e != cudaSuccess) return setLast(e);
  }
  rt.runAll();
  return setLast(rt.sticky);
}
EXPORT cudaError_t cudaDeviceReset() {
  NODEV;
  Runtime& rt = Runtime::get();
  if (rt.sticky == cudaSuccess) rt.runAll();
  rt.pending.clear();
  rt.sticky = cudaSuccess;
  takeLast(true);
  for (Stream* s : rt.streams) {
    s->last.reset();
    s->capture.reset();
  }
  rt.legacy.last.reset();
  rt.perThread.last.reset();
  rt.activeCaptures = 0;
  rt.streams.clear();
  rt.events.clear();
  Memory::get().releaseAll();
  for (FatBin* fb : rt.fatbins)
    if (fb->module) fb->module->resetVars();
  return cudaSuccess;
}
EXPORT cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* m) {
  static thread_local cudaStreamCaptureMode cur = cudaStreamCaptureModeGlobal;
  std::swap(*m, cur);
  return cudaSuccess;
}
static cudaError_t noEntry(void** fn, cudaDriverEntryPointQueryResult* st) {
  if (fn) *fn = nullptr;
  if (st) {
    *st = cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  }
  return setLast(cudaErrorInvalidValue);
}
EXPORT cudaError_t cudaGetDriverEntryPoint(const char*, void** fn, unsigned long long,
                                           cudaDriverEntryPointQueryResult* st) {
  return noEntry(fn, st);
}
EXPORT cudaError_t cudaGetDriverEntryPoint_ptsz(const char*, void** fn, unsigned long long,
                                                cudaDriverEntryPointQueryResult* st) {
  return noEntry(fn, st);
}
EXPORT cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** fn, unsigned, unsigned long long,
                                                    cudaDriverEntryPointQueryResult* st) {
  return noEntry(fn, st);
}
EXPORT cudaError_t cudaGetDriverEntryPointByVersion_ptsz(const char*, void** fn, unsigned, unsigned long long,
                                                         cudaDriverEntryPointQueryResult* st) {
  return noEntry(fn, st);
}
EXPORT cudaError_t cudaGetExportTable(const void** t, const cudaUUID_t*) {
  if (t) *t = nullptr;
  return cudaErrorNotSupported;
}

// ---------------------------------------------------------------- allocation

static cudaError_t mallocKind(void** p, size_t n, AllocKind kind, bool async, unsigned flags = 0) {
  if (!p) return setLast(cudaErrorInvalidValue);
  if (n == 0) {
    *p = nullptr;
    return cudaSuccess;
  }
  Alloc* a = Memory::get().allocate(n, kind, currentDevice());
  if (!a) return setLast(cudaErrorMemoryAllocation);
  a->async = async;
  a->hostFlags = flags;
  *p = (void*)a->start;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMalloc(void** p, size_t n) {
  ENTER;
  cudaError_t e = captureUnsafe();
  if (e != cudaSuccess) return setLast(e);
  return mallocKind(p, n, AllocKind::Device, false);
}
EXPORT cudaError_t cudaMallocManaged(void** p, size_t n, unsigned flags) {
  ENTER;
  if (n == 0 || (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost)) return setLast(cudaErrorInvalidValue);
  return mallocKind(p, n, AllocKind::Managed, false);
}
EXPORT cudaError_t cudaMallocHost(void** p, size_t n) {
  ENTER;
  return mallocKind(p, n, AllocKind::Pinned, false);
}
EXPORT cudaError_t cudaHostAlloc(void** p, size_t n, unsigned f) {
  ENTER;
  return mallocKind(p, n, AllocKind::Pinned, false, f);
}
EXPORT cudaError_t cudaMallocPitch(void** p, size_t* pitch, size_t w, size_t h) {
  ENTER;
  *pitch = alignUp(w, 512);
  return mallocKind(p, *pitch * h, AllocKind::Device, false);
}
EXPORT cudaError_t cudaMalloc3D(cudaPitchedPtr* p, cudaExtent e) {
  ENTER;
  size_t pitch = alignUp(e.width, 512);
  void* d;
  cudaError_t r = mallocKind(&d, pitch * e.height * e.depth, AllocKind::Device, false);
  if (r == cudaSuccess) *p = cudaPitchedPtr{d, pitch, e.width, e.height};
  return r;
}
static cudaError_t freeAny(void* p, bool host) {
  ENTER;
  if (!p) return cudaSuccess;
  cudaError_t e = captureUnsafe();
  if (e != cudaSuccess) return setLast(e);
  Alloc* a = Memory::get().page((uint64_t)p);
  bool ok = a && a->start == (uint64_t)p &&
            (host ? a->kind == AllocKind::Pinned : (a->kind == AllocKind::Device || a->kind == AllocKind::Managed));
  if (!ok || !a->live) {
    report(strf("%s(0x%llx): %s; %s", host ? "cudaFreeHost" : "cudaFree", (unsigned long long)p,
                ok ? "double free" : "not the start of such an allocation",
                Memory::get().describe((uint64_t)p).c_str()));
    return setLast(cudaErrorInvalidValue);
  }
  rt.runAll();  // cudaFree synchronizes
  if (rt.sticky != cudaSuccess) return setLast(rt.sticky);
  Memory::get().release(a);
  return cudaSuccess;
}
EXPORT cudaError_t cudaFree(void* p) { return freeAny(p, false); }
EXPORT cudaError_t cudaFreeHost(void* p) { return freeAny(p, true); }
EXPORT cudaError_t cudaHostRegister(void* p, size_t n, unsigned f) {
  ENTER;
  if (!p || !n) return setLast(cudaErrorInvalidValue);
  if (Memory::get().find((uint64_t)p)) return setLast(cudaErrorHostMemoryAlreadyRegistered);
  Memory::get().registerHost(p, n, f);
  return cudaSuccess;
}
EXPORT cudaError_t cudaHostUnregister(void* p) {
  ENTER;
  Alloc* a = Memory::get().find((uint64_t)p);
  if (!a || a->kind != AllocKind::Registered) return setLast(cudaErrorHostMemoryNotRegistered);
  rt.runAll();
  Memory::get().release(a);
  return cudaSuccess;
}
EXPORT cudaError_t cudaHostGetDevicePointer(void** d, void* h, unsigned) {
  ENTER;
  Alloc* a = Memory::get().find((uint64_t)h);
  if (!a) return setLast(cudaErrorInvalidValue);
  *d = h;
  return cudaSuccess;
}
EXPORT cudaError_t cudaHostGetFlags(unsigned* f, void* h) {
  ENTER;
  Alloc* a = Memory::get().find((uint64_t)h);
  if (!a || (a->kind != AllocKind::Pinned && a->kind != AllocKind::Registered)) return setLast(cudaErrorInvalidValue);
  *f = a->hostFlags | cudaHostAllocMapped;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
  ENTER;
  Memory& m = Memory::get();
  size_t total = std::min(m.totalMem(), m.limit());
  if (t) *t = total;
  if (f) *f = total - std::min<size_t>(total, m.used());
  return cudaSuccess;
}
EXPORT cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
  ENTER;
  memset(a, 0, sizeof *a);
  Alloc* al = Memory::get().find((uint64_t)p);
  if (!al) {
    a->type = cudaMemoryTypeUnregistered;
    a->device = -2;
    a->hostPointer = (void*)p;
    if (Memory::get().inArena((uint64_t)p)) {
      a->hostPointer = nullptr;
      return setLast(cudaErrorInvalidValue);
    }
    return cudaSuccess;
  }
  a->device = al->device;
  a->devicePointer = (void*)p;
  switch (al->kind) {
    case AllocKind::Managed:
      a->type = cudaMemoryTypeManaged;
      a->hostPointer = (void*)p;
      break;
    case AllocKind::Pinned:
    case AllocKind::Registered:
      a->type = cudaMemoryTypeHost;
      a->hostPointer = (void*)p;
      break;
    default:
      a->type = cudaMemoryTypeDevice;
      break;
  }
  return cudaSuccess;
}

// Stream-ordered allocation. The pointer is valid immediately; the free is
// performed in stream order.
struct SimPool {
  std::map<int, uint64_t> attrs;
};
static SimPool g_defaultPool;
static std::set<SimPool*>& pools() {
  static auto* p = new std::set<SimPool*>{&g_defaultPool};
  return *p;
}

static cudaError_t mallocAsync(void** p, size_t n, cudaStream_t s, bool pt) {
  ENTER;
  Stream* st = rt.stream(s, pt);
  if (!st) return setLast(cudaErrorInvalidResourceHandle);
  cudaError_t e = mallocKind(p, n, AllocKind::Device, true);
  if (e == cudaSuccess && st->capture) {
    Work w;
    w.kind = Work::MemAlloc;
    w.ptr = *p;
    w.bytes = n;
    e = setLast(rt.submit(st, std::move(w)));
  }
  return e;
}
static cudaError_t freeAsync(void* p, cudaStream_t s, bool pt) {
  ENTER;
  if (!p) return cudaSuccess;
  Stream* st = rt.stream(s, pt);
  if (!st) return setLast(cudaErrorInvalidResourceHandle);
  Alloc* a = Memory::get().find((uint64_t)p);
  if (!a || a->start != (uint64_t)p || a->kind != AllocKind::Device) {
    report(strf("cudaFreeAsync(0x%llx): %s", (unsigned long long)p, Memory::get().describe((uint64_t)p).c_str()));
    return setLast(cudaErrorInvalidValue);
  }
  Work w;
  w.kind = Work::MemFree;
  w.ptr = p;
  if (!st->capture)
    w.fn = [a, p] {
      if (!a->live) throw SimError{700, strf("double cudaFreeAsync of 0x%llx", (unsigned long long)p)};
      Memory::get().release(a);
    };
  return setLast(rt.submit(st, std::move(w)));
}
EXPORT cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t s) { return mallocAsync(p, n, s, false); }
EXPORT cudaError_t cudaMallocAsync_ptsz(void** p, size_t n, cudaStream_t s) { return mallocAsync(p, n, s, true); }
EXPORT cudaError_t cudaMallocFromPoolAsync(void** p, size_t n, cudaMemPool_t, cudaStream_t s) {
  return mallocAsync(p, n, s, false);
}
EXPORT cudaError_t cudaMallocFromPoolAsync_ptsz(void** p, size_t n, cudaMemPool_t, cudaStream_t s) {
  return mallocAsync(p, n, s, true);
}
EXPORT cudaError_t cudaFreeAsync(void* p, cudaStream_t s) { return freeAsync(p, s, false); }
EXPORT cudaError_t cudaFreeAsync_ptsz(void* p, cudaStream_t s) { return freeAsync(p, s, true); }
EXPORT cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) {
  ENTER;
  *p = (cudaMemPool_t)&g_defaultPool;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* p, int) {
  ENTER;
  *p = (cudaMemPool_t)&g_defaultPool;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceSetMemPool(int, cudaMemPool_t) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* p, cudaMemLocation*, cudaMemAllocationType) {
  ENTER;
  *p = (cudaMemPool_t)&g_defaultPool;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemGetMemPool(cudaMemPool_t* p, cudaMemLocation*, cudaMemAllocationType) {
  ENTER;
  *p = (cudaMemPool_t)&g_defaultPool;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolCreate(cudaMemPool_t* p, const cudaMemPoolProps*) {
  ENTER;
  auto* n = new SimPool;
  pools().insert(n);
  *p = (cudaMemPool_t)n;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolDestroy(cudaMemPool_t p) {
  ENTER;
  pools().erase((SimPool*)p);
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t p, cudaMemPoolAttr a, void* v) {
  ENTER;
  if (!pools().count((SimPool*)p)) return setLast(cudaErrorInvalidValue);
  ((SimPool*)p)->attrs[a] = a <= cudaMemPoolReuseAllowInternalDependencies ? (uint64_t) * (int*)v : *(uint64_t*)v;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t p, cudaMemPoolAttr a, void* v) {
  ENTER;
  if (!pools().count((SimPool*)p)) return setLast(cudaErrorInvalidValue);
  uint64_t x = ((SimPool*)p)->attrs[a];
  if (a == cudaMemPoolAttrUsedMemCurrent || a == cudaMemPoolAttrReservedMemCurrent || a == cudaMemPoolAttrUsedMemHigh ||
      a == cudaMemPoolAttrReservedMemHigh)
    x = Memory::get().used();
  if (a <= cudaMemPoolReuseAllowInternalDependencies)
    *(int*)v = (int)x;
  else
    *(uint64_t*)v = x;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, size_t) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* f, cudaMemPool_t, cudaMemLocation*) {
  ENTER;
  *f = cudaMemAccessFlagsProtReadWrite;
  return cudaSuccess;
}

// ---------------------------------------------------------------- copies

namespace {

// Access pointer of [p, p+n): device memory through the alias view, everything
// else as is. Fails when a device range is not inside one live allocation.
bool accessPtr(const void* p, size_t n, char*& out, Alloc*& a) {
  Memory& m = Memory::get();
  a = nullptr;
  out = (char*)p;
  if (n == 0) return true;
  if (m.inArena((uint64_t)p)) {
    a = m.find((uint64_t)p, n);
    if (!a) return false;
    out = (char*)((uint64_t)p + a->delta);
  } else {
    a = m.find((uint64_t)p, 1);
    if (a && a->kind != AllocKind::Registered) a = nullptr;
  }
  return true;
}

struct Rows {
  size_t width, height, depth, dpitch, spitch, dslice, sslice;
};

bool badRange(const char* api, const void* p, size_t n) {
  report(strf("%s: range 0x%llx + %zu bytes is not inside one live allocation: %s", api, (unsigned long long)p, n,
              Memory::get().describe((uint64_t)p).c_str()));
  return true;
}

// Core of every copy. `sync`: the call may return only after the copy when
// host memory is involved.
cudaError_t copyRows(const char* api, void* dst, const void* src, Rows r, cudaMemcpyKind kind, Stream* st, bool sync) {
  Runtime& rt = Runtime::get();
  if (!st) return cudaErrorInvalidResourceHandle;
  if ((unsigned)kind > 4) return cudaErrorInvalidMemcpyDirection;
  if (!r.width || !r.height || !r.depth) return cudaSuccess;
  if (!dst || !src) return cudaErrorInvalidValue;
  if (r.width > r.dpitch || r.width > r.spitch) return cudaErrorInvalidPitchValue;
  size_t dlen = r.dslice * (r.depth - 1) + r.dpitch * (r.height - 1) + r.width;
  size_t slen = r.sslice * (r.depth - 1) + r.spitch * (r.height - 1) + r.width;
  char *dp, *sp;
  Alloc *da, *sa;
  if (!accessPtr(dst, dlen, dp, da)) return badRange(api, dst, dlen), cudaErrorInvalidValue;
  if (!accessPtr(src, slen, sp, sa)) return badRange(api, src, slen), cudaErrorInvalidValue;
  if ((kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) && !da) return cudaErrorInvalidValue;
  if ((kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) && !sa) return cudaErrorInvalidValue;
  if (kind == cudaMemcpyHostToDevice && sa && isDeviceSide(sa) && sa->kind != AllocKind::Managed)
    return cudaErrorInvalidValue;
  if (kind == cudaMemcpyDeviceToHost && da && isDeviceSide(da) && da->kind != AllocKind::Managed)
    return cudaErrorInvalidValue;
  if (kind == cudaMemcpyHostToHost && ((da && isDeviceSide(da) && da->kind != AllocKind::Managed) ||
                                       (sa && isDeviceSide(sa) && sa->kind != AllocKind::Managed)))
    return cudaErrorInvalidValue;
  bool srcPageable = !sa, dstPageable = !da;
  auto run = [=](const char* from) {
    for (Alloc* a : {da, sa})
      if (a && !a->live)
        throw SimError{700, strf("%s: memory was freed before the copy ran (%s)", api, kindName(a->kind))};
    for (size_t z = 0; z < r.depth; z++)
      for (size_t y = 0; y < r.height; y++) {
        char* d = dp + z * r.dslice + y * r.dpitch;
        const char* s = from + z * r.sslice + y * r.spitch;
        memmove(d, s, r.width);
        if (da && config().initcheck && Memory::get().inArena((uint64_t)dst)) {
          uint64_t da_ = (uint64_t)dst + z * r.dslice + y * r.dpitch, sa_ = (uint64_t)src + z * r.sslice + y * r.spitch;
          if (sa && Memory::get().inArena((uint64_t)src))
            memmove(Memory::get().initShadow(da_), Memory::get().initShadow(sa_), r.width);
          else
            Memory::get().markInit(da_, r.width);
        }
      }
    if (sa && !da && config().initcheck && Memory::get().inArena((uint64_t)src)) {
      uint8_t* sh = Memory::get().initShadow((uint64_t)src);
      size_t bad = 0;
      for (size_t i = 0; i < slen && r.height == 1 && r.depth == 1; i++) bad += !sh[i];
      if (bad)
        report(strf("%s copies %zu uninitialized bytes from %s to the host", api, bad,
                    Memory::get().describe((uint64_t)src).c_str()));
    }
  };
  Work w;
  w.kind = Work::Memcpy;
  w.memcpy.kind = kind;
  w.memcpy.dstPtr = cudaPitchedPtr{dst, r.dpitch, r.width, r.height};
  w.memcpy.srcPtr = cudaPitchedPtr{(void*)src, r.spitch, r.width, r.height};
  w.memcpy.extent = cudaExtent{r.width, r.height, r.depth};
  if (st->capture) {
    if (sync) {
      st->capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    w.fn = [run, sp] { run(sp); };
    return rt.submit(st, std::move(w));
  }
  if (sync) {
    cudaError_t e = captureUnsafe();
    if (e != cudaSuccess) return e;
  }
  if (srcPageable && !sync && slen <= (256u << 20)) {
    // pageable source: staged at call time
    auto copy = std::make_shared<std::vector<char>>(sp, sp + slen);
    w.fn = [run, copy] { run(copy->data()); };
  } else {
    w.fn = [run, sp] { run(sp); };
  }
  cudaError_t e = rt.submit(st, std::move(w));
  if (e != cudaSuccess) return e;
  bool hostSide = srcPageable || dstPageable || !isDeviceSide(da) || !isDeviceSide(sa);
  if ((sync && hostSide) || dstPageable || (srcPageable && slen > (256u << 20))) {
    OpPtr l = st->last;
    rt.runUntil(l);
    return rt.sticky;
  }
  return cudaSuccess;
}
Rows linear(size_t n) { return Rows{n, 1, 1, n, n, n, n}; }

cudaError_t memcpyImpl(const char* api, void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t st, bool pt,
                       bool sync) {
  ENTER;
  return setLast(copyRows(api, d, s, linear(n), k, rt.stream(st, pt), sync));
}
cudaError_t memcpy2D(const char* api, void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h,
                     cudaMemcpyKind k, cudaStream_t st, bool pt, bool sync) {
  ENTER;
  return setLast(copyRows(api, d, s, Rows{w, h, 1, dp, sp, dp * h, sp * h}, k, rt.stream(st, pt), sync));
}
cudaError_t memcpy3D(const cudaMemcpy3DParms* p, cudaStream_t st, bool pt, bool sync) {
  ENTER;
  if (!p || p->srcArray || p->dstArray) return setLast(cudaErrorNotSupported);
  const cudaPitchedPtr &s = p->srcPtr, &d = p->dstPtr;
  char* dp = (char*)d.ptr + p->dstPos.x + p->dstPos.y * d.pitch + p->dstPos.z * d.pitch * d.ysize;
  const char* sp = (const char*)s.ptr + p->srcPos.x + p->srcPos.y * s.pitch + p->srcPos.z * s.pitch * s.ysize;
  return setLast(copyRows(
      "cudaMemcpy3D", dp, sp,
      Rows{p->extent.width, p->extent.height, p->extent.depth, d.pitch, s.pitch, d.pitch * d.ysize, s.pitch * s.ysize},
      p->kind, rt.stream(st, pt), sync));
}
cudaError_t memsetRows(const char* api, void* d, size_t pitch, int v, size_t w, size_t h, size_t elem, cudaStream_t st,
                       bool pt) {
  ENTER;
  Stream* s = rt.stream(st, pt);
  if (!s) return setLast(cudaErrorInvalidResourceHandle);
  if (!w || !h) return cudaSuccess;
  char* p;
  Alloc* a;
  size_t len = pitch * (h - 1) + w * elem;
  if (!accessPtr(d, len, p, a) || !a) return badRange(api, d, len), setLast(cudaErrorInvalidValue);
  Work k;
  k.kind = Work::Memset;
  k.memset.dst = d;
  k.memset.pitch = pitch;
  k.memset.value = (unsigned)v;
  k.memset.elementSize = (unsigned)elem;
  k.memset.width = w;
  k.memset.height = h;
  k.fn = [=] {
    if (!a->live) throw SimError{700, strf("%s: memory was freed before the memset ran", api)};
    for (size_t y = 0; y < h; y++) {
      if (elem == 1)
        memset(p + y * pitch, v, w);
      else
        for (size_t x = 0; x < w; x++) memcpy(p + y * pitch + x * elem, &v, elem);
      Memory::get().markInit((uint64_t)d + y * pitch, w * elem);
    }
  };
  return setLast(rt.submit(s, std::move(k)));
}
}  // namespace

namespace cs {
cudaError_t makeMemset(const cudaMemsetParams& m, Work& k) {
  char* p;
  Alloc* a;
  if (!m.width || !m.height) {
    k.kind = Work::Memset;
    k.memset = m;
    k.fn = [] {};
    return cudaSuccess;
  }
  size_t pitch = m.height > 1 ? m.pitch : m.width * m.elementSize;
  size_t len = pitch * (m.height - 1) + m.width * m.elementSize;
  if (!accessPtr(m.dst, len, p, a) || !a) return badRange("memset node", m.dst, len), cudaErrorInvalidValue;
  k.kind = Work::Memset;
  k.memset = m;
  k.fn = [=] {
    if (!a->live) throw SimError{700, "graph memset of freed memory"};
    for (size_t y = 0; y < m.height; y++) {
      for (size_t x = 0; x < m.width; x++) memcpy(p + y * pitch + x * m.elementSize, &m.value, m.elementSize);
      Memory::get().markInit((uint64_t)m.dst + y * pitch, m.width * m.elementSize);
    }
  };
  return cudaSuccess;
}
cudaError_t makeMemcpy(const cudaMemcpy3DParms& q, Work& k) {
  const cudaPitchedPtr &s = q.srcPtr, &d = q.dstPtr;
  char* dst = (char*)d.ptr + q.dstPos.x + q.dstPos.y * d.pitch + q.dstPos.z * d.pitch * d.ysize;
  const char* src = (const char*)s.ptr + q.srcPos.x + q.srcPos.y * s.pitch + q.srcPos.z * s.pitch * s.ysize;
  cudaExtent e = q.extent;
  if (!e.width || !e.height || !e.depth) {
    k.kind = Work::Memcpy;
    k.memcpy = q;
    k.fn = [] {};
    return cudaSuccess;
  }
  size_t dsl = d.pitch * d.ysize, ssl = s.pitch * s.ysize;
  size_t dlen = dsl * (e.depth - 1) + d.pitch * (e.height - 1) + e.width,
         slen = ssl * (e.depth - 1) + s.pitch * (e.height - 1) + e.width;
  char *dp, *sp;
  Alloc *da, *sa;
  if (!accessPtr(dst, dlen, dp, da)) return badRange("memcpy node", dst, dlen), cudaErrorInvalidValue;
  if (!accessPtr(src, slen, sp, sa)) return badRange("memcpy node", src, slen), cudaErrorInvalidValue;
  size_t dpitch = d.pitch, spitch = s.pitch;
  k.kind = Work::Memcpy;
  k.memcpy = q;
  k.fn = [=] {
    for (Alloc* a : {da, sa})
      if (a && !a->live) throw SimError{700, "graph memcpy of freed memory"};
    for (size_t z = 0; z < e.depth; z++)
      for (size_t y = 0; y < e.height; y++) memmove(dp + z * dsl + y * dpitch, sp + z * ssl + y * spitch, e.width);
    if (da) Memory::get().markInit((uint64_t)dst, dlen);
  };
  return cudaSuccess;
}
}  // namespace cs

EXPORT cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  return memcpyImpl("cudaMemcpy", d, s, n, k, 0, false, true);
}
EXPORT cudaError_t cudaMemcpy_ptds(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  return memcpyImpl("cudaMemcpy", d, s, n, k, 0, true, true);
}
EXPORT cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t st) {
  return memcpyImpl("cudaMemcpyAsync", d, s, n, k, st, false, false);
}
EXPORT cudaError_t cudaMemcpyAsync_ptsz(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t st) {
  return memcpyImpl("cudaMemcpyAsync", d, s, n, k, st, true, false);
}
EXPORT cudaError_t cudaMemcpyPeer(void* d, int, const void* s, int, size_t n) {
  return memcpyImpl("cudaMemcpyPeer", d, s, n, cudaMemcpyDefault, 0, false, true);
}
EXPORT cudaError_t cudaMemcpyPeerAsync(void* d, int, const void* s, int, size_t n, cudaStream_t st) {
  return memcpyImpl("cudaMemcpyPeerAsync", d, s, n, cudaMemcpyDefault, st, false, false);
}
EXPORT cudaError_t cudaMemcpy2D(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h, cudaMemcpyKind k) {
  return memcpy2D("cudaMemcpy2D", d, dp, s, sp, w, h, k, 0, false, true);
}
EXPORT cudaError_t cudaMemcpy2D_ptds(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h,
                                     cudaMemcpyKind k) {
  return memcpy2D("cudaMemcpy2D", d, dp, s, sp, w, h, k, 0, true, true);
}
EXPORT cudaError_t cudaMemcpy2DAsync(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h, cudaMemcpyKind k,
                                     cudaStream_t st) {
  return memcpy2D("cudaMemcpy2DAsync", d, dp, s, sp, w, h, k, st, false, false);
}
EXPORT cudaError_t cudaMemcpy2DAsync_ptsz(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h,
                                          cudaMemcpyKind k, cudaStream_t st) {
  return memcpy2D("cudaMemcpy2DAsync", d, dp, s, sp, w, h, k, st, true, false);
}
EXPORT cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) { return memcpy3D(p, 0, false, true); }
EXPORT cudaError_t cudaMemcpy3D_ptds(const cudaMemcpy3DParms* p) { return memcpy3D(p, 0, true, true); }
EXPORT cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t s) {
  return memcpy3D(p, s, false, false);
}
EXPORT cudaError_t cudaMemcpy3DAsync_ptsz(const cudaMemcpy3DParms* p, cudaStream_t s) {
  return memcpy3D(p, s, true, false);
}
EXPORT cudaError_t cudaMemset(void* d, int v, size_t n) { return memsetRows("cudaMemset", d, n, v, n, 1, 1, 0, false); }
EXPORT cudaError_t cudaMemset_ptds(void* d, int v, size_t n) {
  return memsetRows("cudaMemset", d, n, v, n, 1, 1, 0, true);
}
EXPORT cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t s) {
  return memsetRows("cudaMemsetAsync", d, n, v, n, 1, 1, s, false);
}
EXPORT cudaError_t cudaMemsetAsync_ptsz(void* d, int v, size_t n, cudaStream_t s) {
  return memsetRows("cudaMemsetAsync", d, n, v, n, 1, 1, s, true);
}
EXPORT cudaError_t cudaMemset2D(void* d, size_t p, int v, size_t w, size_t h) {
  return memsetRows("cudaMemset2D", d, p, v, w, h, 1, 0, false);
}
EXPORT cudaError_t cudaMemset2D_ptds(void* d, size_t p, int v, size_t w, size_t h) {
  return memsetRows("cudaMemset2D", d, p, v, w, h, 1, 0, true);
}
EXPORT cudaError_t cudaMemset2DAsync(void* d, size_t p, int v, size_t w, size_t h, cudaStream_t s) {
  return memsetRows("cudaMemset2DAsync", d, p, v, w, h, 1, s, false);
}
EXPORT cudaError_t cudaMemset2DAsync_ptsz(void* d, size_t p, int v, size_t w, size_t h, cudaStream_t s) {
  return memsetRows("cudaMemset2DAsync", d, p, v, w, h, 1, s, true);
}
EXPORT cudaError_t cudaMemset3D(cudaPitchedPtr p, int v, cudaExtent e) {
  return memsetRows("cudaMemset3D", p.ptr, p.pitch, v, e.width, e.height * e.depth, 1, 0, false);
}
EXPORT cudaError_t cudaMemset3DAsync(cudaPitchedPtr p, int v, cudaExtent e, cudaStream_t s) {
  return memsetRows("cudaMemset3DAsync", p.ptr, p.pitch, v, e.width, e.height * e.depth, 1, s, false);
}

static cudaError_t symCopy(bool to, const void* sym, void* host, size_t n, size_t off, cudaMemcpyKind k, cudaStream_t s,
                           bool pt, bool sync) {
  ENTER;
  Alloc* a;
  cudaError_t e = varAddress(sym, a);
  if (e != cudaSuccess) return setLast(e);
  if (off + n > a->size) return setLast(cudaErrorInvalidValue);
  void* dev = (void*)(a->start + off);
  return setLast(to ? copyRows("cudaMemcpyToSymbol", dev, host, linear(n), k, rt.stream(s, pt), sync)
                    : copyRows("cudaMemcpyFromSymbol", host, dev, linear(n), k, rt.stream(s, pt), sync));
}
EXPORT cudaError_t cudaMemcpyToSymbol(const void* s, const void* p, size_t n, size_t o, cudaMemcpyKind k) {
  return symCopy(true, s, (void*)p, n, o, k, 0, false, true);
}
EXPORT cudaError_t cudaMemcpyToSymbol_ptds(const void* s, const void* p, size_t n, size_t o, cudaMemcpyKind k) {
  return symCopy(true, s, (void*)p, n, o, k, 0, true, true);
}
EXPORT cudaError_t cudaMemcpyToSymbolAsync(const void* s, const void* p, size_t n, size_t o, cudaMemcpyKind k,
                                           cudaStream_t st) {
  return symCopy(true, s, (void*)p, n, o, k, st, false, false);
}
EXPORT cudaError_t cudaMemcpyToSymbolAsync_ptsz(const void* s, const void* p, size_t n, size_t o, cudaMemcpyKind k,
                                                cudaStream_t st) {
  return symCopy(true, s, (void*)p, n, o, k, st, true, false);
}
EXPORT cudaError_t cudaMemcpyFromSymbol(void* p, const void* s, size_t n, size_t o, cudaMemcpyKind k) {
  return symCopy(false, s, p, n, o, k, 0, false, true);
}
EXPORT cudaError_t cudaMemcpyFromSymbol_ptds(void* p, const void* s, size_t n, size_t o, cudaMemcpyKind k) {
  return symCopy(false, s, p, n, o, k, 0, true, true);
}
EXPORT cudaError_t cudaMemcpyFromSymbolAsync(void* p, const void* s, size_t n, size_t o, cudaMemcpyKind k,
                                             cudaStream_t st) {
  return symCopy(false, s, p, n, o, k, st, false, false);
}
EXPORT cudaError_t cudaMemcpyFromSymbolAsync_ptsz(void* p, const void* s, size_t n, size_t o, cudaMemcpyKind k,
                                                  cudaStream_t st) {
  return symCopy(false, s, p, n, o, k, st, true, false);
}
EXPORT cudaError_t cudaGetSymbolAddress(void** p, const void* s) {
  ENTER;
  Alloc* a;
  cudaError_t e = varAddress(s, a);
  if (e != cudaSuccess) return setLast(e);
  *p = (void*)a->start;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetSymbolSize(size_t* n, const void* s) {
  ENTER;
  Alloc* a;
  cudaError_t e = varAddress(s, a);
  if (e != cudaSuccess) return setLast(e);
  *n = a->size;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemAdvise(const void* p, size_t n, cudaMemoryAdvise, cudaMemLocation) {
  ENTER;
  return Memory::get().find((uint64_t)p, n) ? cudaSuccess : setLast(cudaErrorInvalidValue);
}
EXPORT cudaError_t cudaMemPrefetchAsync(const void* p, size_t n, cudaMemLocation, unsigned, cudaStream_t) {
  ENTER;
  return Memory::get().find((uint64_t)p, n) ? cudaSuccess : setLast(cudaErrorInvalidValue);
}
EXPORT cudaError_t cudaMemPrefetchAsync_ptsz(const void* p, size_t n, cudaMemLocation l, unsigned f, cudaStream_t s) {
  return cudaMemPrefetchAsync(p, n, l, f, s);
}
EXPORT cudaError_t cudaStreamAttachMemAsync(cudaStream_t, void*, size_t, unsigned) {
  ENTER;
  return cudaSuccess;
}

// ---------------------------------------------------------------- streams

static cudaError_t makeStream(cudaStream_t* s, unsigned flags, int prio) {
  ENTER;
  if (!s || (flags & ~1u)) return setLast(cudaErrorInvalidValue);
  auto* st = new Stream;
  st->id = rt.nextId++;
  st->flags = flags;
  st->priority = std::max(-5, std::min(0, prio));
  st->device = currentDevice();
  rt.streams.insert(st);
  *s = (cudaStream_t)st;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamCreate(cudaStream_t* s) { return makeStream(s, 0, 0); }
EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) { return makeStream(s, f, 0); }
EXPORT cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned f, int p) { return makeStream(s, f, p); }
EXPORT cudaError_t cudaStreamDestroy(cudaStream_t s) {
  ENTER;
  Stream* st = rt.stream(s);
  if (!st || st == &rt.legacy || st == &rt.perThread) return setLast(cudaErrorInvalidResourceHandle);
  if (st->capture) {  // destroying a capturing stream invalidates the capture
    st->capture->invalid = true;
    st->capture->streams.erase(st);
    st->capture.reset();
  }
  // pending work keeps running in the background
  rt.streams.erase(st);
  delete st;
  return cudaSuccess;
}
#define STREAM(pt)               \
  ENTER;                         \
  Stream* st = rt.stream(s, pt); \
  if (!st) return setLast(cudaErrorInvalidResourceHandle)
static cudaError_t streamSync(cudaStream_t s, bool pt) {
  STREAM(pt);
  if (st->capture) {
    st->capture->invalid = true;
    return setLast(cudaErrorStreamCaptureUnsupported);
  }
  rt.syncStream(st);
  return setLast(rt.sticky);
}
EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t s) { return streamSync(s, false); }
EXPORT cudaError_t cudaStreamSynchronize_ptsz(cudaStream_t s) { return streamSync(s, true); }
static cudaError_t streamQuery(cudaStream_t s, bool pt) {
  STREAM(pt);
  if (st->capture) {
    st->capture->invalid = true;
    return setLast(cudaErrorStreamCaptureUnsupported);
  }
  if (!st->last || st->last->done) return setLast(rt.sticky);
  rt.runOne();  // polling makes progress
  if (rt.sticky != cudaSuccess) return setLast(rt.sticky);
  return cudaErrorNotReady;
}
EXPORT cudaError_t cudaStreamQuery(cudaStream_t s) { return streamQuery(s, false); }
EXPORT cudaError_t cudaStreamQuery_ptsz(cudaStream_t s) { return streamQuery(s, true); }
static cudaError_t waitEvent(cudaStream_t s, cudaEvent_t e, bool pt) {
  STREAM(pt);
  Event* ev = (Event*)e;
  if (!rt.events.count(ev)) return setLast(cudaErrorInvalidResourceHandle);
  if (ev->capture) {  // fork / join of a capture
    if (st->capture && st->capture != ev->capture) return setLast(cudaErrorStreamCaptureMerge);
    if (st == &rt.legacy) return setLast(cudaErrorStreamCaptureImplicit);
    if (!st->capture) {
      st->capture = ev->capture;
      st->capDeps.clear();
      st->capPorts.clear();
      ev->capture->streams.insert(st);
    }
    for (auto* n : ev->capDeps) {
      auto port = ev->capPorts.find(n);
      if (std::find(st->capDeps.begin(), st->capDeps.end(), n) == st->capDeps.end()) {
        st->capDeps.push_back(n);
        if (port != ev->capPorts.end()) st->capPorts.insert(*port);
      } else if (port == ev->capPorts.end()) {
        st->capPorts.erase(n);  // full completion is the stronger dependency
      }
    }
    return cudaSuccess;
  }
  if (st->capture) {
    st->capture->invalid = true;
    return setLast(cudaErrorStreamCaptureIsolation);
  }
  if (!ev->recorded || !ev->op || ev->op->done) return cudaSuccess;
  std::vector<OpPtr> deps{ev->op};
  if (st->last) deps.push_back(st->last);
  if (!st->legacy && !(st->flags & cudaStreamNonBlocking) && rt.legacy.last) deps.push_back(rt.legacy.last);
  Work w;
  w.kind = Work::EventWait;
  st->last = rt.enqueue(std::move(deps), std::move(w));
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) { return waitEvent(s, e, false); }
EXPORT cudaError_t cudaStreamWaitEvent_ptsz(cudaStream_t s, cudaEvent_t e, unsigned) { return waitEvent(s, e, true); }
EXPORT cudaError_t cudaStreamGetFlags(cudaStream_t s, unsigned* f) {
  STREAM(false);
  *f = st->flags;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetFlags_ptsz(cudaStream_t s, unsigned* f) {
  STREAM(true);
  *f = st->flags;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetPriority(cudaStream_t s, int* p) {
  STREAM(false);
  *p = st->priority;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetPriority_ptsz(cudaStream_t s, int* p) {
  STREAM(true);
  *p = st->priority;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetId(cudaStream_t s, unsigned long long* id) {
  STREAM(false);
  *id = st->id;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetId_ptsz(cudaStream_t s, unsigned long long* id) {
  STREAM(true);
  *id = st->id;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetDevice(cudaStream_t s, int* d) {
  STREAM(false);
  *d = st->device;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetDevice_ptsz(cudaStream_t s, int* d) {
  STREAM(true);
  *d = st->device;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamSetAttribute(cudaStream_t s, cudaLaunchAttributeID, const cudaLaunchAttributeValue*) {
  STREAM(false);
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetAttribute(cudaStream_t s, cudaLaunchAttributeID, cudaLaunchAttributeValue* v) {
  STREAM(false);
  memset(v, 0, sizeof *v);
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamCopyAttributes(cudaStream_t, cudaStream_t) {
  ENTER;
  return cudaSuccess;
}

// ---------------------------------------------------------------- events

EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned f) {
  ENTER;
  auto* ev = new Event;
  ev->flags = f;
  rt.events.insert(ev);
  *e = (cudaEvent_t)ev;
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
#define EVENT(var, h)       \
  Event* var = (Event*)(h); \
  if (!rt.events.count(var)) return setLast(cudaErrorInvalidResourceHandle)
static cudaError_t eventRecord(cudaEvent_t e, cudaStream_t s, bool pt) {
  STREAM(pt);
  EVENT(ev, e);
  if (st->capture) {
    if (st->capture->invalid) return setLast(cudaErrorStreamCaptureInvalidated);
    ev->capture = st->capture;
    ev->capDeps = st->capDeps;
    ev->capPorts = st->capPorts;
    return cudaSuccess;
  }
  ev->capture.reset();
  ev->capDeps.clear();
  ev->capPorts.clear();
  Work w;
  w.kind = Work::EventRecord;
  OpPtr op;
  cudaError_t r = rt.submit(st, std::move(w), false, &op);
  if (r == cudaSuccess) {
    ev->recorded = true;
    ev->op = op;
  }
  return setLast(r);
}
EXPORT cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { return eventRecord(e, s, false); }
EXPORT cudaError_t cudaEventRecord_ptsz(cudaEvent_t e, cudaStream_t s) { return eventRecord(e, s, true); }
EXPORT cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned) {
  return eventRecord(e, s, false);
}
EXPORT cudaError_t cudaEventRecordWithFlags_ptsz(cudaEvent_t e, cudaStream_t s, unsigned) {
  return eventRecord(e, s, true);
}
EXPORT cudaError_t cudaEventQuery(cudaEvent_t e) {
  ENTER;
  EVENT(ev, e);
  if (ev->capture) return setLast(cudaErrorCapturedEvent);
  if (!ev->recorded || ev->op->done) return setLast(rt.sticky);
  rt.runOne();
  if (rt.sticky != cudaSuccess) return setLast(rt.sticky);
  return cudaErrorNotReady;
}
EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  ENTER;
  EVENT(ev, e);
  if (ev->capture) return setLast(cudaErrorCapturedEvent);
  if (ev->recorded) {
    OpPtr op = ev->op;
    rt.runUntil(op);
  }
  return setLast(rt.sticky);
}
EXPORT cudaError_t cudaEventDestroy(cudaEvent_t e) {
  ENTER;
  EVENT(ev, e);
  rt.events.erase(ev);
  delete ev;
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t a, cudaEvent_t b) {
  ENTER;
  EVENT(x, a);
  EVENT(y, b);
  if ((x->flags & cudaEventDisableTiming) || (y->flags & cudaEventDisableTiming) || !x->recorded || !y->recorded)
    return setLast(cudaErrorInvalidResourceHandle);
  if (!x->op->done || !y->op->done) return cudaErrorNotReady;
  *ms = (float)((y->op->doneTime - x->op->doneTime) * 1e3);
  return cudaSuccess;
}
