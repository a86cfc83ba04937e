// SPDX-License-Identifier: Apache-2.0
// Arrays as they are stored, from and to fp32, a block at a time. Included by loops.inl, inside its unnamed namespace.
//
// One struct for each kind of stored array. Overloads say where one lies, decode a block, and encode one. fp32 is
// worked on where it lies. Each loop is a function of its own over plain arrays, so that compilers vectorise it; the
// bits that codes are rounded by come as a function of the element's place in the block.

constexpr int kStoredBlock = kScaleBlock;  // elements at a time: what shares a block scale

struct WideArray {
  float* x;
};
template <int kRemainderBits>
struct SplitArray {
  uint16_t* high;
  uint16_t* low;
};
template <>
struct SplitArray<8> {
  uint16_t* high;
  uint8_t* low;
};
template <bool kSecond>
struct Bf16Moment {
  Bf16* x;
};
template <bool kSecond>
struct Block8Moment {
  uint8_t* code;
  uint8_t* scale;
};

template <class Param>
struct ParamArray;
template <>
struct ParamArray<float> {
  using type = WideArray;
};
template <int kBits>
struct ParamArray<Split<kBits>> {
  using type = SplitArray<kBits>;
};
template <class Moment, bool kSecond>
struct MomentArray;
template <bool kSecond>
struct MomentArray<float, kSecond> {
  using type = WideArray;
};
template <bool kSecond>
struct MomentArray<Bf16, kSecond> {
  using type = Bf16Moment<kSecond>;
};
template <bool kSecond>
struct MomentArray<Block8, kSecond> {
  using type = Block8Moment<kSecond>;
};

// Where chunk `local` of a segment lies in the array of a buffer: of SWD_BUFFER_PARAM, _EXP_AVG or _EXP_AVG_SQ.
inline void locate(const Pass& pass, int buffer, int64_t segment, int64_t local, WideArray& out) {
  out.x = array_of<float>(pass, buffer, segment, local);
}
template <int kBits>
inline void locate(const Pass& pass, int buffer, int64_t segment, int64_t local, SplitArray<kBits>& out) {
  using Low = decltype(out.low);
  out.high = array_of<uint16_t>(pass, buffer, segment, local);
  out.low = nullptr;
  if (kBits > 0) out.low = static_cast<Low>(array_of<__typeof__(*out.low)>(pass, SWD_BUFFER_REMAINDER, segment, local));
}
template <bool kSecond>
inline void locate(const Pass& pass, int buffer, int64_t segment, int64_t local, Bf16Moment<kSecond>& out) {
  out.x = array_of<Bf16>(pass, buffer, segment, local);
}
template <bool kSecond>
inline void locate(const Pass& pass, int buffer, int64_t segment, int64_t local, Block8Moment<kSecond>& out) {
  out.code = array_of<uint8_t>(pass, buffer, segment, local);
  int scales = kSecond ? SWD_BUFFER_EXP_AVG_SQ_SCALE : SWD_BUFFER_EXP_AVG_SCALE;
  out.scale = scales_of(pass, scales, segment) + local * kScalesPerChunk;
}

// Elements at .. at + count - 1 of a chunk, a block or its beginning, as fp32: where they lie, or in `room`. `unit`
// multiplies second moments that have one.
inline float* decode(const WideArray& from, int64_t at, int64_t, float, float*) { return from.x + at; }

template <int kBits>
__attribute__((noinline, flatten)) float* decode(const SplitArray<kBits>& from, int64_t at, int64_t count, float,
                                                 float* __restrict room) {
  const auto* __restrict high = from.high + at;
  const auto* __restrict low = kBits > 0 ? from.low + at : nullptr;
  for (int64_t i = 0; i < count; ++i) room[i] = join(Split<kBits>{}, high[i], kBits > 0 ? low[i] : uint16_t{0});
  return room;
}

template <bool kSecond>
__attribute__((noinline, flatten)) float* decode(const Bf16Moment<kSecond>& from, int64_t at, int64_t count, float unit,
                                                 float* __restrict room) {
  const Bf16* __restrict x = from.x + at;
  for (int64_t i = 0; i < count; ++i) room[i] = kSecond ? unit * to_float(x[i]) : to_float(x[i]);
  return room;
}

template <bool kSecond>
__attribute__((noinline, flatten)) float* decode(const Block8Moment<kSecond>& from, int64_t at, int64_t count,
                                                 float unit, float* __restrict room) {
  const uint8_t* __restrict code = from.code + at;
  uint32_t byte = from.scale[at / kScaleBlock];
  BlockScale scale = kSecond ? block_scale<kSecondBits>(byte) : block_scale<kFirstBits>(byte);
  for (int64_t i = 0; i < count; ++i) {
    room[i] = kSecond ? unit * decode_second(code[i], scale) : decode_first(code[i], scale);
  }
  return room;
}

// The largest bit pattern of a magnitude.
__attribute__((noinline, flatten)) uint32_t largest_magnitude(const float* x, int64_t count) {
  int32_t largest = 0;  // signed, because that maximum is an instruction on more machines
  for (int64_t i = 0; i < count; ++i) {
    int32_t bits = static_cast<int32_t>(float_bits(x[i]) & 0x7FFFFFFFu);
    largest = bits > largest ? bits : largest;
  }
  return static_cast<uint32_t>(largest);
}

// And back. `bits.param(kind, i)`, `.first(i)` and `.second(i)` are what an element is rounded by; `inverse_unit`
// multiplies second moments before they are stored. x may be overwritten.
template <class Bits>
inline void encode(const WideArray&, int64_t, int64_t, float, float*, const Bits&) {}

template <int kBits, class Bits>
__attribute__((noinline, flatten)) void encode(const SplitArray<kBits>& to, int64_t at, int64_t count, float,
                                               const float* __restrict x, const Bits& bits) {
  auto* __restrict high = to.high + at;
  auto* __restrict low = kBits > 0 ? to.low + at : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    SplitWords words = split(Split<kBits>{}, x[i], bits.param(Split<kBits>{}, i));
    high[i] = words.high;
    if constexpr (kBits > 0) low[i] = static_cast<__typeof__(*low)>(words.low);
  }
}

template <bool kSecond, class Bits>
__attribute__((noinline, flatten)) void encode(const Bf16Moment<kSecond>& to, int64_t at, int64_t count,
                                               float inverse_unit, const float* __restrict x, const Bits& bits) {
  Bf16* __restrict out = to.x + at;
  for (int64_t i = 0; i < count; ++i) {
    out[i].bits = kSecond ? upper_half(x[i] * inverse_unit, bits.second(i)) : upper_half(x[i], bits.first(i));
  }
}

template <bool kSecond, class Bits>
__attribute__((noinline, flatten)) void encode(const Block8Moment<kSecond>& to, int64_t at, int64_t count,
                                               float inverse_unit, float* __restrict x, const Bits& bits) {
  uint8_t* __restrict code = to.code + at;
  for (int64_t i = 0; kSecond && i < count; ++i) x[i] *= inverse_unit;
  uint32_t largest = largest_magnitude(x, count);
  uint32_t byte = kSecond ? block_byte<kSecondBits>(largest) : block_byte<kFirstBits>(largest);
  BlockScale scale = kSecond ? block_scale<kSecondBits>(byte) : block_scale<kFirstBits>(byte);
  for (int64_t i = 0; i < count; ++i) {
    code[i] = kSecond ? encode_second(x[i], scale, bits.second(i) >> 1) : encode_first(x[i], scale, bits.first(i));
  }
  to.scale[at / kScaleBlock] = static_cast<uint8_t>(byte);
}
