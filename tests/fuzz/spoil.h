// SPDX-License-Identifier: Apache-2.0
// The arguments of one call of any public function: right ones, of which the input spoils up to three. Values that the
// library has no way to refuse, such as a wild but aligned pointer, are not made. Used by fuzz_args.cpp.
#pragma once
#include "input.h"
#include "world.h"

namespace swd::fuzz {

struct Call {
  World* world;
  const swd_plan* plan;
  swd_buffers buffers;
  swd_step_args args;
  swd_group groups[2];
  bool has_buffers, has_args;
  void* stream;
  void* workspace;
  uint64_t workspace_bytes;
  int64_t first, count;  // segments
  swd_phase phase;
  double* record;
  uint64_t record_doubles;
  bool spoiled;

  const swd_buffers* buffers_or_null() const { return has_buffers ? &buffers : nullptr; }
  const swd_step_args* args_or_null() const { return has_args ? &args : nullptr; }
};

// `used`: bit i for each piece (PieceName) that the call may touch; only these are aliased.
void make_call(Input& in, World& world, uint32_t used, Call& call);

constexpr uint32_t kStepPieces =
    0xFFu | 1u << kRemainder | 1u << kExpAvgScale | 1u << kExpAvgSqScale;  // arrays, state, workspace

template <class T>
T* odd_address(T* pointer, uint32_t distance) {
  return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(pointer) + 2 * distance) | 1u);  // odd, also the second time
}

// Right, NULL or misaligned: for scalars that the library reads through.
template <class T>
T* spoiled_scalar(Input& in, T* right) {
  uint32_t kind = in.below(3);
  return kind == 0 ? right : kind == 1 ? nullptr : odd_address(right, in.below(8));
}

// NULL, misaligned, or the address of another piece that has at least `bytes`.
void* spoiled_pointer(Input& in, const World& world, const void* now, uint64_t bytes, uint32_t used,
                      bool of_bytes = false);  // of_bytes: no address is odd

// An argument of its own that is right where the input is zero.
template <class T>
T* maybe_spoiled(Input& in, const World& world, T* right, Call& call) {
  if (in.below(4) != 1) return right;
  call.spoiled = true;
  return static_cast<T*>(spoiled_pointer(in, world, right, 0, 0));
}

inline int64_t maybe_spoiled_number(Input& in, int64_t right, Call& call) {
  if (in.below(4) != 1) return right;
  call.spoiled = true;
  return in.integer();
}

}  // namespace swd::fuzz
