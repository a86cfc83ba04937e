// SPDX-License-Identifier: Apache-2.0
// The roof of a CUDA device: plain streaming kernels in variants. Called by machine_cuda.cpp.
#pragma once
#include <string>

#include "machine.h"

namespace swd::bench {

int roof_variants_cuda(RoofKind kind);
std::string roof_name_cuda(RoofKind kind, int variant);
// Queues the loop in `stream` (a cudaStream_t) and returns a cudaError_t; cudaErrorNotSupported where a variant does
// not exist for these arrays or on this device.
int run_roof_cuda(RoofKind kind, int variant, const RoofArrays& arrays, void* stream);

}  // namespace swd::bench
