// SPDX-License-Identifier: Apache-2.0
// Graphs: nodes, edges, copies of a whole graph, its way into a stream.
#include "graph.h"

#include <algorithm>

namespace cs {

GraphNode* addNode(Graph* g, Work w, std::vector<GraphNode*> deps, std::vector<char> pdl) {
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

cudaGraphEdgeData edgeData(char port) {
  cudaGraphEdgeData e;
  memset(&e, 0, sizeof e);
  e.type = port ? cudaGraphDependencyTypeProgrammatic : cudaGraphDependencyTypeDefault;
  e.from_port = (unsigned char)port;
  return e;
}
char edgePort(const cudaGraphEdgeData* ed, size_t i) {
  return ed && ed[i].type == cudaGraphDependencyTypeProgrammatic ? (char)ed[i].from_port : 0;
}

cudaGraph_t newGraph() {
  auto* g = new Graph;
  g->id = Runtime::get().nextId++;
  Runtime::get().graphs.insert(g);
  return (cudaGraph_t)g;
}

// Deep copy; `map` receives original -> copy.
std::unique_ptr<Graph> cloneGraph(const Graph& g, std::unordered_map<GraphNode*, GraphNode*>& map) {
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

bool topological(Graph& g, std::vector<GraphNode*>& order) {
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
OpPtr queueGraph(Graph& g, OpPtr start) {
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
