// SPDX-License-Identifier: Apache-2.0
// Entry points: executable graphs.
#include <algorithm>

#include "graph.h"

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
