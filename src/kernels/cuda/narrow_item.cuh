// SPDX-License-Identifier: Apache-2.0
// One work item of pass 2 where parameters or moments are not fp32: load a row, decode, the formula of element.h,
// encode, store. Called by pass2_kernel.cuh.
#pragma once
#include "narrow_rows.cuh"

namespace swd::cuda {

template <class Types, bool kAmsgrad, bool kNorms>
struct NarrowItem : NarrowRows<Types, kAmsgrad> {
  using Rows = NarrowRows<Types, kAmsgrad>;
  using Grad = typename Types::grad;
  using Param = typename Types::param;
  using Moment = typename Types::moment;
  using typename Rows::Arrays;
  using typename Rows::Row;

  struct Constants {
    Coefficients c;
    float unit, inverse_unit_after;
    RoundingKey key;
    bool plain;
  };

  __device__ __forceinline__ static Constants constants_of(const Pass& pass, int64_t segment, const Coefficients& c) {
    Constants out{};
    out.c = c;
    out.plain = is_plain(c);
    if constexpr (Rows::kHasUnit) {
      const NarrowScratch& narrow = pass.ws.narrow[segment];
      out.unit = narrow.unit;
      out.inverse_unit_after = narrow.inverse_unit_after;
      out.key = narrow.key;
    }
    return out;
  }

  // Where a thread's slot of a part lies.
  __device__ __forceinline__ static int position(int row, int part, int j, bool vectors) {
    int thread = static_cast<int>(threadIdx.x % 32);
    return row + part * kScaleBlock + (vectors ? 4 * thread + j : 32 * j + thread);
  }

  __device__ __forceinline__ static void update_part(const Arrays& at, const Constants& k, int row, int end,
                                                     bool vectors, int part, Row& r, NormLanes& norms) {
    float p[4], m[4], v[4], g[4], lost[4];
    Packed<sizeof(Grad)>& grad = r.g;
    decode_params(Param{}, r.p, r.low, part, p);
    decode_moments<Moment>(r.m, r.v, r.bytes[part], part, k.unit, m, v);
    auto formula = [&](const Coefficients& c) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        uint32_t raw = element<sizeof(Grad)>(grad.word[part], j);
        g[j] = sizeof(Grad) == 4 ? bits_float(raw) : bits_float(raw << 16);
        Element e{p[j], m[j], v[j], 0.0f};
        if constexpr (kAmsgrad) e.v_max = bits_float(r.v_max.word[part][j]);
        lost[j] = update_element<kAmsgrad>(c, g[j], e);
        p[j] = e.p;
        m[j] = e.m;
        v[j] = e.v;
        if constexpr (kAmsgrad) r.v_max.word[part][j] = float_bits(e.v_max);
      }
    };
    if (k.plain) {
      formula(as_plain(k.c));
    } else {
      formula(k.c);
    }
    if (!vectors) {  // idle slots must not count: their zeros become NaN where a constant is infinite
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (position(row, part, j, false) >= end) p[j] = m[j] = v[j] = lost[j] = 0.0f;
      }
    }
    if constexpr (kNorms) {
#pragma unroll
      for (int j = 0; j < 4; ++j) add_norms(norms, 4 * part + j, p[j], lost[j]);
    }
    RoundingBits bits[4]{};
    if constexpr (Rows::kHasUnit) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        uint64_t index = static_cast<uint64_t>(at.index + position(row, part, j, vectors));
        bits[j] = rounding_bits(k.key, static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32));
        v[j] *= k.inverse_unit_after;
      }
    }
    encode_params(Param{}, p, bits, part, r.p, r.low);
    encode_moments<Moment>(m, v, bits, part, r.m, r.v, r.bytes[part]);
  }

  // Positions 0 .. end - 1 of `at`, in rows. `aligned`: all arrays are.
  __device__ __forceinline__ static Partial update(const Arrays& at, const Constants& k, int, int end, bool aligned) {
    NormLanes norms{};
    bool whole = aligned && end == kItem;
#pragma unroll 1
    for (int row = 0; row < end; row += kLanes) {
      // The lanes of the norms must not change their layout within an item.
      bool vectors = kNorms ? whole : aligned && row + kLanes <= end;
      Row r{};
      Rows::load_scales(at, row, end, r);
      if (vectors) {
        Rows::template load_row<Slots::kVectors>(at, row, end, r);
      } else {
        Rows::template load_row<Slots::kElements>(at, row, end, r);
      }
#pragma unroll
      for (int part = 0; part < 2; ++part) update_part(at, k, row, end, vectors, part, r, norms);
      Rows::store_scales(at, row, end, r);
      if (vectors) {
        Rows::template store_row<Slots::kVectors>(at, row, end, r);
      } else {
        Rows::template store_row<Slots::kElements>(at, row, end, r);
      }
    }
    if constexpr (!kNorms) return Partial{0.0, 0.0};
    return whole ? fold_norms<1>(norms) : fold_norms<3>(norms);
  }
};

}  // namespace swd::cuda
