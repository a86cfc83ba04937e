// SPDX-License-Identifier: Apache-2.0
// Stream capture and graphs.
#include <algorithm>

#include "runtime.h"

using namespace cs;

#define EXPORT extern "C" __attribute__((visibility("default")))
#define ENTER                                                     \
  std::lock_guard<std::recursive_mutex> lock_(Runtime::get().mu); \
  Runtime& rt = Runtime::get();                                   \
  (void)rt;                                                       \
  if (config().devices <= 0) return setLast(cudaErrorNoDevice);   \
  if (rt.sticky != cudaSuccess) return setLast(rt.sticky);        \
  if (cudaError_t injected_ = enterCall(__func__)) return setLast(injected_)

namespace cs {
cudaError_t makeMemset(const cudaMemsetParams& m, Work& k);
cudaError_t makeMemcpy(const cudaMemcpy3DParms& q, Work& k);

static GraphNode* addNode(Graph* g, Work w, std::vector<GraphNode*> deps, std::vector<char> pdl = {}) {
  auto n = std::make_unique<GraphNode>();
  n->work = std::move(w);
  n->deps = std::move(deps);
  pdl.resize(n->deps.size(), 0);
  n->pdlEdge = std::move(pdl);
  n->graph = g;
  n->id = Runtime::get().nextId++;
  g->nodes.push_back(std::move(n));
  return g->nodes.back().get();
}

cudaError_t addCaptureNode(Stream* s, Work w, bool pdl) {
  std::vector<char> edges(s->capDeps.size(), 0);
  for (size_t i = 0; i < edges.size(); i++) {
    GraphNode* d = s->capDeps[i];
    if (w.kind != Work::Kernel || d->work.kind != Work::Kernel) continue;
    auto it = s->capPorts.find(d);  // port given by the event of the primary
    edges[i] = it != s->capPorts.end() ? it->second : pdl ? cudaGraphKernelNodePortProgrammatic : 0;
  }
  GraphNode* n = addNode(s->capture->graph, std::move(w), s->capDeps, edges);
  s->capDeps = {n};
  s->capPorts.clear();
  return cudaSuccess;
}

static cudaGraphEdgeData edgeData(char port) {
  cudaGraphEdgeData e;
  memset(&e, 0, sizeof e);
  e.type = port ? cudaGraphDependencyTypeProgrammatic : cudaGraphDependencyTypeDefault;
  e.from_port = (unsigned char)port;
  return e;
}
static char edgePort(const cudaGraphEdgeData* ed, size_t i) {
  return ed && ed[i].type == cudaGraphDependencyTypeProgrammatic ? (char)ed[i].from_port : 0;
}

static cudaGraph_t newGraph() {
  auto* g = new Graph;
  g->id = Runtime::get().nextId++;
  Runtime::get().graphs.insert(g);
  return (cudaGraph_t)g;
}

// Deep copy; `map` receives original -> copy.
static std::unique_ptr<Graph> cloneGraph(const Graph& g, std::unordered_map<GraphNode*, GraphNode*>& map) {
  auto c = std::make_unique<Graph>();
  c->id = Runtime::get().nextId++;
  for (auto& n : g.nodes) {
    GraphNode* m = addNode(c.get(), n->work, {}, {});
    m->enabled = n->enabled;
    map[n.get()] = m;
    if (n->work.child) {
      std::unordered_map<GraphNode*, GraphNode*> sub;
      m->work.child = (cudaGraph_t)cloneGraph(*(Graph*)n->work.child, sub).release();
    }
  }
  for (auto& n : g.nodes) {
    GraphNode* m = map[n.get()];
    for (auto* d : n->deps) m->deps.push_back(map[d]);
    m->pdlEdge = n->pdlEdge;
  }
  return c;
}

static bool topological(Graph& g, std::vector<GraphNode*>& order) {
  std::unordered_map<GraphNode*, int> left;
  std::unordered_map<GraphNode*, std::vector<GraphNode*>> next;
  std::vector<GraphNode*> ready;
  for (auto& n : g.nodes) {
    left[n.get()] = (int)n->deps.size();
    for (auto* d : n->deps) next[d].push_back(n.get());
    if (n->deps.empty()) ready.push_back(n.get());
  }
  for (size_t i = 0; i < ready.size(); i++) {
    order.push_back(ready[i]);
    for (auto* x : next[ready[i]])
      if (--left[x] == 0) ready.push_back(x);
  }
  return order.size() == g.nodes.size();
}

// Queues all nodes behind `start`; returns the operation that completes the graph.
static OpPtr queueGraph(Graph& g, OpPtr start) {
  Runtime& rt = Runtime::get();
  std::vector<GraphNode*> order;
  topological(g, order);
  std::unordered_map<GraphNode*, OpPtr> op;
  std::vector<OpPtr> all;
  for (auto* n : order) {
    std::vector<OpPtr> deps;
    OpPtr primary;
    if (n->deps.empty()) deps.push_back(start);
    for (size_t i = 0; i < n->deps.size(); i++) {
      deps.push_back(op[n->deps[i]]);
      if (n->pdlEdge[i] && n->deps.size() == 1) primary = op[n->deps[i]];
    }
    OpPtr o;
    if (!n->enabled) {
      o = rt.enqueue(deps, Work{});
    } else if (n->work.kind == Work::Child) {
      OpPtr s = rt.enqueue(deps, Work{});
      o = queueGraph(*(Graph*)n->work.child, s);
    } else if (n->work.kind == Work::EventRecord) {
      Work w = n->work;
      o = rt.enqueue(deps, w);
      if (rt.events.count(n->work.event)) {
        n->work.event->recorded = true;
        n->work.event->op = o;
      }
    } else if (n->work.kind == Work::EventWait) {
      if (rt.events.count(n->work.event) && n->work.event->op) deps.push_back(n->work.event->op);
      o = rt.enqueue(deps, Work{});
    } else {
      o = rt.enqueue(deps, n->work, primary);
    }
    op[n] = o;
    all.push_back(o);
  }
  all.push_back(start);
  return rt.enqueue(all, Work{});
}

void launchGraph(Graph& g, Stream* s) {
  Runtime& rt = Runtime::get();
  OpPtr start;
  rt.submit(s, Work{}, false, &start);
  s->last = queueGraph(g, start);
}

}  // namespace cs

