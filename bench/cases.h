// SPDX-License-Identifier: Apache-2.0
// What is measured: one Case per benchmark, and the lists of them. Used by main.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "swd/swd.h"

namespace swd::bench {

enum class Part {
  kNorm,      // pass 1: swd_reduce
  kUpdate,    // pass 2: swd_update
  kStep,      // swd_step
  kMemcpy,    // no libswd: exp_avg copied to exp_avg_sq, for comparison
  kStale,     // swd_step on rows that had no gradient for 5,000 steps, against the same rows live
  kUntouched  // the same for rows that never had one: exp_avg_sq is 0, which division and root are slow at
};

struct Case {
  Part part = Part::kStep;
  swd_backend backend = SWD_BACKEND_CPU;
  int64_t elements = 0;
  swd_dtype grad = SWD_DTYPE_F32;
  swd_dtype copy = SWD_DTYPE_NONE;
  swd_decay decay = SWD_DECAY_SCHEDULED;
  bool clip = true;
  int64_t segments = 1;
  bool graph = false;  // CUDA: one graph launch instead of the calls
  bool cold = false;   // caches are emptied before each sample
  int threads = 0;     // CPU; 0: one per core
};

// Bytes per parameter that the part must move: the gradient once for the norm; all arrays once for the update.
int64_t norm_bytes(const Case& c);
int64_t update_bytes(const Case& c);
int64_t part_bytes(const Case& c);

// "step/cpu/67108864/grad:f32/copy:none/decay:scheduled/clip:1/segments:1/launch:eager/cache:warm/threads:0"
std::string name_of(const Case& c);

// Every axis around one base case, or what fits into half a minute on two cores.
std::vector<Case> all_cases(swd_backend backend);
std::vector<Case> quick_cases(swd_backend backend);

}  // namespace swd::bench
