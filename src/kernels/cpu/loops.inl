// SPDX-License-Identifier: Apache-2.0
// The loops of both passes. Compiled once per instruction set by loops_base.cpp, loops_v3.cpp and loops_v4.cpp, which
// define SWD_LOOPS as the name of the one function they export.
//
// Everything else has internal linkage: what a wide object shared with the rest of the program, the linker could pick
// for a baseline machine. So no standard library and no inline function with linkage; scripts/check_isa_symbols.sh
// checks it. The inner loops are plain C over one block of elements, which compilers turn into vector code for any
// instruction set; prefetching stands between them, because it would keep a loop from being vectorised.
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "../dtype.h"
#include "../scalars.h"
#include "loops.h"

#ifdef __FAST_MATH__
#error "the loops promise the same bits everywhere: build them without -ffast-math"
#endif

namespace swd::cpu {
namespace {

#include "loops_shared.inl"
#include "pass1_sources.inl"
#include "pass1_sums.inl"
#include "pass2_update.inl"

template <class Grad, class Copy>
const Loops* table() {
  static constexpr Loops loops = {sum_squares<Grad>,
                                  sum_maxed<Grad>,
                                  sum_moments,
                                  copy_params<Copy>,
                                  {{update<Grad, Copy, false, false>, update<Grad, Copy, false, true>},
                                   {update<Grad, Copy, true, false>, update<Grad, Copy, true, true>}}};
  return &loops;
}

}  // namespace

const Loops* SWD_LOOPS(swd_dtype grad, swd_dtype copy) {
  const Loops* loops = nullptr;
  visit_dtypes(grad, copy,
               [&](auto types) { loops = table<typename decltype(types)::grad, typename decltype(types)::copy>(); });
  return loops;
}

}  // namespace swd::cpu
