// SPDX-License-Identifier: Apache-2.0
// One work item of pass 2 where parameters or moments are not fp32: load a row, decode, the formula of element.h,
// encode, store. Called by pass2_kernel.cuh.
#pragma once
#include "block8_part.cuh"
#include "narrow_rows.cuh"

namespace swd::cuda {

template <class Types, bool kAmsgrad, bool kNorms>
struct NarrowItem : NarrowRows<Types, kAmsgrad> {
  using Rows = NarrowRows<Types, kAmsgrad>;
  using Param = typename Types::param;
  using Moment = typename Types::moment;
  using Rows::kBlocks;
  using Rows::kHasUnit;
  using typename Rows::Arrays;
  using typename Rows::Row;

  struct Constants {
    Coefficients c;
    float unit, inverse_unit_after;
    RoundingKey key;
    bool plain;  // with block8: usual
  };

  __device__ __forceinline__ static Constants constants_of(const Pass& pass, int64_t segment, const Coefficients& c) {
    Constants out{};
    out.c = c;
    out.plain = kBlocks ? are_usual(c) : is_plain(c);
    if constexpr (kHasUnit) {
      const NarrowScratch& narrow = pass.ws.narrow[segment];
      out.unit = narrow.unit;
      out.inverse_unit_after = narrow.inverse_unit_after;
      out.key = narrow.key;
    }
    return out;
  }

  // Where in its row the slot of a thread lies.
  __device__ __forceinline__ static int position(int thread, int part, int j, bool vectors) {
    return part * kScaleBlock + (vectors ? 4 * thread + j : 32 * j + thread);
  }

  // Where the bits of an element begin.
  __device__ __forceinline__ static uint32_t start_of(const Constants& k, int64_t index) {
    return rounding_start(k.key, static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32));
  }

