// SPDX-License-Identifier: Apache-2.0
// Entry points: allocation on device and host, pools, attributes of pointers.
#include <unistd.h>

#include <algorithm>

#include "api.h"

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
