// SPDX-License-Identifier: Apache-2.0
// swd_state_load and swd_state_store: between fp32 arrays and what a plan stores, rounded to nearest. Called by
// backend_cuda.cu.
#include "../record.h"
#include "kernels.h"
#include "narrow_codes.cuh"

namespace swd::cuda {
namespace {

// Elements begin .. end - 1 of a segment: a chunk of it, or what there is.
struct Chunk {
  int64_t segment, begin, end;
};

template <class Param, bool kStores>
__device__ __forceinline__ void convert_params(const Pass& pass, const Chunk& chunk) {
  using Low = Stored<ParamBytes<Param>::kLow>;
  float* other = fp32_of(pass, kFp32Param, chunk.segment);
  auto* high = array_of<Stored<ParamBytes<Param>::kHigh>>(pass, SWD_BUFFER_PARAM, chunk.segment);
  Low* low = nullptr;
  if constexpr (ParamBytes<Param>::kLow > 0) low = array_of<Low>(pass, SWD_BUFFER_REMAINDER, chunk.segment);
  if (!other || !high || (ParamBytes<Param>::kLow > 0 && !low)) return;  // of a list, never set
  for (int64_t i = chunk.begin + threadIdx.x % 32; i < chunk.end; i += 32) {
    if constexpr (sizeof(*high) == 4) {
      (kStores ? reinterpret_cast<uint32_t*>(other)[i] : high[i]) = kStores ? high[i] : float_bits(other[i]);
    } else if constexpr (kStores) {
      uint16_t rest = 0;
      if constexpr (ParamBytes<Param>::kLow > 0) rest = low[i];
      other[i] = join(Param{}, high[i], rest);
    } else {
      SplitWords words = split(Param{}, other[i], nearest_param(Param{}));
      high[i] = words.high;
      if constexpr (ParamBytes<Param>::kLow > 0) low[i] = static_cast<Low>(words.low);
    }
  }
}

template <bool kSecond>
__device__ __forceinline__ float decoded(uint32_t bits, float, const BlockScale&, float) {
  return bits_float(bits);
}
template <bool kSecond>
__device__ __forceinline__ float decoded(uint16_t bits, Bf16, const BlockScale&, float unit) {
  return kSecond ? unit * to_float(Bf16{bits}) : to_float(Bf16{bits});
}
template <bool kSecond>
__device__ __forceinline__ float decoded(uint8_t code, Block8, const BlockScale& scale, float unit) {
  return kSecond ? unit * decode_second(code, scale) : decode_first(code, scale);
}

template <bool kSecond>
__device__ __forceinline__ uint32_t encoded(float x, float, const BlockScale&) {
  return float_bits(x);
}
template <bool kSecond>
__device__ __forceinline__ uint16_t encoded(float x, Bf16, const BlockScale&) {
  return upper_half(x, kNearestHalf);
}
template <bool kSecond>
__device__ __forceinline__ uint8_t encoded(float x, Block8, const BlockScale& scale) {
  return kSecond ? encode_second(x, scale, kNearestHalf / 2) : encode_first(x, scale, kNearestHalf);
}

template <class Moment, bool kSecond, bool kStores>
__device__ __forceinline__ void convert_moments(const Pass& pass, const Chunk& chunk) {
  constexpr int kBits = kSecond ? kSecondBits : kFirstBits;
  constexpr bool kBlocks = sizeof(Moment) == 1;
  float* other = fp32_of(pass, kSecond ? kFp32ExpAvgSq : kFp32ExpAvg, chunk.segment);
  auto* codes =
      array_of<Stored<sizeof(Moment)>>(pass, kSecond ? SWD_BUFFER_EXP_AVG_SQ : SWD_BUFFER_EXP_AVG, chunk.segment);
  uint8_t* scales = nullptr;
  if constexpr (kBlocks) {
    scales = scales_of(pass, kSecond ? SWD_BUFFER_EXP_AVG_SQ_SCALE : SWD_BUFFER_EXP_AVG_SCALE, chunk.segment);
  }
  if (!other || !codes || (kBlocks && !scales)) return;  // of a list, never set
  float unit = kSecond && pass.plan.narrow ? static_cast<float>(unit_of(pass.segment_states[chunk.segment])) : 1.0f;
  int thread = static_cast<int>(threadIdx.x % 32);
  for (int64_t block = chunk.begin; block < chunk.end; block += kScaleBlock) {
    BlockScale scale{};
    if constexpr (kStores) {
      if constexpr (kBlocks) scale = block_scale<kBits>(scales[block / kScaleBlock]);
#pragma unroll
      for (int64_t i = block + thread; i < block + kScaleBlock; i += 32) {
        if (i < chunk.end) other[i] = decoded<kSecond>(codes[i], Moment{}, scale, unit);
      }
    } else {
      float x[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) x[j] = block + 32 * j + thread < chunk.end ? other[block + 32 * j + thread] : 0.0f;
      if constexpr (kBlocks) {
        uint32_t byte = block_byte<kBits>(largest_of(x));
        scale = block_scale<kBits>(byte);
        if (thread == 0) scales[block / kScaleBlock] = static_cast<uint8_t>(byte);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        int64_t i = block + 32 * j + thread;
        if (i < chunk.end) codes[i] = encoded<kSecond>(x[j], Moment{}, scale);
      }
    }
  }
}

// Second moments that come from fp32 have no unit.
__device__ __forceinline__ void reset_units(const Pass& pass) {
  int64_t threads = static_cast<int64_t>(gridDim.x) * kThreads;
  int64_t k = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; pass.fp32[kFp32ExpAvgSq] && k < pass.plan.segment_count; k += threads) {
    if (fp32_of(pass, kFp32ExpAvgSq, k)) pass.segment_states[k].exp_avg_sq_unit = 0.0;
  }
}

// A warp takes chunk after chunk: once after a load, and bound by memory all the same.
template <class Param, class Moment, bool kStores>
__global__ void __launch_bounds__(kThreads, kReduceBlocksPerSm) convert_kernel(const __grid_constant__ Launch args) {
  const Pass& pass = args.pass;
  if (pass.ws.header->fingerprint != pass.plan.fingerprint) return;
  if constexpr (!kStores) reset_units(pass);
  int64_t warps = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t number = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; number < pass.plan.chunk_count; number += warps) {
    int64_t segment = pass.ws.chunk_segment[number];
    const SegmentInfo& info = pass.ws.segments[segment];
    int64_t begin = (number - info.first_chunk) * kChunk;
    Chunk chunk{segment, begin, begin + kChunk < info.count ? begin + kChunk : info.count};
    convert_params<Param, kStores>(pass, chunk);
    convert_moments<Moment, false, kStores>(pass, chunk);
    convert_moments<Moment, true, kStores>(pass, chunk);
  }
}

