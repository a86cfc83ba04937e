// SPDX-License-Identifier: Apache-2.0
// What this device's memory gives to plain streaming kernels: the denominator of every ratio. Block size, unrolling,
// hints, grid, direction and the copy engine are variants; measure.cpp takes the fastest.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <vector>

#include "roof_bulk.cuh"
#include "roof_cuda.h"
#include "roof_loops.cuh"

namespace swd::bench {
namespace {

struct Variant {
  Hint hint;
  int threads;
  int unroll;
  bool one_shot;  // a block per tile; else as many as are resident, each with many tiles
  bool reversed;
  int bulk;  // 0: not by the copy engine; else which of its shapes
};

constexpr int kBulkShapes = 3;

std::vector<Variant> make_variants(RoofKind kind) {
  std::vector<Variant> out;
  for (bool one_shot : {false, true}) {
    for (int threads : {256, 512, 1024}) {
      for (int unroll : {1, 2, 4, 8}) out.push_back({Hint::kStream, threads, unroll, one_shot, false, 0});
    }
    for (Hint hint : {Hint::kNone, Hint::kNoAllocate}) {
      for (int unroll : {2, 4}) out.push_back({hint, 256, unroll, one_shot, false, 0});
    }
    if (kind == RoofKind::kMix) {
      for (int unroll : {2, 4}) out.push_back({Hint::kStream, 256, unroll, one_shot, true, 0});
    }
  }
  for (int shape = 1; shape <= kBulkShapes; ++shape) out.push_back({Hint::kStream, 32, 1, false, false, shape});
  return out;
}

const std::vector<Variant>& variants_of(RoofKind kind) {
  static const std::vector<Variant> read = make_variants(RoofKind::kRead), mix = make_variants(RoofKind::kMix);
  return kind == RoofKind::kRead ? read : mix;
}

// Blocks for `tiles` and a rest that is no whole tile; 0 where the kernel does not fit on a multiprocessor.
template <class Kernel>
unsigned int grid_of(Kernel kernel, const Variant& at, size_t shared, int64_t vectors, int64_t tile) {
  int processors = 0, resident = 0;
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, at.threads, shared);
  int64_t needed = std::max<int64_t>(1, (vectors + tile - 1) / tile), full = int64_t{processors} * resident;
  if (resident == 0 || needed > INT32_MAX) return 0;
  return static_cast<unsigned int>(at.one_shot ? needed : std::min(needed, full));
}

template <Hint kHint, int kUnroll>
cudaError_t launch_read(const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  int64_t vectors = a.elements * dtype_bytes(a.dtypes.grad) / 16;
  auto kernel = read_kernel<kHint, kUnroll>;
  unsigned int grid = grid_of(kernel, at, 0, vectors, int64_t{at.threads} * kUnroll);
  if (grid == 0) return cudaErrorNotSupported;
  kernel<<<grid, at.threads, 0, stream>>>(static_cast<const uint4*>(a.grad), vectors, 0);
  return cudaGetLastError();
}

template <class M>
MixArrays<M> mix_arrays(const RoofArrays& a) {
  using Moment = Vector<M::kMoment>;
  return {static_cast<Vector<M::kParam>*>(a.param),
          static_cast<const Vector<M::kGrad>*>(a.grad),
          static_cast<Moment*>(a.exp_avg),
          static_cast<Moment*>(a.exp_avg_sq),
          static_cast<Vector<M::kRemainder>*>(a.remainder),
          static_cast<Vector<M::kCopy>*>(a.param_copy)};
}

template <class M, Hint kHint, int kUnroll>
cudaError_t launch_mix_of(const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  auto kernel = mix_kernel<M, kHint, kUnroll>;
  unsigned int grid = grid_of(kernel, at, 0, a.elements / 4, int64_t{at.threads} * kUnroll);
  if (grid == 0) return cudaErrorNotSupported;
  kernel<<<grid, at.threads, 0, stream>>>(mix_arrays<M>(a), a.elements / 4, at.reversed, 0);
  return cudaGetLastError();
}

template <Hint kHint, int kUnroll>
cudaError_t launch_mix(const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  cudaError_t error = cudaErrorNotSupported;
  visit_mix(a.dtypes, [&](auto bytes) {
    using M = decltype(bytes);
    // On an H100 no other hint was the fastest of a mix, and there are many narrow ones to compile.
    if constexpr (kHint == Hint::kStream || !M::kNarrow) error = launch_mix_of<M, kHint, kUnroll>(a, at, stream);
  });
  return error;
}

template <Hint kHint, int kUnroll>
cudaError_t launch(RoofKind kind, const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  return kind == RoofKind::kRead ? launch_read<kHint, kUnroll>(a, at, stream)
                                 : launch_mix<kHint, kUnroll>(a, at, stream);
}

template <Hint kHint>
cudaError_t launch_unrolled(RoofKind kind, const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  if (at.unroll == 2) return launch<kHint, 2>(kind, a, at, stream);
  if (at.unroll == 4) return launch<kHint, 4>(kind, a, at, stream);
  if constexpr (kHint == Hint::kStream) {
    if (at.unroll == 1) return launch<kHint, 1>(kind, a, at, stream);
    if (at.unroll == 8) return launch<kHint, 8>(kind, a, at, stream);
  }
  return cudaErrorInvalidValue;
}

template <int kBytes, int kStages, bool kWrites>
cudaError_t launch_bulk(const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  auto kernel = bulk_kernel<kBytes, kStages, kWrites>;
  cudaFuncAttributes attributes;
  cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
  if (error != cudaSuccess) return error;
  // Compiled for an older device the kernel is empty, which would be the fastest of all loops.
  if (std::min(attributes.ptxVersion, attributes.binaryVersion) < 90) return cudaErrorNotSupported;
  constexpr int kShared = kBytes * kStages * (kWrites ? 4 : 1);
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared);
  if (error != cudaSuccess) return error;
  int64_t vectors = a.elements / 4;
  unsigned int grid = grid_of(kernel, at, kShared, vectors, kBytes / 16);
  if (grid == 0) return cudaErrorNotSupported;
  kernel<<<grid, at.threads, kShared, stream>>>(mix_arrays<Fp32Mix>(a), vectors, 0);
  return cudaGetLastError();
}

