// SPDX-License-Identifier: Apache-2.0
// Entry points: streams and events.
#include <algorithm>

#include "api.h"

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
static cudaError_t streamSync(cudaStream_t s, bool pt) {
  ENTER;
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
  ENTER;
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
  ENTER;
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
  ENTER;
  STREAM(false);
  *f = st->flags;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetFlags_ptsz(cudaStream_t s, unsigned* f) {
  ENTER;
  STREAM(true);
  *f = st->flags;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetPriority(cudaStream_t s, int* p) {
  ENTER;
  STREAM(false);
  *p = st->priority;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetPriority_ptsz(cudaStream_t s, int* p) {
  ENTER;
  STREAM(true);
  *p = st->priority;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetId(cudaStream_t s, unsigned long long* id) {
  ENTER;
  STREAM(false);
  *id = st->id;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetId_ptsz(cudaStream_t s, unsigned long long* id) {
  ENTER;
  STREAM(true);
  *id = st->id;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetDevice(cudaStream_t s, int* d) {
  ENTER;
  STREAM(false);
  *d = st->device;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetDevice_ptsz(cudaStream_t s, int* d) {
  ENTER;
  STREAM(true);
  *d = st->device;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamSetAttribute(cudaStream_t s, cudaLaunchAttributeID, const cudaLaunchAttributeValue*) {
  ENTER;
  STREAM(false);
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetAttribute(cudaStream_t s, cudaLaunchAttributeID, cudaLaunchAttributeValue* v) {
  ENTER;
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
  ENTER;
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