  // Of a part of vectors: from the bits of the row's first element of this thread, one product an element.
  __device__ __forceinline__ static void fill(const Constants& k, uint32_t start, int part, RoundingBits (&bits)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      bits[j] = rounding_bits_from(k.key, start + static_cast<uint32_t>(part * kScaleBlock + j) * kIndexStep);
    }
  }

  // The usual case of a part, if it is one: then it is done.
  __device__ __forceinline__ static bool update_usual(const Constants& k, uint32_t start, int part, Row& r,
                                                      NormLanes& norms) {
    Coefficients c = as_plain(k.c);
    float p[4], m[4], v[4], w[4], g[4];
    uint32_t &m_word = r.m.word[part][0], &v_word = r.v.word[part][0];
    decode_params(Param{}, r.p, r.low, part, p);
    decode_usual(m_word, v_word, r.bytes[part], k.unit, m, v);
    Rows::load_gradients(r, part, g);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      Element e{p[j], m[j], v[j], 0.0f};
      update_moments<false>(c, g[j], e);
      m[j] = e.m;
      v[j] = e.v;
      w[j] = e.v * k.inverse_unit_after;
    }
    BlockBytes bytes;
    bool rare = has_zero(m_word & 0x7F7F7F7Fu, v_word);
    if constexpr (Rows::kLow > 0) rare |= !are_written(p);
    if (!usual_bytes(m, w, rare, bytes)) return false;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float step = c.a * quotient_in_range(m[j], root_in_range(v[j]) * c.b + c.eps);
      float lost = update_param(c, step, p[j]);
      if constexpr (kNorms) add_norms(norms, 4 * part + j, p[j], lost);
    }
    RoundingBits bits[4];
    fill(k, start, part, bits);
    r.bytes[part] = bytes;
    encode_params(Param{}, p, bits, part, r.p, r.low);
    encode_usual(m, w, bits, bytes, m_word, v_word);
    return true;
  }

  // Of the part of the row that lies in half `in` of its registers. `index`, `end`: of the row. kQuick: vectors, plain
  // constants, and the bits of the row begin at `start`. p: the parameters.
  template <bool kQuick>
  __device__ __forceinline__ static void update_part(const Constants& k, int64_t index, int end, bool vectors,
                                                     uint32_t start, int part, int in, float (&p)[4], Row& r,
                                                     NormLanes& norms) {
    Coefficients c = kQuick ? as_plain(k.c) : k.c;
    float m[4], v[4], g[4], lost[4];
    decode_moments<Moment>(r.m, r.v, r.bytes[in], in, k.unit, m, v);
    Rows::load_gradients(r, in, g);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      Element e{p[j], m[j], v[j], 0.0f};
      if constexpr (kAmsgrad) e.v_max = bits_float(r.v_max.word[in][j]);
      lost[j] = update_element<kAmsgrad>(c, g[j], e);
      p[j] = e.p;
      m[j] = e.m;
      v[j] = e.v;
      if constexpr (kAmsgrad) r.v_max.word[in][j] = float_bits(e.v_max);
    }
    int thread = 0;
    if constexpr (!kQuick) {
      thread = lane_anew();
      if (!vectors) {  // idle slots must not count: their zeros become NaN where a constant is infinite
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (position(thread, part, j, false) >= end) p[j] = m[j] = v[j] = lost[j] = 0.0f;
        }
      }
    }
    if constexpr (kNorms) {
#pragma unroll
      for (int j = 0; j < 4; ++j) add_norms(norms, 4 * in + j, p[j], lost[j]);
    }
    RoundingBits bits[4]{};
    if constexpr (kHasUnit) {
      if constexpr (kQuick) {
        fill(k, start, part, bits);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          bits[j] = rounding_bits_from(k.key, start_of(k, index + position(thread, part, j, vectors)));
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) v[j] *= k.inverse_unit_after;
    }
    encode_params(Param{}, p, bits, in, r.p, r.low);
    encode_moments<Moment>(m, v, bits, in, r.m, r.v, r.bytes[in]);
  }

  // Where `quick`, of vectors, plain constants, and bits that begin at `start`: what parts that does. With block8 those
  // that are usual, which a warp decides together; else both, where split() wrote the parameters of a thread.
  __device__ __forceinline__ static void update_quick(const Constants& k, bool quick, uint32_t start, bool (&done)[2],
                                                      Row& r, NormLanes& norms) {
    if constexpr (kBlocks) {
#pragma unroll
      for (int part = 0; part < 2; ++part)
        done[part] = quick && are_usual(r.bytes[part]) && update_usual(k, start, part, r, norms);
    } else if (quick) {
      float p[2][4];
#pragma unroll
      for (int part = 0; part < 2; ++part) decode_params(Param{}, r.p, r.low, part, p[part]);
      if (Rows::kLow > 0 && !are_written(p[0], p[1])) return;
#pragma unroll
      for (int part = 0; part < 2; ++part) update_part<true>(k, 0, kLanes, true, start, part, part, p[part], r, norms);
      done[0] = done[1] = true;
    }
  }

  // The parts that were not quick, one after the other through the same code, which is large: the halves of the
  // registers change places twice.
  __device__ __forceinline__ static void update_rest(const Constants& k, int64_t index, int end, bool vectors,
                                                     bool (&done)[2], Row& r, NormLanes& norms) {
#pragma unroll 1
    for (int part = 0; part < 2; ++part) {
      if (!done[0]) {
        float p[4];
        decode_any_params(Param{}, r.p, r.low, 0, p);
        update_part<false>(k, index, end, vectors, 0, part, 0, p, r, norms);
      }
      exchange(done[0], done[1]);
      Rows::exchange_parts(r);
      if constexpr (kNorms) exchange_halves(norms);
    }
  }

  // Positions 0 .. end - 1 of `item`, in rows. `aligned`: all arrays are.
  __device__ __forceinline__ static Partial update(const Pass&, const Arrays& item, const Constants& k, int, int end,
                                                   bool aligned) {
    NormLanes norms{};
    bool whole = aligned && end == kItem;
    // Rows up to here are vectors. The lanes of the norms must not change their layout within an item.
    int vectors_end = (kNorms ? whole : aligned) ? end : 0;
    // Of those, up to here constants are plain, and the lower half of the index does not wrap.
    int quick_end = k.plain ? vectors_end : 0;
    uint32_t start = 0;
    if constexpr (kHasUnit) {
      start = start_of(k, item.index + 4 * (threadIdx.x % 32));
      if (static_cast<uint32_t>(item.index) > UINT32_MAX - kItem) quick_end = 0;
    }
    Arrays at = Rows::of_thread(item);
#pragma unroll 1
    for (int row = 0; row < end; row += kLanes) {
      bool vectors = row + kLanes <= vectors_end, quick = row + kLanes <= quick_end;
      Row r{};
      if (vectors) {
        Rows::template load_row<Slots::kVectors>(at, end - row, r);
      } else {
        Rows::template load_row<Slots::kElements>(at, end - row, r);
      }
      bool done[2]{};
      update_quick(k, quick, start, done, r, norms);
      if (!done[0] || !done[1]) update_rest(k, item.index + row, end - row, vectors, done, r, norms);
      if (vectors) {
        Rows::template store_row<Slots::kVectors>(at, end - row, r);
      } else {
        Rows::template store_row<Slots::kElements>(at, end - row, r);
      }
      at = Rows::moved(at, kLanes);
      start += kLanes * kIndexStep;
    }
    if constexpr (!kNorms) return Partial{0.0, 0.0};
    return whole ? fold_norms<1>(norms) : fold_norms<3>(norms);
  }
};

}  // namespace swd::cuda
