// SPDX-License-Identifier: Apache-2.0
// Pass 1: sums over the chunks of all segments, the segments' scalars, and, in the last block, the decision.
// Called by backend_cuda.cu.
#include "kernels.h"
#include "pass1_sums.cuh"

namespace swd::cuda {
namespace {

// Ends a rebuild: says in the statistics which segment was damaged.
__device__ __forceinline__ void report_damage(const Pass& pass) {
  Header& header = *pass.ws.header;
  int64_t from_end = static_cast<int64_t>(__ldcg(&header.damaged));
  header.stats.damaged_segment = from_end == 0 ? 0 : pass.plan.segment_count - from_end + 1;
  header.damaged = 0;
}

// Whether all other blocks have ended; then this one sees what they wrote.
__device__ __forceinline__ bool is_last_block(Header& header) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) last = arrives_last(&header.reduce_ticket, gridDim.x);
  __syncthreads();
  return last;
}

// A warp sums chunk after chunk; who completes a segment keeps its total; the last block decides. The segment's number
// is fetched a chunk ahead, and the rest of what a warp needs of a segment only when another one comes.
template <class Sum>
__global__ void __launch_bounds__(kThreads, kReduceBlocksPerSm) reduce_kernel(const __grid_constant__ Launch args) {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();  // pass 2 may move in as soon as blocks of this one leave
#endif
  const Pass& pass = args.pass;
  Header& header = *pass.ws.header;
  int64_t warps = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t chunk = pass.first_chunk + static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  constexpr uint32_t kNone = UINT32_MAX;
  uint32_t segment = kNone, next = kNone;
  if (chunk < pass.end_chunk) next = pass.ws.chunk_segment[chunk];  // beside the fingerprint: its bytes are there
  if (header.fingerprint != pass.plan.fingerprint) return;
  bool begins = Sum::begins(args);
  bool skipped = true;
  int64_t first_chunk = 0, count = 0;
  typename Sum::Source source;
  for (; chunk < pass.end_chunk; chunk += warps) {
    if (next != segment) {
      segment = next;
      first_chunk = pass.ws.segments[segment].first_chunk;
      count = pass.ws.segments[segment].count;
      skipped = Sum::skips(args, segment);
      if (!skipped) source = Sum::source(args, segment);
    }
    if (chunk + warps < pass.end_chunk) next = pass.ws.chunk_segment[chunk + warps];
    int64_t local = chunk - first_chunk;
    if (skipped) {
      if (local != 0) continue;
      if (threadIdx.x % 32 == 0) Sum::drop(args, segment);
      if (args.then & kFold) end_segment(pass, segment, swd_norm_record{});
      continue;
    }
    int64_t left = count - local * kChunk;
    Partial total = sum_chunk(from(source, local * kChunk), left < kChunk ? static_cast<int>(left) : kChunk);
    const SegmentInfo& info = pass.ws.segments[segment];  // not kept: registers are for loads in flight
    bool complete = fold_tree(pass.ws.values + info.first_value, pass.ws.tickets + info.first_ticket, local,
                              divide_up(count, kChunk), total);
    if (!complete) continue;
    swd_norm_record record{};
    if (threadIdx.x % 32 == 0) Sum::keep(args, segment, total, record);
    if (args.then & kFold) end_segment(pass, segment, record);
  }
  if ((args.then == kNothing && !begins) || !is_last_block(header)) return;
  if (begins) follow_epoch(header);
  if (args.then & kReport) {
    if (threadIdx.x == 0) report_damage(pass);
  } else if (args.then != kNothing) {
    decide_block(args);
  }
}

__global__ void __launch_bounds__(kThreads, 1) decide_kernel(const __grid_constant__ Launch args) {
  Header& header = *args.pass.ws.header;
  if (header.fingerprint != args.pass.plan.fingerprint) return;
  bool begins = (args.then & kPrepare) && starts_afresh(args.pass);
  if (args.then & kFold) settle_segments(args, fresh_word(&header.epoch) + (begins ? 1 : 0));
  if (gridDim.x > 1 && !is_last_block(header)) return;
  if (begins) follow_epoch(header);
  decide_block(args);
}

template <class Sum>
swd_status launch_sum(const Launch& args, void* stream) {
  int64_t chunks = args.pass.end_chunk - args.pass.first_chunk;
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  return launch("launch of the reduce kernel", reduce_kernel<Sum>,
                grid_size(device, args.pass.plan, chunks, kWarps, kReduceBlocksPerSm), kThreads, stream, false, args);
}

}  // namespace

swd_status load_reduce(const Plan& plan) {
  swd_status status = load(decide_kernel);
  visit_dtypes(plan.dtypes, [&](auto types) {
    using Grad = typename decltype(types)::grad;
    using Moment = typename decltype(types)::moment;
    if (status == SWD_OK) status = load(reduce_kernel<SumMoments<Moment>>);
    if (status == SWD_OK) status = load(reduce_kernel<SumSquares<Grad>>);
    if (status == SWD_OK && needs_max(plan.facts)) status = load(reduce_kernel<SumMaxed<Grad>>);
  });
  return status;
}

swd_status launch_reduce(const Plan& plan, const Launch& args, void* stream) {
  swd_status status = SWD_OK;
  visit_dtypes(plan.dtypes, [&](auto types) {
    using Grad = typename decltype(types)::grad;
    status = args.pass.phase == SWD_PHASE_MAX ? launch_sum<SumMaxed<Grad>>(args, stream)
                                              : launch_sum<SumSquares<Grad>>(args, stream);
  });
  return status;
}

swd_status launch_rebuild(const Plan& plan, const Launch& args, void* stream) {
  swd_status status = SWD_OK;
  visit_dtypes(plan.dtypes,
               [&](auto types) { status = launch_sum<SumMoments<typename decltype(types)::moment>>(args, stream); });
  return status;
}

swd_status find_code() {
  cudaFuncAttributes attributes{};
  cudaError_t error = cudaFuncGetAttributes(&attributes, decide_kernel);
  bool none = error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
              error == cudaErrorUnsupportedPtxVersion || error == cudaErrorNotSupported;
  swd_status status = check_cuda(error, "cudaFuncGetAttributes");
  if (!none) return status;
  return set_error(SWD_ERR_NO_DEVICE, "this build has no code for the current device: %s", cudaGetErrorName(error));
}

swd_status launch_decide(const Launch& args, void* stream) {
  bool grouped = (args.then & kFold) && args.pass.plan.segment_count > kOneBlockSegments;
  return launch("launch of the decide kernel", decide_kernel, grouped ? kFoldGroups : 1, kThreads, stream, false, args);
}

}  // namespace swd::cuda
