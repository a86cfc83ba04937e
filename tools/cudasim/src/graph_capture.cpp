// SPDX-License-Identifier: Apache-2.0
// Entry points: stream capture.
#include <algorithm>

#include "graph.h"

static cudaError_t beginCapture(cudaStream_t s, cudaStreamCaptureMode mode, bool pt, Graph* into,
                                std::vector<GraphNode*> deps, std::map<GraphNode*, char> ports = {}) {
  ENTER;
  STREAM(pt);
  if (st == &rt.legacy) return setLast(cudaErrorStreamCaptureUnsupported);
  if (st->capture) return setLast(cudaErrorIllegalState);
  auto c = std::make_shared<Capture>();
  c->graph = into ? into : (Graph*)newGraph();
  c->ownGraph = !into;
  c->id = rt.nextId++;
  c->mode = mode;
  c->origin = st;
  c->streams.insert(st);
  st->capture = c;
  st->capDeps = std::move(deps);
  st->capPorts = std::move(ports);
  rt.activeCaptures++;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode m) {
  return beginCapture(s, m, false, nullptr, {});
}
EXPORT cudaError_t cudaStreamBeginCapture_ptsz(cudaStream_t s, cudaStreamCaptureMode m) {
  return beginCapture(s, m, true, nullptr, {});
}
EXPORT cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t* d,
                                                 const cudaGraphEdgeData* ed, size_t n, cudaStreamCaptureMode m) {
  std::vector<GraphNode*> deps;
  std::map<GraphNode*, char> ports;
  for (size_t i = 0; i < n; i++) {
    deps.push_back((GraphNode*)d[i]);
    if (char p = edgePort(ed, i)) ports[deps.back()] = p;
  }
  return beginCapture(s, m, false, (Graph*)g, deps, ports);
}
static cudaError_t endCapture(cudaStream_t s, cudaGraph_t* out, bool pt) {
  ENTER;
  STREAM(pt);
  if (out) *out = nullptr;
  if (!st->capture) return setLast(cudaErrorIllegalState);
  auto c = st->capture;
  if (c->origin != st) return setLast(cudaErrorStreamCaptureUnmatched);
  // every forked stream must have been joined
  bool unjoined = false;
  std::set<GraphNode*> reach;
  std::vector<GraphNode*> todo = st->capDeps;
  while (!todo.empty()) {
    GraphNode* n = todo.back();
    todo.pop_back();
    if (!reach.insert(n).second) continue;
    for (auto* d : n->deps) todo.push_back(d);
  }
  for (Stream* o : c->streams) {
    if (o != st)
      for (auto* n : o->capDeps)
        if (!reach.count(n)) unjoined = true;
    if (rt.streams.count(o) || o == &rt.perThread) {
      o->capture.reset();
      o->capDeps.clear();
      o->capPorts.clear();
    }
  }
  for (Event* e : rt.events)
    if (e->capture == c) {
      e->capture.reset();
      e->capDeps.clear();
      e->capPorts.clear();
    }
  rt.activeCaptures--;
  if (c->invalid) return setLast(cudaErrorStreamCaptureInvalidated);
  if (unjoined) return setLast(cudaErrorStreamCaptureUnjoined);
  if (out) *out = (cudaGraph_t)c->graph;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) { return endCapture(s, g, false); }
EXPORT cudaError_t cudaStreamEndCapture_ptsz(cudaStream_t s, cudaGraph_t* g) { return endCapture(s, g, true); }
static cudaError_t isCapturing(cudaStream_t s, cudaStreamCaptureStatus* v, bool pt) {
  ENTER;
  STREAM(pt);
  if (st == &rt.legacy && rt.activeCaptures) {
    for (Stream* o : rt.streams)
      if (o->capture && !(o->flags & cudaStreamNonBlocking)) return setLast(cudaErrorStreamCaptureImplicit);
  }
  *v = !st->capture           ? cudaStreamCaptureStatusNone
       : st->capture->invalid ? cudaStreamCaptureStatusInvalidated
                              : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* v) {
  return isCapturing(s, v, false);
}
EXPORT cudaError_t cudaStreamIsCapturing_ptsz(cudaStream_t s, cudaStreamCaptureStatus* v) {
  return isCapturing(s, v, true);
}
static cudaError_t captureInfo(cudaStream_t s, cudaStreamCaptureStatus* v, unsigned long long* id, cudaGraph_t* g,
                               const cudaGraphNode_t** deps, const cudaGraphEdgeData** edges, size_t* n, bool pt) {
  cudaError_t e = isCapturing(s, v, pt);
  if (e != cudaSuccess) return e;
  ENTER;
  STREAM(pt);
  if (!st->capture) return cudaSuccess;
  if (id) *id = st->capture->id;
  if (g) *g = (cudaGraph_t)st->capture->graph;
  st->capDepsOut.assign(st->capDeps.begin(), st->capDeps.end());
  if (deps) *deps = (const cudaGraphNode_t*)st->capDepsOut.data();
  if (edges) {
    st->capEdgesOut.clear();
    for (auto* d : st->capDeps) {
      auto it = st->capPorts.find(d);
      st->capEdgesOut.push_back(edgeData(it == st->capPorts.end() ? 0 : it->second));
    }
    *edges = st->capEdgesOut.data();
  } else if (deps && !st->capPorts.empty()) {
    return setLast(cudaErrorLossyQuery);
  }
  if (n) *n = st->capDeps.size();
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* v, unsigned long long* id,
                                            cudaGraph_t* g, const cudaGraphNode_t** d, const cudaGraphEdgeData** e,
                                            size_t* n) {
  return captureInfo(s, v, id, g, d, e, n, false);
}
EXPORT cudaError_t cudaStreamGetCaptureInfo_ptsz(cudaStream_t s, cudaStreamCaptureStatus* v, unsigned long long* id,
                                                 cudaGraph_t* g, const cudaGraphNode_t** d, const cudaGraphEdgeData** e,
                                                 size_t* n) {
  return captureInfo(s, v, id, g, d, e, n, true);
}
EXPORT cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t* d, const cudaGraphEdgeData* ed,
                                                       size_t n, unsigned flags) {
  ENTER;
  STREAM(false);
  if (!st->capture) return setLast(cudaErrorIllegalState);
  if (flags & cudaStreamSetCaptureDependencies) {
    st->capDeps.clear();
    st->capPorts.clear();
  }
  for (size_t i = 0; i < n; i++) {
    st->capDeps.push_back((GraphNode*)d[i]);
    if (char p = edgePort(ed, i)) st->capPorts[st->capDeps.back()] = p;
  }
  return cudaSuccess;
}
