// SPDX-License-Identifier: Apache-2.0
// Launch constants of the CUDA backend, as data. None of them changes a result.
#pragma once

namespace swd::cuda {

// Pass 1: at most 80 registers a thread; with 8 loads of 16 bytes before their first use, 3 * 256 * 128 = 96 KiB in
// flight on a multiprocessor. Its blocks also decide the step (decide.cuh), which wants 256 threads.
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kReduceBlocksPerSm = 3;
constexpr int kReduceLoads = 8;

// Pass 2: small blocks, so that the register budget can be cut finely: 5 * 128 threads leave 96 registers each and 80
// KiB in flight; 3 * 256 would leave 80 and spill. CUB's own figure for full bandwidth is 48 KiB on H200.
constexpr int kUpdateThreads = 128;
constexpr int kUpdateWarps = kUpdateThreads / 32;
constexpr int update_blocks_per_sm(bool plain, bool amsgrad, bool norms) {
  int blocks = amsgrad && norms ? 3 : amsgrad || norms ? 4 : 5;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000  // whose compiler spills two registers of some
  int fewer = 2;
#else
  int fewer = 1;
#endif
  return plain || amsgrad ? blocks : blocks - fewer;  // codes need more registers: 128 where fp32 has 96
}

// From so many times what is resident on, a grid has a warp for each chunk or item instead of resident warps that take
// one after the other: blocks then start in the order of memory, and what is in flight stays close together. On an H100
// at 2^30 fp32 elements pass 1 takes 1.38 instead of 1.60 ms and pass 2 10.2 instead of 10.7; at 2^22, with 1.6 times
// what is resident, starting blocks costs more than order gains: 62 instead of 60 us a step (variants.sh: resident).
// Where most of a chunk is empty, in lists of small tensors, resident warps pass the empty part at no cost.
constexpr int kWavesInOrder = 4;

// Payload of one table-writing launch; with the rest it stays below the 4 KiB that every driver takes.
constexpr int kCarriedBytes = 3840;

}  // namespace swd::cuda
