// SPDX-License-Identifier: Apache-2.0
// Pass 1: sums over the chunks of all segments, the segments' scalars, and, in the last block, the decision.
// Called by backend_cuda.cu.
#include "chunk_sum.cuh"
#include "decide.cuh"
#include "kernels.h"

namespace swd::cuda {
namespace {

template <class T>
__device__ __forceinline__ T* array_of(const Pass& pass, int buffer, int64_t segment) {
  if (pass.plan.flags & SWD_PLAN_LIST) return static_cast<T*>(segment_pointer(pass, buffer, segment));
  return static_cast<T*>(pass.bases[buffer]) + pass.ws.segments[segment].offset;
}

// What a kernel sums: builds the source of a chunk, says which segments take part, and keeps a segment's total.
template <class T>
struct SumSquares {
  __device__ static bool skips(const Launch& args, int64_t segment, bool first) {
    if (has_gradient(args.pass, segment)) return false;
    if (first) args.pass.ws.scratch[segment].epoch = 0;  // it may have had one in an earlier call of this step
    return true;
  }
  __device__ static GradSquares<T> source(const Launch& args, int64_t segment, int64_t begin) {
    return {array_of<const T>(args.pass, SWD_BUFFER_GRAD, segment) + begin};
  }
  __device__ static void keep(const Launch& args, int64_t segment, const Partial& total) {
    const Pass& pass = args.pass;
    swd_group group = read_group(groups_of(args), pass.group_stride, pass.ws.segments[segment].group);
    pass.ws.scratch[segment] = segment_scratch(pass, segment, total, group, args.has_copy != 0);
  }
};

template <class T>
struct SumMaxed {
  __device__ static bool skips(const Launch& args, int64_t segment, bool) {
    const Header& header = *args.pass.ws.header;
    return header.armed != kWaitsForMax || header.decision.status != SWD_STEP_APPLIED ||
           args.pass.ws.scratch[segment].epoch != header.epoch || !in_vbar(args.pass.ws.segments[segment]);
  }
  __device__ static MaxedMoments<T> source(const Launch& args, int64_t segment, int64_t begin) {
    const Pass& pass = args.pass;
    const SegmentInfo& info = pass.ws.segments[segment];
    return {array_of<const T>(pass, SWD_BUFFER_GRAD, segment) + begin,
            array_of<const float>(pass, SWD_BUFFER_EXP_AVG_SQ, segment) + begin,
            array_of<const float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment) + begin,
            coefficients(pass.ws.header->decision, info, pass.ws.scratch[segment], pass.ws.groups[info.group])};
  }
  __device__ static void keep(const Launch& args, int64_t segment, const Partial& total) {
    args.pass.ws.scratch[segment].max_sum = total.sum;
    args.pass.ws.scratch[segment].max_epoch = args.pass.ws.header->epoch;
  }
};

struct SumMoments {
  __device__ static bool skips(const Launch&, int64_t, bool) { return false; }
  __device__ static Moments source(const Launch& args, int64_t segment, int64_t begin) {
    return {array_of<const float>(args.pass, SWD_BUFFER_EXP_AVG_SQ, segment) + begin};
  }
  __device__ static void keep(const Launch& args, int64_t segment, const Partial& total) {
    bool l2 = args.pass.ws.segments[segment].decay == SWD_DECAY_L2;
    args.pass.segment_states[segment].exp_avg_sq_sum = l2 ? -1.0 : total.sum;
  }
};

// A warp sums chunk after chunk; who completes a segment keeps its total; the last block decides.
template <class Sum>
__global__ void __launch_bounds__(kThreads, kReduceBlocksPerSm) reduce_kernel(const __grid_constant__ Launch args) {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();  // pass 2 may move in as soon as blocks of this one leave
#endif
  const Pass& pass = args.pass;
  Header& header = *pass.ws.header;
  if (header.fingerprint != pass.plan.fingerprint) return;
  int64_t warps = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t warp = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (int64_t chunk = pass.first_chunk + warp; chunk < pass.end_chunk; chunk += warps) {
    int64_t segment = pass.ws.chunk_segment[chunk];
    const SegmentInfo& info = pass.ws.segments[segment];
    int64_t local = chunk - info.first_chunk;
    if (Sum::skips(args, segment, local == 0 && threadIdx.x % 32 == 0)) continue;
    int64_t left = info.count - local * kChunk;
    Partial total = sum_chunk(Sum::source(args, segment, local * kChunk), left < kChunk ? static_cast<int>(left) : kChunk);
    bool complete = fold_tree(pass.ws.values + info.first_value, pass.ws.tickets + info.first_ticket, local, info.chunks,
                              total);
    if (complete && threadIdx.x % 32 == 0) Sum::keep(args, segment, total);
  }
  if (args.then == kNothing) return;
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) last = arrives_last(&header.reduce_ticket, gridDim.x);
  __syncthreads();
  if (last) decide_block(args);
}

__global__ void __launch_bounds__(kThreads) decide_kernel(const __grid_constant__ Launch args) {
  if (args.pass.ws.header->fingerprint == args.pass.plan.fingerprint) decide_block(args);
}

template <class Sum>
swd_status launch_sum(const Launch& args, void* stream) {
  int64_t chunks = args.pass.end_chunk - args.pass.first_chunk;
  if (chunks == 0 && args.then == kNothing) return SWD_OK;
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  return launch("launch of the reduce kernel", reduce_kernel<Sum>, grid_size(device, chunks, kWarps, kReduceBlocksPerSm), kThreads,
                stream, false, args);
}

}  // namespace

swd_status launch_reduce(const Plan& plan, const Launch& args, void* stream) {
  swd_status status = SWD_OK;
  visit_dtypes(plan.grad_dtype, plan.copy_dtype, [&](auto types) {
    using Grad = typename decltype(types)::grad;
    status = args.pass.phase == SWD_PHASE_MAX ? launch_sum<SumMaxed<Grad>>(args, stream)
                                              : launch_sum<SumSquares<Grad>>(args, stream);
  });
  return status;
}

swd_status launch_rebuild(const Launch& args, void* stream) { return launch_sum<SumMoments>(args, stream); }

swd_status launch_decide(const Launch& args, void* stream) {
  return launch("launch of the decide kernel", decide_kernel, 1, kThreads, stream, false, args);
}

}  // namespace swd::cuda