// Between 128 and 192 KiB of a multiprocessor in flight; as many blocks as fit.
cudaError_t launch_bulk_shape(RoofKind kind, const RoofArrays& a, const Variant& at, cudaStream_t stream) {
  bool fp32 = kind == RoofKind::kRead ? a.dtypes.grad == kF32 : a.dtypes == kDtypeRows[0];
  if (!fp32) return cudaErrorNotSupported;
  if (kind == RoofKind::kRead) {
    if (at.bulk == 1) return launch_bulk<8192, 4, false>(a, at, stream);
    if (at.bulk == 2) return launch_bulk<16384, 4, false>(a, at, stream);
    return launch_bulk<4096, 8, false>(a, at, stream);
  }
  if (at.bulk == 1) return launch_bulk<4096, 4, true>(a, at, stream);
  if (at.bulk == 2) return launch_bulk<8192, 3, true>(a, at, stream);
  return launch_bulk<4096, 3, true>(a, at, stream);
}

}  // namespace

int roof_variants_cuda(RoofKind kind) {
  return kind == RoofKind::kMemcpy ? 1 : static_cast<int>(variants_of(kind).size());
}

std::string roof_name_cuda(RoofKind kind, int variant) {
  if (kind == RoofKind::kMemcpy) return "cudaMemcpyAsync";
  const Variant& v = variants_of(kind)[static_cast<size_t>(variant)];
  if (v.bulk) return "bulk copies, shape " + std::to_string(v.bulk);
  const char* hint = v.hint == Hint::kStream ? "stream" : v.hint == Hint::kNone ? "no hint" : "no allocate";
  return std::string(hint) + ", " + std::to_string(v.threads) + " threads, unroll " + std::to_string(v.unroll) +
         (v.one_shot ? ", one-shot" : ", resident") + (v.reversed ? ", reversed" : "");
}

int run_roof_cuda(RoofKind kind, int variant, const RoofArrays& arrays, void* stream) {
  auto queue = static_cast<cudaStream_t>(stream);
  if (kind == RoofKind::kMemcpy) {
    return cudaMemcpyAsync(arrays.exp_avg_sq, arrays.exp_avg,
                           static_cast<size_t>(arrays.elements) * dtype_bytes(arrays.dtypes.moment),
                           cudaMemcpyDeviceToDevice, queue);
  }
  const Variant& at = variants_of(kind)[static_cast<size_t>(variant)];
  if (at.bulk) return launch_bulk_shape(kind, arrays, at, queue);
  if (at.hint == Hint::kStream) return launch_unrolled<Hint::kStream>(kind, arrays, at, queue);
  if (at.hint == Hint::kNone) return launch_unrolled<Hint::kNone>(kind, arrays, at, queue);
  return launch_unrolled<Hint::kNoAllocate>(kind, arrays, at, queue);
}

}  // namespace swd::bench
