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

#include "../formats.h"
#include "../scalars.h"
#include "../sum_sources.h"
#include "loops.h"

#ifdef __FAST_MATH__
#error "the loops promise the same bits everywhere: build them without flags that let a compiler change values"
#endif

namespace swd::cpu {
namespace {

#include "loops_shared.inl"
#include "loops_stored.inl"
#include "pass1_sources.inl"
#include "pass1_sums.inl"
#include "pass2_blocks.inl"
#include "pass2_copy.inl"
#include "pass2_narrow.inl"
#include "pass2_update.inl"
#include "state_convert.inl"

template <class Row, bool kAmsgrad, bool kNorms>
constexpr RangeLoop update_loop() {
  if constexpr (kAmsgrad && !Row::kAmsgrad)
    return nullptr;
  else
    return update<Row, kAmsgrad, kNorms>;
}

template <class Row>
const Loops* table() {
  using Param = typename Row::param;
  using Moment = typename Row::moment;
  static constexpr Loops loops = {sum_squares<typename Row::grad>,
                                  sum_maxed<typename Row::grad>,
                                  sum_moments<Moment>,
                                  copy_params<typename Row::copy>,
                                  convert<Param, Moment, false>,
                                  convert<Param, Moment, true>,
                                  {{update_loop<Row, false, false>(), update_loop<Row, false, true>()},
                                   {update_loop<Row, true, false>(), update_loop<Row, true, true>()}}};
  return &loops;
}

}  // namespace

const Loops* SWD_LOOPS(const Dtypes& dtypes) {
  const Loops* loops = nullptr;
  visit_dtypes(dtypes, [&](auto row) { loops = table<decltype(row)>(); });
  return loops;
}

}  // namespace swd::cpu
