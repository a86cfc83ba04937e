// SPDX-License-Identifier: Apache-2.0
// What pass 1 sums. Included by loops.inl, inside its unnamed namespace; used by pass1_sums.inl.
//
// A source says what is summed. Overloads give its value i in fp32, what the fp32 run adds of a value, its exact term.

template <class T>
struct GradSquares {
  const T* grad;
};
template <class T>
inline float value(const GradSquares<T>& source, int64_t i) {
  return to_float(source.grad[i]);
}
template <class T>
inline float run_term(const GradSquares<T>&, float g) {
  return run_square(g);
}
// What run_square leaves out is below any fp16 number but 0.
inline float run_term(const GradSquares<F16>&, float g) { return g * g; }
template <class T>
inline double exact_term(const GradSquares<T>&, float g) {
  return static_cast<double>(g) * static_cast<double>(g);
}
template <class T>
inline void prefetch_block(const GradSquares<T>& source, int64_t i) {
  prefetch(source.grad + i, kSumAhead);
}

template <class T>  // float or Bf16
struct Moments {
  const T* v;
};
template <class T>
inline float value(const Moments<T>& source, int64_t i) {
  return to_float(source.v[i]);
}
template <class T>
inline float run_term(const Moments<T>&, float v) {
  return v;
}
template <class T>
inline double exact_term(const Moments<T>&, float v) {
  return static_cast<double>(v);
}
template <class T>
inline void prefetch_block(const Moments<T>& source, int64_t i) {
  prefetch(source.v + i, kSumAhead);
}

template <>
struct Moments<Block8> {
  const uint8_t* code;
  const uint8_t* scale;
};
inline BlockScale scale_at(const Moments<Block8>& source, int64_t i) {
  return block_scale<kSecondBits>(source.scale[i / kScaleBlock]);
}
inline float value(const Moments<Block8>& source, int64_t i) {
  return decode_second(source.code[i], scale_at(source, i));
}
inline void prefetch_block(const Moments<Block8>& source, int64_t i) { prefetch(source.code + i, kSumAhead); }

// What max_exp_avg_sq will be after this step. Members of vbar have no L2 decay, so the parameter is not needed.
template <class T>
struct MaxedMoments {
  const T* grad;
  const float* v;
  const float* v_max;
  Coefficients c;
};
template <class T>
inline float value(const MaxedMoments<T>& source, int64_t i) {
  float g = scaled_gradient(source.c, to_float(source.grad[i]), 0.0f);
  return larger(source.v_max[i], second_moment(source.c, g, source.v[i]));
}
template <class T>
inline float run_term(const MaxedMoments<T>&, float v) {
  return v;
}
template <class T>
inline double exact_term(const MaxedMoments<T>&, float v) {
  return static_cast<double>(v);
}
template <class T>
inline void prefetch_block(const MaxedMoments<T>& source, int64_t i) {
  prefetch(source.grad + i, kUpdateAhead);
  prefetch(source.v + i, kUpdateAhead);
  prefetch(source.v_max + i, kUpdateAhead);
}
