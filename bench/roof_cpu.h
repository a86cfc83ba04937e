// SPDX-License-Identifier: Apache-2.0
// The roof of the host: plain loops in variants. Called by machine_cpu.cpp and cases.cpp.
#pragma once
#include "machine.h"

namespace swd::bench {

int core_count();  // that this process may run on

int roof_variants_cpu(RoofKind kind);
void run_roof_cpu(RoofKind kind, int variant, const RoofArrays& arrays);

}  // namespace swd::bench
