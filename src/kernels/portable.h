// SPDX-License-Identifier: Apache-2.0
// What lets one header compile as C++ for the host, per instruction set, and as CUDA for the device.
// Included by every header in this folder.
#pragma once
#include <cfloat>
#include <cstdint>
#include <cstring>

// x87 keeps more digits than float and double have, until it spills: other bits, and other ones at each -O.
#if FLT_EVAL_METHOD != 0
#error "libswd needs arithmetic in the operands' own precision: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

// Functions of these headers have internal linkage: an object built for a wide instruction set must define
// nothing that the linker could pick for a baseline machine. For the same reason structs have no member functions.
#ifdef __CUDACC__
#define SWD_FN __host__ __device__ static inline
#else
#define SWD_FN static inline
#endif

namespace swd {

SWD_FN uint32_t float_bits(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
#endif
}

SWD_FN float bits_float(uint32_t u) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(u);
#else
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
#endif
}

// Correctly rounded on both sides: the build sets --prec-sqrt=true, and -fno-math-errno keeps it an instruction.
SWD_FN float root(float x) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

SWD_FN double root(double x) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(x);
#else
  return __builtin_sqrt(x);
#endif
}

SWD_FN float magnitude(float x) {
#ifdef __CUDA_ARCH__
  return fabsf(x);  // free, a modifier of the comparison that follows; the integer form is an instruction
#else
  return bits_float(float_bits(x) & 0x7FFFFFFFu);
#endif
}

// A word that the last block of a kernel may write, read past the L1 cache of a multiprocessor that may run blocks of
// the next kernel.
template <class T>
SWD_FN T fresh_word(const T* from) {
#ifdef __CUDA_ARCH__
  return static_cast<T>(sizeof(T) == 8 ? __ldcg(reinterpret_cast<const unsigned long long*>(from))
                                       : __ldcg(reinterpret_cast<const unsigned int*>(from)));
#else
  return *from;
#endif
}

SWD_FN bool is_finite(float x) { return magnitude(x) <= FLT_MAX; }

SWD_FN bool is_finite(double x) { return x >= -DBL_MAX && x <= DBL_MAX; }

}  // namespace swd
