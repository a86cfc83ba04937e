// SPDX-License-Identifier: Apache-2.0
// The threads of the CPU backend: one pool per process, of our own (OpenMP's runtime exits the process when a thread
// cannot start, hangs after fork and hides behind false TSan reports). A plan holds a Team; backend_cpu.cpp runs loops
// on it.
#pragma once
#include <cstdint>

namespace swd::cpu {

// Works on [begin, end). Called from several threads at once, for disjoint ranges.
using RangeLoop = void (*)(const void* context, int64_t begin, int64_t end);

// Sizes of the ranges that a run is cut into.
struct Cut {
  int64_t fewest;  // a run of no more than that stays on the calling thread
  int64_t most;
};

// What a plan may take of the pool. The pool's threads start when a run first has work for them and end with the last
// Team; those that cannot start are done without. In a forked child the threads of the pool are missing: Teams from
// before the fork work on the calling thread alone, later ones start threads again.
class Team {
 public:
  // threads: most that a run uses, the caller's included. 0: as many as the caller of the run has cores, but not more
  // than default_threads() says now. Throws std::bad_alloc.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Calls loop(context, range) for ranges that cover [begin, end), inside the environment of equal bits, and returns
  // when all are done. Threads of the pool help, on the cores that the caller may run on; runs of several callers at
  // once share them evenly.
  void run(int64_t begin, int64_t end, Cut cut, RangeLoop loop, const void* context) const noexcept;

 private:
  int threads_;
  bool by_cores_;   // and no more than the caller of a run has cores
  uint64_t forks_;  // that the pool had behind it
};

// Most threads of a run that begins on this thread now, for a Team of 0.
int most_threads();

}  // namespace swd::cpu
