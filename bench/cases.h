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

// How a plan stores parameters and moments. The first is fp32, then the presets of docs/narrow_states.md, then the
// other rows of the library's table, named by parameter, remainder and moments.
struct Storage {
  const char* name;
  swd_dtype param, remainder, moment;
};
constexpr Storage kStorages[] = {
    {"fp32", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_F32},
    {"master16", SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_F32},
    {"mixed16", SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BF16},
    {"compact8", SWD_DTYPE_BF16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8},
    {"tiny8", SWD_DTYPE_BF16, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8},
    {"f32-bf16", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BF16},
    {"f32-block8", SWD_DTYPE_F32, SWD_DTYPE_NONE, SWD_DTYPE_BLOCK8},
    {"bf16-i16-block8", SWD_DTYPE_BF16, SWD_DTYPE_I16, SWD_DTYPE_BLOCK8},
    {"bf16-bf16", SWD_DTYPE_BF16, SWD_DTYPE_NONE, SWD_DTYPE_BF16},
};
constexpr int kPresets = 5;

struct Case {
  Part part = Part::kStep;
  swd_backend backend = SWD_BACKEND_CPU;
  int64_t elements = 0;
  swd_dtype grad = SWD_DTYPE_F32;
  swd_dtype copy = SWD_DTYPE_NONE;
  Storage states = kStorages[0];
  swd_decay decay = SWD_DECAY_SCHEDULED;
  bool clip = true;
  int64_t segments = 1;
  bool graph = false;  // CUDA: one graph launch instead of the calls
  bool cold = false;   // caches are emptied before each sample
  int threads = 0;     // CPU; 0: one per core
};

// Bytes per parameter that the part must move: the gradient once for the norm; all arrays once for the update.
double norm_bytes(const Case& c);
double update_bytes(const Case& c);
double part_bytes(const Case& c);

// Bytes per parameter that a model holds beside its gradient.
double state_bytes(const Case& c);

// "step/cpu/67108864/grad:f32/copy:none/states:fp32/decay:scheduled/clip:1/segments:1/launch:eager/cache:warm/threads:0"
std::string name_of(const Case& c);

bool is_fp32(const Case& c);    // its states; gradients and copy may be narrow
Case fp32_twin(const Case& c);  // the same step on fp32 states

// Throw std::runtime_error where there is no such name.
Storage storage_named(const std::string& name);
swd_dtype grad_named(const std::string& name);

// Every axis around one base case, or what fits into half a minute on two cores.
std::vector<Case> all_cases(swd_backend backend);
std::vector<Case> quick_cases(swd_backend backend);

}  // namespace swd::bench