#define STREAM(pt)               \
  Stream* st = rt.stream(s, pt); \
  if (!st) return setLast(cudaErrorInvalidResourceHandle)
#define GRAPH(var, h)       \
  Graph* var = (Graph*)(h); \
  if (!var) return setLast(cudaErrorInvalidValue)

// ---------------------------------------------------------------- capture

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

// ---------------------------------------------------------------- graphs

EXPORT cudaError_t cudaGraphCreate(cudaGraph_t* g, unsigned) {
  ENTER;
  *g = newGraph();
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  ENTER;
  Graph* x = (Graph*)g;
  if (!rt.graphs.count(x)) return setLast(cudaErrorInvalidValue);
  rt.graphs.erase(x);
  delete x;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphClone(cudaGraph_t* out, cudaGraph_t g) {
  ENTER;
  GRAPH(x, g);
  std::unordered_map<GraphNode*, GraphNode*> map;
  Graph* c = cloneGraph(*x, map).release();
  rt.graphs.insert(c);
  *out = (cudaGraph_t)c;
  return cudaSuccess;
}
static std::vector<GraphNode*> depList(const cudaGraphNode_t* d, size_t n) {
  std::vector<GraphNode*> v;
  for (size_t i = 0; i < n; i++) v.push_back((GraphNode*)d[i]);
  return v;
}
static cudaError_t kernelWork(const cudaKernelNodeParams* p, Work& w) {
  Runtime& rt = Runtime::get();
  FuncReg* f = findFunc(p->func);
  if (!f) return cudaErrorInvalidDeviceFunction;
  if (!p->kernelParams) return cudaErrorNotSupported;
  bool pdl;
  w.kind = Work::Kernel;
  w.func = f;
  return rt.prepare(f, p->gridDim, p->blockDim, p->kernelParams, p->sharedMemBytes, nullptr, 0, false, w.launch, pdl);
}
EXPORT cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                          const cudaKernelNodeParams* p) {
  ENTER;
  GRAPH(x, g);
  Work w;
  cudaError_t e = kernelWork(p, w);
  if (e != cudaSuccess) return setLast(e);
  *n = (cudaGraphNode_t)addNode(x, std::move(w), depList(d, nd));
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                          const cudaMemsetParams* p) {
  ENTER;
  GRAPH(x, g);
  Work w;
  cudaError_t e = makeMemset(*p, w);
  if (e != cudaSuccess) return setLast(e);
  *n = (cudaGraphNode_t)addNode(x, std::move(w), depList(d, nd));
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                          const cudaMemcpy3DParms* p) {
  ENTER;
  GRAPH(x, g);
  Work w;
  cudaError_t e = makeMemcpy(*p, w);
  if (e != cudaSuccess) return setLast(e);
  *n = (cudaGraphNode_t)addNode(x, std::move(w), depList(d, nd));
  return cudaSuccess;
}
static cudaMemcpy3DParms parms1D(void* dst, const void* src, size_t n, cudaMemcpyKind k) {
  cudaMemcpy3DParms p;
  memset(&p, 0, sizeof p);
  p.dstPtr = cudaPitchedPtr{dst, n, n, 1};
  p.srcPtr = cudaPitchedPtr{(void*)src, n, n, 1};
  p.extent = cudaExtent{n, 1, 1};
  p.kind = k;
  return p;
}
EXPORT cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                            void* dst, const void* src, size_t c, cudaMemcpyKind k) {
  cudaMemcpy3DParms p = parms1D(dst, src, c, k);
  return cudaGraphAddMemcpyNode(n, g, d, nd, &p);
}
static Work hostWork(const cudaHostNodeParams& p) {
  Work w;
  w.kind = Work::Host;
  w.host = p;
  w.fn = [p] { p.fn(p.userData); };
  return w;
}
EXPORT cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                        const cudaHostNodeParams* p) {
  ENTER;
  GRAPH(x, g);
  *n = (cudaGraphNode_t)addNode(x, hostWork(*p), depList(d, nd));
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd) {
  ENTER;
  GRAPH(x, g);
  *n = (cudaGraphNode_t)addNode(x, Work{}, depList(d, nd));
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                              cudaGraph_t child) {
  ENTER;
  GRAPH(x, g);
  GRAPH(c, child);
  Work w;
  w.kind = Work::Child;
  std::unordered_map<GraphNode*, GraphNode*> map;
  w.child = (cudaGraph_t)cloneGraph(*c, map).release();
  *n = (cudaGraphNode_t)addNode(x, std::move(w), depList(d, nd));
  return cudaSuccess;
}
static cudaError_t eventNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd, cudaEvent_t ev,
                             Work::Kind k) {
  ENTER;
  GRAPH(x, g);
  Work w;
  w.kind = k;
  w.event = (Event*)ev;
  *n = (cudaGraphNode_t)addNode(x, std::move(w), depList(d, nd));
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                               cudaEvent_t e) {
  return eventNode(n, g, d, nd, e, Work::EventRecord);
}
EXPORT cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* n, cudaGraph_t g, const cudaGraphNode_t* d, size_t nd,
                                             cudaEvent_t e) {
  return eventNode(n, g, d, nd, e, Work::EventWait);
}
EXPORT cudaError_t cudaGraphAddDependencies(cudaGraph_t g, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                            const cudaGraphEdgeData* ed, size_t n) {
  ENTER;
  GRAPH(x, g);
  (void)x;
  for (size_t i = 0; ed && i < n; i++) {  // a programmatic edge joins kernels and needs a port; others have none here
    bool programmatic = ed[i].type == cudaGraphDependencyTypeProgrammatic;
    bool kernels = ((GraphNode*)from[i])->work.kind == Work::Kernel && ((GraphNode*)to[i])->work.kind == Work::Kernel;
    if (ed[i].to_port || ed[i].from_port > cudaGraphKernelNodePortLaunchCompletion ||
        programmatic != (ed[i].from_port != 0) || (programmatic && !kernels))
      return setLast(cudaErrorInvalidValue);
  }
  for (size_t i = 0; i < n; i++) {
    ((GraphNode*)to[i])->deps.push_back((GraphNode*)from[i]);
    ((GraphNode*)to[i])->pdlEdge.push_back(edgePort(ed, i));
  }
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t* out, size_t* n) {
  ENTER;
  GRAPH(x, g);
  if (out)
    for (size_t i = 0; i < *n; i++) out[i] = i < x->nodes.size() ? (cudaGraphNode_t)x->nodes[i].get() : nullptr;
  if (!out || *n > x->nodes.size()) *n = x->nodes.size();
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphGetRootNodes(cudaGraph_t g, cudaGraphNode_t* out, size_t* n) {
  ENTER;
  GRAPH(x, g);
  size_t k = 0;
  for (auto& m : x->nodes)
    if (m->deps.empty()) {
      if (out && k < *n) out[k] = (cudaGraphNode_t)m.get();
      k++;
    }
  *n = k;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphGetEdges(cudaGraph_t g, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* ed,
                                     size_t* n) {
  ENTER;
  GRAPH(x, g);
  size_t k = 0;
  for (auto& m : x->nodes)
    for (size_t i = 0; i < m->deps.size(); i++) {
      if (from && to && k < *n) {
        from[k] = (cudaGraphNode_t)m->deps[i];
        to[k] = (cudaGraphNode_t)m.get();
        if (ed)
          ed[k] = edgeData(m->pdlEdge[i]);
        else if (m->pdlEdge[i])
          return setLast(cudaErrorLossyQuery);
      }
      k++;
    }
  *n = k;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t n, cudaGraphNode_t* d, cudaGraphEdgeData* ed,
                                                size_t* k) {
  ENTER;
  auto* x = (GraphNode*)n;
  if (d)
    for (size_t i = 0; i < *k && i < x->deps.size(); i++) {
      d[i] = (cudaGraphNode_t)x->deps[i];
      if (ed)
        ed[i] = edgeData(x->pdlEdge[i]);
      else if (x->pdlEdge[i])
        return setLast(cudaErrorLossyQuery);
    }
  *k = x->deps.size();
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t n, cudaGraphNode_t* d, cudaGraphEdgeData* ed,
                                                  size_t* k) {
  ENTER;
  auto* x = (GraphNode*)n;
  size_t c = 0;
  for (auto& m : x->graph->nodes)
    if (auto it = std::find(m->deps.begin(), m->deps.end(), x); it != m->deps.end()) {
      char port = m->pdlEdge[(size_t)(it - m->deps.begin())];
      if (d && c < *k) {
        d[c] = (cudaGraphNode_t)m.get();
        if (ed)
          ed[c] = edgeData(port);
        else if (port)
          return setLast(cudaErrorLossyQuery);
      }
      c++;
    }
  *k = c;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphNodeGetType(cudaGraphNode_t n, cudaGraphNodeType* t) {
  ENTER;
  switch (((GraphNode*)n)->work.kind) {
    case Work::Kernel:
      *t = cudaGraphNodeTypeKernel;
      break;
    case Work::Memcpy:
      *t = cudaGraphNodeTypeMemcpy;
      break;
    case Work::Memset:
      *t = cudaGraphNodeTypeMemset;
      break;
    case Work::Host:
      *t = cudaGraphNodeTypeHost;
      break;
    case Work::Child:
      *t = cudaGraphNodeTypeGraph;
      break;
    case Work::EventRecord:
      *t = cudaGraphNodeTypeEventRecord;
      break;
    case Work::EventWait:
      *t = cudaGraphNodeTypeWaitEvent;
      break;
    case Work::MemAlloc:
      *t = cudaGraphNodeTypeMemAlloc;
      break;
    case Work::MemFree:
      *t = cudaGraphNodeTypeMemFree;
      break;
    default:
      *t = cudaGraphNodeTypeEmpty;
      break;
  }
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphDestroyNode(cudaGraphNode_t n) {
  ENTER;
  auto* x = (GraphNode*)n;
  Graph* g = x->graph;
  for (auto& m : g->nodes)
    for (size_t i = m->deps.size(); i-- > 0;)
      if (m->deps[i] == x) {
        m->deps.erase(m->deps.begin() + (long)i);
        m->pdlEdge.erase(m->pdlEdge.begin() + (long)i);
      }
  for (size_t i = 0; i < g->nodes.size(); i++)
    if (g->nodes[i].get() == x) {
      g->nodes.erase(g->nodes.begin() + (long)i);
      break;
    }
  return cudaSuccess;
}
// kernel node parameters: pointers into the stored argument buffer
static cudaError_t getKernelParams(GraphNode* x, cudaKernelNodeParams* p) {
  if (x->work.kind != Work::Kernel) return cudaErrorInvalidValue;
  static std::vector<std::unique_ptr<std::vector<void*>>> keep;
  LaunchParams& lp = *x->work.launch;
  auto v = std::make_unique<std::vector<void*>>();
  for (auto& q : lp.kernel->params) v->push_back(lp.params.data() + q.offset);
  p->func = (void*)x->work.func->host;
  p->gridDim = dim3(lp.grid[0], lp.grid[1], lp.grid[2]);
  p->blockDim = dim3(lp.block[0], lp.block[1], lp.block[2]);
  p->sharedMemBytes = lp.dynShared;
  p->kernelParams = v->data();
  p->extra = nullptr;
  keep.push_back(std::move(v));
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t n, cudaKernelNodeParams* p) {
  ENTER;
  return setLast(getKernelParams((GraphNode*)n, p));
}
static cudaError_t setKernelParams(GraphNode* x, const cudaKernelNodeParams* p) {
  if (x->work.kind != Work::Kernel) return cudaErrorInvalidValue;
  Work w;
  cudaError_t e = kernelWork(p, w);
  if (e != cudaSuccess) return e;
  w.launch->cooperative = x->work.launch->cooperative;
  for (int i = 0; i < 3; i++) w.launch->cluster[i] = x->work.launch->cluster[i];
  x->work = std::move(w);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t n, const cudaKernelNodeParams* p) {
  ENTER;
  return setLast(setKernelParams((GraphNode*)n, p));
}
EXPORT cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t n, cudaMemsetParams* p) {
  ENTER;
  *p = ((GraphNode*)n)->work.memset;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t n, const cudaMemsetParams* p) {
  ENTER;
  return setLast(makeMemset(*p, ((GraphNode*)n)->work));
}
EXPORT cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t n, cudaMemcpy3DParms* p) {
  ENTER;
  *p = ((GraphNode*)n)->work.memcpy;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t n, const cudaMemcpy3DParms* p) {
  ENTER;
  return setLast(makeMemcpy(*p, ((GraphNode*)n)->work));
}
EXPORT cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t n, cudaHostNodeParams* p) {
  ENTER;
  *p = ((GraphNode*)n)->work.host;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t n, const cudaHostNodeParams* p) {
  ENTER;
  ((GraphNode*)n)->work = hostWork(*p);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t n, cudaGraph_t* g) {
  ENTER;
  *g = ((GraphNode*)n)->work.child;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t n, cudaLaunchAttributeID id,
                                                   const cudaLaunchAttributeValue* v) {
  ENTER;
  auto* x = (GraphNode*)n;
  if (x->work.kind != Work::Kernel) return setLast(cudaErrorInvalidValue);
  if (id == cudaLaunchAttributeCooperative) x->work.launch->cooperative = v->cooperative;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t n, cudaLaunchAttributeID id,
                                                   cudaLaunchAttributeValue* v) {
  ENTER;
  memset(v, 0, sizeof *v);
  auto* x = (GraphNode*)n;
  if (id == cudaLaunchAttributeCooperative && x->work.launch) v->cooperative = x->work.launch->cooperative;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphKernelNodeCopyAttributes(cudaGraphNode_t, cudaGraphNode_t) {
  ENTER;
  return cudaSuccess;
}

// ---------------------------------------------------------------- executable graphs

static cudaError_t instantiate(cudaGraphExec_t* out, cudaGraph_t g, unsigned long long flags) {
  ENTER;
  GRAPH(x, g);
  std::vector<GraphNode*> order;
  if (!topological(*x, order)) return setLast(cudaErrorInvalidValue);
  auto* e = new GraphExec;
  e->graph = cloneGraph(*x, e->map);
  e->flags = flags;
  rt.execs.insert(e);
  *out = (cudaGraphExec_t)e;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long f) {
  return instantiate(e, g, f);
}
EXPORT cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long f) {
  return instantiate(e, g, f);
}
EXPORT cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* e, cudaGraph_t g, cudaGraphInstantiateParams* p) {
  cudaError_t r = instantiate(e, g, p->flags);
  p->result_out = r == cudaSuccess ? cudaGraphInstantiateSuccess : cudaGraphInstantiateError;
  return r;
}
#define EXEC(var, h)                \
  GraphExec* var = (GraphExec*)(h); \
  if (!rt.execs.count(var)) return setLast(cudaErrorInvalidValue)
