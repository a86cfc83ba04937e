// SPDX-License-Identifier: Apache-2.0
// Entry points: copies and fills, and the same as work of graphs.
#include <algorithm>

#include "api.h"

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
