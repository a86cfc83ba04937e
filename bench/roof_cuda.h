// SPDX-License-Identifier: Apache-2.0
// The roof of a CUDA device: plain streaming kernels in variants. Called by machine_cuda.cpp.
#pragma once
#include "machine.h"

namespace swd::bench {

int roof_variants_cuda(RoofKind kind);
// Queues the loop in `stream` (a cudaStream_t) and returns a cudaError_t.
int run_roof_cuda(RoofKind kind, int variant, const RoofArrays& arrays, void* stream);

}  // namespace swd::bench
