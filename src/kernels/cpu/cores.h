// SPDX-License-Identifier: Apache-2.0
// On how many cores, and on which, this process may compute. Asked by pool.cpp.
#pragma once
#ifdef __linux__
#include <sched.h>
#endif

namespace swd::cpu {

// The cores that a thread may run on.
struct Cores {
#ifdef __linux__
  cpu_set_t set;
#endif
  bool known = false;  // set is
  int count = 1;
};

Cores cores_of_this_thread();

// Threads that a plan gets by default where cores abound: the cgroup's quota of CPU time in whole cores, rounded up, or
// OMP_NUM_THREADS, whichever is less. Reads files, allocates nothing.
int default_threads();

// Lets this thread run where another may, if that changes anything. `mine`: what it got by its last call.
void run_on(const Cores& cores, Cores& mine);

}  // namespace swd::cpu
