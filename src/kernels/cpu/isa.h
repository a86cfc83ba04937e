// SPDX-License-Identifier: Apache-2.0
// Which build of the loops this process uses. Called by backend_cpu.cpp and api.cpp.
#pragma once
#include "loops.h"

namespace swd::cpu {

// The widest build that this CPU can run, or the one that the environment variable SWD_CPU_ISA (base, v3 or v4) names
// if the CPU can run that. Decided at the first call of the process.
const Loops& loops_for(const Dtypes& dtypes);

const char* isa_name();

}  // namespace swd::cpu
