// SPDX-License-Identifier: Apache-2.0
// What the plans of world.h look like. Used by world.cpp.
#pragma once
#include "world.h"

namespace swd::fuzz {

inline uint32_t width(swd_dtype dtype) {
  static constexpr uint32_t kBytes[] = {0, 4, 2, 2, 2, 1, 1};  // by SWD_DTYPE_*
  return kBytes[dtype];
}

struct Shape {
  uint32_t flags;
  swd_dtype grad, copy;
  std::vector<int64_t> counts;
  std::vector<swd_decay> decay;
  swd_dtype param = SWD_DTYPE_F32, moment = SWD_DTYPE_F32, remainder = SWD_DTYPE_NONE;
};

inline const Shape& shape(uint32_t number) {
  static const Shape kShapes[kWorlds] = {
      {0, SWD_DTYPE_F32, SWD_DTYPE_NONE, {5, 3}, {SWD_DECAY_SCHEDULED, SWD_DECAY_DECOUPLED}},
      {SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS | SWD_PLAN_MAXIMIZE,
       SWD_DTYPE_BF16,
       SWD_DTYPE_F16,
       {7},
       {SWD_DECAY_SCHEDULED}},
      {SWD_PLAN_LIST, SWD_DTYPE_F32, SWD_DTYPE_NONE, {3, 0, 4}, {SWD_DECAY_L2, SWD_DECAY_NONE}},
      {0, SWD_DTYPE_F16, SWD_DTYPE_NONE, {}, {SWD_DECAY_DECOUPLED}},
      {SWD_PLAN_LIST | SWD_PLAN_AMSGRAD | SWD_PLAN_INDEXED,
       SWD_DTYPE_F16,
       SWD_DTYPE_BF16,
       {2, 2},
       {SWD_DECAY_SCHEDULED}},
      {SWD_PLAN_UPDATE_NORMS,
       SWD_DTYPE_BF16,
       SWD_DTYPE_NONE,
       {130, 3},
       {SWD_DECAY_SCHEDULED, SWD_DECAY_L2},
       SWD_DTYPE_BF16,
       SWD_DTYPE_BLOCK8,
       SWD_DTYPE_I8},
      {SWD_PLAN_LIST,
       SWD_DTYPE_F32,
       SWD_DTYPE_NONE,
       {3, 0, 4},
       {SWD_DECAY_DECOUPLED},
       SWD_DTYPE_BF16,
       SWD_DTYPE_BF16,
       SWD_DTYPE_I16},
  };
  return kShapes[number];
}

}  // namespace swd::fuzz
