// SPDX-License-Identifier: Apache-2.0
// Entry points: devices, their properties and limits, versions, synchronization and reset.
#include <unistd.h>

#include <algorithm>

#include "api.h"

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
