// SPDX-License-Identifier: Apache-2.0
// What the entry points of libcudart share: how they are exported and what each does first. Included by api_*.cpp and
// graph*.cpp only.
#pragma once
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
// Prologue of what works on a corrupted context too.
#define QUERY \
  LOCK;       \
  if (cudaError_t injected_ = enterCall(__func__)) return setLast(injected_)
#define NODEV \
  QUERY;      \
  if (config().devices <= 0) return setLast(cudaErrorNoDevice)
#define STREAM(pt)               \
  Stream* st = rt.stream(s, pt); \
  if (!st) return setLast(cudaErrorInvalidResourceHandle)

#define GRAPH(var, h)       \
  Graph* var = (Graph*)(h); \
  if (!var) return setLast(cudaErrorInvalidValue)

inline bool isDeviceSide(Alloc* a) { return a && a->kind != AllocKind::Pinned && a->kind != AllocKind::Registered; }
