// SPDX-License-Identifier: Apache-2.0
// Entry points: graphs and their nodes.
#include <algorithm>

#include "graph.h"

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
cudaError_t cs::kernelWork(const cudaKernelNodeParams* p, Work& w) {
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
cudaMemcpy3DParms cs::parms1D(void* dst, const void* src, size_t n, cudaMemcpyKind k) {
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
Work cs::hostWork(const cudaHostNodeParams& p) {
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
cudaError_t cs::setKernelParams(GraphNode* x, const cudaKernelNodeParams* p) {
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
