// SPDX-License-Identifier: Apache-2.0
// Operations on graphs that their entry points share. Defined in graph.cpp.
#pragma once
#include "api.h"

namespace cs {

cudaError_t makeMemset(const cudaMemsetParams& m, Work& k);  // api_copy.cpp
cudaError_t makeMemcpy(const cudaMemcpy3DParms& q, Work& k);
GraphNode* addNode(Graph* g, Work w, std::vector<GraphNode*> deps, std::vector<char> pdl = {});
cudaGraphEdgeData edgeData(char port);
char edgePort(const cudaGraphEdgeData* ed, size_t i);
cudaGraph_t newGraph();
std::unique_ptr<Graph> cloneGraph(const Graph& g, std::unordered_map<GraphNode*, GraphNode*>& map);
bool topological(Graph& g, std::vector<GraphNode*>& order);  // false: it has a cycle
OpPtr queueGraph(Graph& g, OpPtr start);

// Work of nodes, from and to the parameters of the API. Defined in graph_nodes.cpp.
cudaError_t kernelWork(const cudaKernelNodeParams* p, Work& w);
cudaMemcpy3DParms parms1D(void* dst, const void* src, size_t n, cudaMemcpyKind k);
Work hostWork(const cudaHostNodeParams& p);
cudaError_t setKernelParams(GraphNode* x, const cudaKernelNodeParams* p);

}  // namespace cs
