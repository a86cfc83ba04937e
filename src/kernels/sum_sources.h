// SPDX-License-Identifier: Apache-2.0
// What pass 1 sums. A source is the arrays of a run of elements; overloads give it from another element on, its value i
// in fp32, what the fp32 run adds of a value, and the exact term. Called by the sums of both backends.
#pragma once
#include "block8.h"
#include "dtype.h"
#include "element.h"
#include "sum_order.h"

namespace swd {

// Element i as stored. On a device in global memory, which nothing tells the compiler of a pointer out of a table.
template <class T, class Index>
SWD_FN T stored_at(const T* array, Index i) {
#ifdef __CUDA_ARCH__
  __builtin_assume(__isGlobal(array + i));
#endif
  return array[i];
}

template <class T>
struct GradSquares {
  const T* x;
};

// What swd_state_rebuild sums: exp_avg_sq as stored, without its unit.
template <class T>  // float or Bf16
struct Moments {
  const T* x;
};
template <>
struct Moments<Block8> {
  const uint8_t* code;
  const uint8_t* scale;
};

// What max_exp_avg_sq will be after this step. Members of vbar have no L2 decay, so the parameter is not needed.
template <class T>
struct MaxedMoments {
  const T* grad;
  const float* v;
  const float* v_max;
  Coefficients c;
};

// Whether a source is one array `x`, which is read in vectors and streams. The others are rare, and bound by memory
// anyway.
template <class Source>
static constexpr bool kIsOneArray = false;
template <class T>
inline constexpr bool kIsOneArray<GradSquares<T>> = true;
template <class T>
inline constexpr bool kIsOneArray<Moments<T>> = true;
template <>
inline constexpr bool kIsOneArray<Moments<Block8>> = false;

template <class T>
SWD_FN GradSquares<T> from(const GradSquares<T>& source, int64_t i) {
  return {source.x + i};
}
template <class T>
SWD_FN Moments<T> from(const Moments<T>& source, int64_t i) {
  return {source.x + i};
}
SWD_FN Moments<Block8> from(const Moments<Block8>& source, int64_t i) {  // i: the beginning of a block
  return {source.code + i, source.scale + i / kScaleBlock};
}
template <class T>
SWD_FN MaxedMoments<T> from(const MaxedMoments<T>& source, int64_t i) {
  return {source.grad + i, source.v + i, source.v_max + i, source.c};
}

template <class T, class Index>
SWD_FN float value(const GradSquares<T>& source, Index i) {
  return to_float(stored_at(source.x, i));
}
template <class T, class Index>
SWD_FN float value(const Moments<T>& source, Index i) {
  return to_float(stored_at(source.x, i));
}
template <class Index>
SWD_FN BlockScale scale_at(const Moments<Block8>& source, Index i) {
  return block_scale<kSecondBits>(stored_at(source.scale, i / kScaleBlock));
}
template <class Index>
SWD_FN float value(const Moments<Block8>& source, Index i) {
  return decode_second(stored_at(source.code, i), scale_at(source, i));
}
template <class T, class Index>
SWD_FN float value(const MaxedMoments<T>& source, Index i) {
  float g = scaled_gradient(source.c, to_float(stored_at(source.grad, i)), 0.0f);
  return larger(stored_at(source.v_max, i), second_moment(source.c, g, stored_at(source.v, i)));
}

template <class T>
SWD_FN float run_term(const GradSquares<T>&, float g) {
  return run_square(g);
}
// What run_square leaves out is below any fp16 number but 0.
SWD_FN float run_term(const GradSquares<F16>&, float g) { return g * g; }
template <class T>
SWD_FN float run_term(const Moments<T>&, float v) {
  return v;
}
template <class T>
SWD_FN float run_term(const MaxedMoments<T>&, float v) {
  return v;
}

template <class T>
SWD_FN double exact_term(const GradSquares<T>&, float g) {
  return static_cast<double>(g) * static_cast<double>(g);
}
template <class T>
SWD_FN double exact_term(const Moments<T>&, float v) {
  return static_cast<double>(v);
}
template <class T>
SWD_FN double exact_term(const MaxedMoments<T>&, float v) {
  return static_cast<double>(v);
}

}  // namespace swd
