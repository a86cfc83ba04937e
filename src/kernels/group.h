// SPDX-License-Identifier: Apache-2.0
// The hyper-parameters of one group as a step uses them, from wherever and from whichever version they come.
// Called by the checks on the host and by what decides a step.
#pragma once
#include <cstddef>

#include "layout.h"

namespace swd {

// The first member of a group that is out of range, in the order of swd_group; 0 if none, else 1 + its number.
SWD_FN int invalid_member(const swd_group& g) {
  if (!(g.lr >= 0.0 && g.lr <= DBL_MAX)) return 1;
  if (!(g.beta1 >= 0.0 && g.beta1 < 1.0)) return 2;
  if (!(g.beta2 >= 0.0 && g.beta2 < 1.0)) return 3;
  float eps = static_cast<float>(g.eps);
  if (!(eps >= FLT_MIN && eps <= FLT_MAX)) return 4;  // 0/0 on untouched rows otherwise
  if (!(g.weight_decay >= 0.0 && g.weight_decay <= DBL_MAX)) return 5;
  if (!(g.lr_factor >= 0.0 && g.lr_factor <= DBL_MAX)) return 6;
  return 0;
}

constexpr uint64_t kFirstGroupBytes = offsetof(swd_group, lr_pointer) + sizeof(float*);  // of 0.1

// The group at `at` as this step uses it: `lr` is the rate, whatever it was given by. Of an older caller's shorter
// group what it does not know reads as zero; what a later one sets and this library does not know makes it out of
// range.
SWD_FN swd_group read_group(const char* at, uint64_t bytes) {
  swd_group g;
  memcpy(&g, at, kFirstGroupBytes);
  g.lr_factor = 0.0;
  if (bytes >= sizeof g) memcpy(&g.lr_factor, at + offsetof(swd_group, lr_factor), sizeof g.lr_factor);
  if (g.lr_pointer) {
    bool aligned = reinterpret_cast<uintptr_t>(g.lr_pointer) % alignof(float) == 0;
    g.lr = aligned ? static_cast<double>(*g.lr_pointer) : -1.0;  // which is out of range
  }
  if (g.lr_factor != 0.0) g.lr *= g.lr_factor;
  for (uint64_t i = sizeof g; i < bytes; ++i) {
    if (at[i] != 0) g.lr = -1.0;
  }
  return g;
}

}  // namespace swd
