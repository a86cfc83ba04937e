// SPDX-License-Identifier: Apache-2.0
// The floating-point environment in which the promise of equal bits holds: round to nearest, denormals kept, no traps.
// The checks of a step, every entry of the CPU backend and every piece of work of its threads run inside one.
#pragma once
#if defined(__SSE2__)
#include <immintrin.h>
#else
#include <cfenv>
#endif

namespace swd::cpu {

// Restores what it found, sticky exception flags included. The compiler must not move arithmetic across the switch:
// what is computed in between is read from memory after the first barrier and stored before the second.
class FloatEnvironment {
 public:
#if defined(__SSE2__)
  FloatEnvironment() : saved_(_mm_getcsr()) {
    if (saved_ != kDefault) _mm_setcsr(kDefault);
    asm volatile("" ::: "memory");
  }
  ~FloatEnvironment() {
    asm volatile("" ::: "memory");
    _mm_setcsr(saved_);
  }
#else
  FloatEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
    asm volatile("" ::: "memory");
  }
  ~FloatEnvironment() {
    asm volatile("" ::: "memory");
    std::fesetenv(&saved_);
  }
#endif
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
#if defined(__SSE2__)
  static constexpr unsigned int kDefault = 0x1F80;  // all exceptions masked, no flags, nearest, FTZ and DAZ off
  unsigned int saved_;
#else
  std::fenv_t saved_;
#endif
};

}  // namespace swd::cpu
