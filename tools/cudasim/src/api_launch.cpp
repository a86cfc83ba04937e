// SPDX-License-Identifier: Apache-2.0
// Entry points: errors, registration of what a program embeds, launches, function attributes and occupancy.
#include <algorithm>
#include <cmath>

#include "api.h"

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
  auto forget = [&](auto& registered) {
    for (auto it = registered.begin(); it != registered.end();)
      it = it->second->fb == fb ? registered.erase(it) : std::next(it);
  };
  forget(rt.funcs);
  forget(rt.vars);
  // Statistics, queued launches and graphs may still refer to its kernels: then they stay in memory.
  if (statsEnabled() || !rt.pending.empty() || !rt.graphs.empty() || !rt.execs.empty()) return;
  for (auto& f : fb->funcs) rt.funcSet.erase(f.get());
  if (fb->module)
    for (auto& symbol : fb->module->symbols) Memory::get().release(symbol.second);
  delete fb;
}
EXPORT void __cudaRegisterFunction(void** h, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*,
                                   dim3*, int*) {
  LOCK;
  auto* fb = (FatBin*)h;
  fb->funcs.push_back(std::make_unique<FuncReg>());
  FuncReg* f = fb->funcs.back().get();
  f->fb = fb;
  f->name = name;
  f->host = host;
  Runtime::get().funcs[host] = f;
  Runtime::get().funcSet.insert(f);
}
static VarReg* newVar(FatBin* fb) {
  fb->vars.push_back(std::make_unique<VarReg>());
  fb->vars.back()->fb = fb;
  return fb->vars.back().get();
}
EXPORT void __cudaRegisterVar(void** h, char* host, char*, const char* name, int, size_t size, int constant, int) {
  LOCK;
  VarReg* v = newVar((FatBin*)h);
  v->name = name;
  v->size = size;
  v->constant = constant;
  Runtime::get().vars[host] = v;
}
EXPORT void __cudaRegisterManagedVar(void** h, void** hostPtr, char* devAddr, const char* name, int, size_t size,
                                     int constant, int) {
  LOCK;
  VarReg* v = newVar((FatBin*)h);
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
