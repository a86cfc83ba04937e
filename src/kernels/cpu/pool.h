// SPDX-License-Identifier: Apache-2.0
// The pool behind every Team: one per process. A run posts a job with seats; workers that find a seat help; the caller
// works too, and takes the job away when no range is left and nobody sits there any more. Used by team.cpp.
//
// Three workers; A's run has 2 seats. Workers 1 and 2 sit down there, 3 finds no seat and sleeps. B posts a job with 2
// seats: 3 sits down there. Now that two jobs wait, each worker stands up after a range and sits down at the job where
// nobody sat down for longest: 1 at A, 2 at B, 3 at A. When A has no range left, one finds no seat at B and sleeps.
#pragma once
#include <pthread.h>

#include <atomic>

#include "cores.h"
#include "team.h"

namespace swd::cpu {

constexpr int kMostWorkers = 1023;

// A run, on its caller's stack. What is not atomic is the caller's until the job is posted, then `guard`'s.
struct Job {
  Job(RangeLoop what, const void* with, int64_t from, int64_t to)
      : loop(what), context(with), end(to), grain(to - from), next(from) {}
  bool has_work() const { return next.load(std::memory_order_relaxed) < end; }

  RangeLoop loop;
  const void* context;
  int64_t end;
  int64_t grain;
  Cores cores;            // of the caller
  int seats = 0;          // workers that may still sit down
  Job* behind = nullptr;  // in the pool's queue
  alignas(64) std::atomic<int64_t> next;
  alignas(64) std::atomic<int> seated{0};  // workers inside
};

// Has no destructor, because the process may exit while workers run.
struct Pool {
  pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;  // of all that is not atomic
  pthread_cond_t posted = PTHREAD_COND_INITIALIZER;
  pthread_cond_t left = PTHREAD_COND_INITIALIZER;
  std::atomic<uint64_t> posts{0};  // counts what workers have to look at: jobs posted, shifts ended
  std::atomic<int> jobs{0};        // in the queue
  Job* first = nullptr;
  int sleeping = 0;
  int teams = 0;
  uint64_t shift = 0;  // workers of an earlier one end
  uint64_t forks = 0;  // that left workers behind; changes only in the child, before anything else runs there
  bool short_of_threads = false;
  int workers = 0;
  pthread_t handles[kMostWorkers];

  // For callers, in this order.
  void post(Job& job, int wanted);
  void work_on(Job& job, bool as_worker);
  void finish(Job& job);

  void enter_team();  // throws std::bad_alloc
  void leave_team();  // the last one ends the workers

  // For workers: what they do until their shift ends.
  void serve(uint64_t mine);
  Job* sit_down();
  void stand_up(Job& job);
  void rest();

  // Under `guard`.
  void start(int wanted);  // workers, until so many are there
  void join_queue(Job& job);
  void leave_queue(Job& job);
};

extern Pool pool;

}  // namespace swd::cpu