EXPORT cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g) {
  ENTER;
  EXEC(e, g);
  rt.execs.erase(e);
  delete e;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t g, unsigned long long* f) {
  ENTER;
  EXEC(e, g);
  *f = e->flags;
  return cudaSuccess;
}
static cudaError_t graphLaunch(cudaGraphExec_t g, cudaStream_t s, bool pt) {
  ENTER;
  EXEC(e, g);
  STREAM(pt);
  if (st->capture) {
    Work w;
    w.kind = Work::Child;
    std::unordered_map<GraphNode*, GraphNode*> map;
    w.child = (cudaGraph_t)cloneGraph(*e->graph, map).release();
    return setLast(rt.submit(st, std::move(w)));
  }
  launchGraph(*e->graph, st);
  return setLast(rt.sticky);
}
EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s) { return graphLaunch(g, s, false); }
EXPORT cudaError_t cudaGraphLaunch_ptsz(cudaGraphExec_t g, cudaStream_t s) { return graphLaunch(g, s, true); }
EXPORT cudaError_t cudaGraphUpload(cudaGraphExec_t g, cudaStream_t) {
  ENTER;
  EXEC(e, g);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphUpload_ptsz(cudaGraphExec_t g, cudaStream_t) {
  ENTER;
  EXEC(e, g);
  return cudaSuccess;
}
// Succeeds when the topology and node kinds match; then the new nodes replace the old ones.
EXPORT cudaError_t cudaGraphExecUpdate(cudaGraphExec_t g, cudaGraph_t h, cudaGraphExecUpdateResultInfo* info) {
  ENTER;
  EXEC(e, g);
  GRAPH(x, h);
  bool same = e->graph->nodes.size() == x->nodes.size();
  std::unordered_map<GraphNode*, size_t> ia, ib;
  for (size_t i = 0; same && i < x->nodes.size(); i++) {
    ia[e->graph->nodes[i].get()] = i;
    ib[x->nodes[i].get()] = i;
  }
  for (size_t i = 0; same && i < x->nodes.size(); i++) {
    GraphNode &a = *e->graph->nodes[i], &b = *x->nodes[i];
    same = a.work.kind == b.work.kind && a.deps.size() == b.deps.size();
    for (size_t j = 0; same && j < a.deps.size(); j++) same = ia[a.deps[j]] == ib[b.deps[j]];
    if (same && a.work.kind == Work::Kernel) same = a.work.func == b.work.func;
  }
  if (info) {
    memset(info, 0, sizeof *info);
    info->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
  }
  if (!same) return setLast(cudaErrorGraphExecUpdateFailure);
  e->map.clear();
  e->graph = cloneGraph(*x, e->map);
  return cudaSuccess;
}
static GraphNode* execNode(GraphExec* e, cudaGraphNode_t n) {
  auto it = e->map.find((GraphNode*)n);
  return it == e->map.end() ? nullptr : it->second;
}
#define EXECNODE                 \
  ENTER;                         \
  EXEC(e, g);                    \
  GraphNode* x = execNode(e, n); \
  if (!x) return setLast(cudaErrorInvalidValue)
EXPORT cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t g, cudaGraphNode_t n,
                                                    const cudaKernelNodeParams* p) {
  EXECNODE;
  return setLast(setKernelParams(x, p));
}
EXPORT cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t g, cudaGraphNode_t n, const cudaMemsetParams* p) {
  EXECNODE;
  return setLast(makeMemset(*p, x->work));
}
EXPORT cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t g, cudaGraphNode_t n, const cudaMemcpy3DParms* p) {
  EXECNODE;
  return setLast(makeMemcpy(*p, x->work));
}
EXPORT cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t g, cudaGraphNode_t n, void* d, const void* s,
                                                      size_t c, cudaMemcpyKind k) {
  EXECNODE;
  return setLast(makeMemcpy(parms1D(d, s, c, k), x->work));
}
EXPORT cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t g, cudaGraphNode_t n, const cudaHostNodeParams* p) {
  EXECNODE;
  x->work = hostWork(*p);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t g, cudaGraphNode_t n, unsigned on) {
  EXECNODE;
  x->enabled = on;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t g, cudaGraphNode_t n, unsigned* on) {
  EXECNODE;
  *on = x->enabled;
  return cudaSuccess;
}
EXPORT cudaError_t cudaUserObjectCreate(cudaUserObject_t* o, void* p, cudaHostFn_t destroy, unsigned, unsigned) {
  ENTER;
  (void)destroy;
  *o = (cudaUserObject_t)p;
  return cudaSuccess;
}
EXPORT cudaError_t cudaUserObjectRetain(cudaUserObject_t, unsigned) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaUserObjectRelease(cudaUserObject_t, unsigned) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphRetainUserObject(cudaGraph_t, cudaUserObject_t, unsigned, unsigned) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphReleaseUserObject(cudaGraph_t, cudaUserObject_t, unsigned) {
  ENTER;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphDebugDotPrint(cudaGraph_t g, const char* path, unsigned) {
  ENTER;
  GRAPH(x, g);
  FILE* f = fopen(path, "w");
  if (!f) return setLast(cudaErrorOperatingSystem);
  fprintf(f, "digraph g {\n");
  for (auto& n : x->nodes) {
    fprintf(f, "  n%llu [label=\"%s\"];\n", (unsigned long long)n->id,
            n->work.kind == Work::Kernel ? n->work.func->name.c_str() : "node");
    for (auto* d : n->deps) fprintf(f, "  n%llu -> n%llu;\n", (unsigned long long)d->id, (unsigned long long)n->id);
  }
  fprintf(f, "}\n");
  fclose(f);
  return cudaSuccess;
}
