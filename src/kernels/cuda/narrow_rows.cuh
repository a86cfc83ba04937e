// SPDX-License-Identifier: Apache-2.0
// The arrays of a segment whose parameters or moments are not fp32, and their rows of 256 elements: where they lie,
// loads and stores. Called by narrow_item.cuh and, for the walk, by pass2_kernel.cuh.
#pragma once
#include "narrow_codes.cuh"

namespace swd::cuda {

template <class Types, bool kAmsgrad>
struct NarrowRow {
  using Bytes = ParamBytes<typename Types::param>;
  static constexpr int kMoment = sizeof(typename Types::moment);
  Packed<Bytes::kHigh> p;
  Packed<Bytes::kLow> low;
  Packed<sizeof(typename Types::grad)> g;
  Packed<kMoment> m, v;
  Packed<kAmsgrad ? 4 : 0> v_max;
  BlockBytes bytes[2];
};

template <class Types, bool kAmsgrad>
struct NarrowRows {
  using Grad = typename Types::grad;
  using Param = typename Types::param;
  using Moment = typename Types::moment;
  using Row = NarrowRow<Types, kAmsgrad>;
  static constexpr int kHigh = ParamBytes<Param>::kHigh, kLow = ParamBytes<Param>::kLow;
  static constexpr int kMoment = Row::kMoment;
  static constexpr bool kFromStart = true;  // blocks of block8 and rounding bits count from there
  static constexpr bool kHasUnit = kMoment != 4, kBlocks = kMoment == 1, kWalkIsShared = true;

  struct Arrays {
    Stored<kHigh>* p;
    Stored<kLow>* low;
    const Stored<sizeof(Grad)>* g;
    Stored<kMoment>* m;
    Stored<kMoment>* v;
    float* v_max;
    uint8_t* m_scale;
    uint8_t* v_scale;
    int64_t index;  // in the unsharded model
  };

  __device__ __forceinline__ static Arrays arrays_of(const Pass& pass, int64_t segment) {
    Arrays out{};
    out.p = array_of<Stored<kHigh>>(pass, SWD_BUFFER_PARAM, segment);
    if constexpr (kLow > 0) out.low = array_of<Stored<kLow>>(pass, SWD_BUFFER_REMAINDER, segment);
    out.g = array_of<const Stored<sizeof(Grad)>>(pass, SWD_BUFFER_GRAD, segment);
    out.m = array_of<Stored<kMoment>>(pass, SWD_BUFFER_EXP_AVG, segment);
    out.v = array_of<Stored<kMoment>>(pass, SWD_BUFFER_EXP_AVG_SQ, segment);
    if constexpr (kAmsgrad) out.v_max = array_of<float>(pass, SWD_BUFFER_MAX_EXP_AVG_SQ, segment);
    if constexpr (kBlocks) {
      out.m_scale = scales_of(pass, SWD_BUFFER_EXP_AVG_SCALE, segment);
      out.v_scale = scales_of(pass, SWD_BUFFER_EXP_AVG_SQ_SCALE, segment);
    }
    if constexpr (kHasUnit) out.index = pass.ws.index[segment];
    return out;
  }

  // This thread's first element of each array, in a row of vectors. So a row costs an addition an array.
  __device__ __forceinline__ static Arrays of_thread(Arrays at) {
    return elements_moved(at, 4 * static_cast<int>(threadIdx.x % 32));
  }

  // By a multiple of a row.
  __device__ __forceinline__ static Arrays moved(Arrays at, int64_t by) {
    at = elements_moved(at, by);
    if constexpr (kBlocks) {
      at.m_scale += by / kScaleBlock;
      at.v_scale += by / kScaleBlock;
    }
    if constexpr (kHasUnit) at.index += by;
    return at;
  }

  __device__ __forceinline__ static bool all_aligned(const Arrays& at) {
    int shift = vector_shift<4>(at.p) | vector_shift<4>(at.g) | vector_shift<4>(at.m) | vector_shift<4>(at.v);
    if constexpr (kLow > 0) shift |= vector_shift<4>(at.low);
    if constexpr (kAmsgrad) shift |= vector_shift<4>(at.v_max);
    return shift == 0;
  }

  template <class F>
  __device__ __forceinline__ static void visit_prefetched(const Arrays& at, const F& f) {
    f(at.p);
    if constexpr (kLow > 0) f(at.low);
    f(at.m);
    f(at.v);
  }

  // `end`: behind the row's last element.
  template <Slots kSlots>
  __device__ __forceinline__ static void load_row(const Arrays& at, int end, Row& r) {
    if constexpr (kBlocks) {
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        if (is_there<kSlots>(part, end)) r.bytes[part] = {__ldcs(at.m_scale + part), __ldcs(at.v_scale + part)};
      }
    }
    load_packed<kSlots, kHigh>(at.p, end, r.p);
    load_packed<kSlots, kLow>(at.low, end, r.low);
    load_packed<kSlots, kMoment>(at.m, end, r.m);
    load_packed<kSlots, kMoment>(at.v, end, r.v);
    load_packed<kSlots, sizeof(Grad)>(at.g, end, r.g);
    if constexpr (kAmsgrad) {
      load_packed<kSlots, 4>(reinterpret_cast<const uint32_t*>(at.v_max), end, r.v_max);
    }
  }

  template <Slots kSlots>
  __device__ __forceinline__ static void store_row(const Arrays& at, int end, const Row& r) {
    if constexpr (kBlocks) {
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        if (threadIdx.x % 32 != 0 || !is_there<kSlots>(part, end)) continue;
        __stcs(at.m_scale + part, static_cast<uint8_t>(r.bytes[part].first));
        __stcs(at.v_scale + part, static_cast<uint8_t>(r.bytes[part].second));
      }
    }
    store_packed<kSlots, kHigh>(at.p, end, r.p);
    store_packed<kSlots, kLow>(at.low, end, r.low);
    store_packed<kSlots, kMoment>(at.m, end, r.m);
    store_packed<kSlots, kMoment>(at.v, end, r.v);
    if constexpr (kAmsgrad) store_packed<kSlots, 4>(reinterpret_cast<uint32_t*>(at.v_max), end, r.v_max);
  }

  __device__ __forceinline__ static void load_gradients(const Row& r, int part, float (&g)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      uint32_t raw = element<sizeof(Grad)>(r.g.word[part], j);
      g[j] = sizeof(Grad) == 4 ? bits_float(raw) : bits_float(raw << 16);
    }
  }

  __device__ __forceinline__ static void exchange_parts(Row& r) {
    cuda::exchange_parts(r.p);
    cuda::exchange_parts(r.low);
    cuda::exchange_parts(r.g);
    cuda::exchange_parts(r.m);
    cuda::exchange_parts(r.v);
    cuda::exchange_parts(r.v_max);
    exchange(r.bytes[0], r.bytes[1]);
  }

 private:
  __device__ __forceinline__ static Arrays elements_moved(Arrays at, int64_t by) {
    at.p += by;
    if constexpr (kLow > 0) at.low += by;
    at.g += by;
    at.m += by;
    at.v += by;
    if constexpr (kAmsgrad) at.v_max += by;
    return at;
  }

  // Whether a part of a row has an element.
  template <Slots kSlots>
  __device__ __forceinline__ static bool is_there(int part, int end) {
    return kSlots == Slots::kVectors || part == 0 || kScaleBlock < end;
  }
};

}  // namespace swd::cuda