using ConvertKernel = void (*)(Launch);

template <bool kStores>
ConvertKernel kernel_of(const Plan& plan) {
  ConvertKernel kernel = nullptr;
  visit_dtypes(plan.dtypes, [&](auto types) {
    using Types = decltype(types);
    kernel = convert_kernel<typename Types::param, typename Types::moment, kStores>;
  });
  return kernel;
}

swd_status launch_convert(const Plan& plan, const Launch& args, ConvertKernel kernel, void* stream) {
  Device device{};
  swd_status status = query_device(device);
  if (status != SWD_OK) return status;
  unsigned int blocks = grid_size(device, plan.facts, plan.facts.chunk_count, kWarps, kReduceBlocksPerSm);
  return launch("launch of the conversion kernel", kernel, blocks, kThreads, stream, false, args);
}

}  // namespace

swd_status load_conversions(const Plan& plan) {
  swd_status status = load(kernel_of<false>(plan));
  return status == SWD_OK ? load(kernel_of<true>(plan)) : status;
}

swd_status launch_load_state(const Plan& plan, const Launch& args, void* stream) {
  return launch_convert(plan, args, kernel_of<false>(plan), stream);
}

swd_status launch_store_state(const Plan& plan, const Launch& args, void* stream) {
  return launch_convert(plan, args, kernel_of<true>(plan), stream);
}

}  // namespace swd::cuda
