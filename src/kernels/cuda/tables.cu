// SPDX-License-Identifier: Apache-2.0
// The small kernels: tables of a workspace, pointers and groups that travel as kernel arguments, epochs.
// Called by backend_cuda.cu.
#include "../commit.h"
#include "kernels.h"

namespace swd::cuda {
namespace {

// The segment of each chunk, by binary search: the last one that starts at or before the chunk. Segments without
// elements start where their successor does and so are never the last.
__global__ void __launch_bounds__(kThreads) chunk_table_kernel(PlanFacts plan, Workspace ws, uint32_t* table) {
  int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t chunk = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; chunk < plan.chunk_count;
       chunk += stride) {
    int64_t low = 0, high = plan.segment_count;
    while (high - low > 1) {
      int64_t middle = low + (high - low) / 2;
      if (ws.segments[middle].first_chunk <= chunk) {
        low = middle;
      } else {
        high = middle;
      }
    }
    table[chunk] = static_cast<uint32_t>(low);
  }
}

struct Carried {
  uint64_t words[kCarriedBytes / 8];
};

__global__ void __launch_bounds__(kThreads) carry_kernel(const __grid_constant__ Carried carried, uint32_t words,
                                                         uint64_t fingerprint, const Header* header, uint64_t* to) {
  if (header->fingerprint != fingerprint) return;
  for (uint32_t i = threadIdx.x; i < words; i += kThreads) to[i] = carried.words[i];
}

__global__ void discard_kernel(uint64_t fingerprint, Header* header) {
  if (header->fingerprint != fingerprint) return;
  begin_epoch(*header);
}

__global__ void add_record_kernel(double* to, const double* from) {
  if (threadIdx.x < kRecordDoubles) to[threadIdx.x] += from[threadIdx.x];
}

// What swd_stats_fetch copies to the host afterwards. Of a workspace of another plan, whatever it holds, only `fetched`
// is written, which lies in the header and so at one place in all of them.
__global__ void __launch_bounds__(kThreads) fetch_kernel(PlanFacts plan, Workspace ws) {
  Header& header = *ws.header;
  if (header.fingerprint != plan.fingerprint) {
    if (threadIdx.x == 0) {
      swd_stats foreign{};
      foreign.result = SWD_RESULT_FOREIGN_WORKSPACE;
      header.fetched = foreign;
    }
    return;
  }
  if (threadIdx.x == 0) header.fetched = header.stats;
  const double* lambda_eff = ws.lambda_eff + header.lambda_slot * static_cast<uint64_t>(plan.group_count);
  for (uint32_t i = threadIdx.x; i < plan.group_count; i += kThreads) ws.fetched_lambda_eff[i] = lambda_eff[i];
}

}  // namespace

swd_status load_tables() {
  swd_status status = load(chunk_table_kernel);
  if (status == SWD_OK) status = load(carry_kernel);
  if (status == SWD_OK) status = load(discard_kernel);
  if (status == SWD_OK) status = load(add_record_kernel);
  return status == SWD_OK ? load(fetch_kernel) : status;
}

swd_status launch_chunk_table(const PlanFacts& plan, const Workspace& ws, void* stream) {
  if (plan.chunk_count == 0) return SWD_OK;
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  unsigned int blocks = grid_size(device, plan, divide_up(plan.chunk_count, 32), kWarps, kReduceBlocksPerSm);
  return launch("launch of the chunk table kernel", chunk_table_kernel, blocks, kThreads, stream, false, plan, ws,
                const_cast<uint32_t*>(ws.chunk_segment));
}

swd_status launch_carry(const PlanFacts& plan, const Workspace& ws, const void* bytes, uint64_t count, void* to,
                        void* stream) {
  const char* from = static_cast<const char*>(bytes);
  char* target = static_cast<char*>(to);
  while (count > 0) {
    Carried carried;
    uint64_t part = count < kCarriedBytes ? count : kCarriedBytes;
    memcpy(carried.words, from, part);
    swd_status status = launch("launch of the carry kernel", carry_kernel, 1, kThreads, stream, false, carried,
                               static_cast<uint32_t>(part / 8), plan.fingerprint, static_cast<const Header*>(ws.header),
                               reinterpret_cast<uint64_t*>(target));
    if (status != SWD_OK) return status;
    from += part;
    target += part;
    count -= part;
  }
  return SWD_OK;
}

swd_status launch_discard(const PlanFacts& plan, const Workspace& ws, void* stream) {
  return launch("launch of the discard kernel", discard_kernel, 1, 1, stream, false, plan.fingerprint, ws.header);
}

swd_status launch_add_record(double* to, const double* from, void* stream) {
  return launch("launch of the record kernel", add_record_kernel, 1, 32, stream, false, to, from);
}

swd_status launch_fetch(const PlanFacts& plan, const Workspace& ws, void* stream) {
  return launch("launch of the statistics kernel", fetch_kernel, 1, kThreads, stream, false, plan, ws);
}

}  // namespace swd::cuda
