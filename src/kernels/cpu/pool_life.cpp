// SPDX-License-Identifier: Apache-2.0
// How the pool's workers begin and end: at the first run that wants them, with the last Team, in a forked child.
#include <errno.h>
#include <signal.h>

#include <cstring>
#include <new>

#include "pool.h"

namespace swd::cpu {
namespace {

// The loops and what every thread begins with take 16 KiB (cpu_stack_test, which sanitizers run too). The rest is for
// the host program: its thread-local variables, its handlers of signals.
constexpr size_t kStackBytes = 256 << 10;

void* worker(void* shift) {
  pool.serve(reinterpret_cast<uintptr_t>(shift));
  return nullptr;
}

// Signals of the host program are not for our workers, but those that the work itself raises are: programs that serve
// page faults, and reporters of crashes, need them in the thread where they happen.
sigset_t signals_of_workers() {
  sigset_t blocked;
  sigfillset(&blocked);
  constexpr int kRaisedByWork[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  for (int signal : kRaisedByWork) sigdelset(&blocked, signal);
  return blocked;
}

// A program with large thread-local variables may leave no room on a small stack, which is what EINVAL then means.
int create(pthread_t& handle, uint64_t shift) {
  void* argument = reinterpret_cast<void*>(static_cast<uintptr_t>(shift));
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  pthread_attr_setstacksize(&attributes, kStackBytes);
  error = pthread_create(&handle, &attributes, worker, argument);
  pthread_attr_destroy(&attributes);
  return error == EINVAL ? pthread_create(&handle, nullptr, worker, argument) : error;
}

// The child has a pool without workers, and nothing of it is held by threads that are not there.

void before_fork() { pthread_mutex_lock(&pool.guard); }

void after_fork_in_parent() { pthread_mutex_unlock(&pool.guard); }

void after_fork_in_child() {
  if (pool.workers > 0) pool.forks += 1;
  pool.posted = PTHREAD_COND_INITIALIZER;
  pool.left = PTHREAD_COND_INITIALIZER;
  pool.jobs.store(0, std::memory_order_relaxed);
  pool.first = nullptr;
  pool.sleeping = pool.workers = 0;
  pthread_mutex_unlock(&pool.guard);
}

// The C library forgets the handlers when this library is unloaded.
void watch_forks() {
  static const bool watching = [] {
    if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) throw std::bad_alloc();
    return true;
  }();
  static_cast<void>(watching);
}

}  // namespace

Pool pool;

// After a thread that cannot start none is tried until the next plan is made.
void Pool::start(int wanted) {
  if (workers >= wanted || short_of_threads) return;
  sigset_t blocked = signals_of_workers(), before;
  bool masked = pthread_sigmask(SIG_SETMASK, &blocked, &before) == 0;
  while (workers < wanted && !short_of_threads) {
    if (create(handles[workers], shift) == 0) {
      ++workers;
    } else {
      short_of_threads = true;
    }
  }
  if (masked) pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::enter_team() {
  watch_forks();
  pthread_mutex_lock(&guard);
  ++teams;
  short_of_threads = false;
  pthread_mutex_unlock(&guard);
}

// Workers that start while the old ones end belong to the next shift.
void Pool::leave_team() {
  pthread_t ending[kMostWorkers];
  int count = 0;
  pthread_mutex_lock(&guard);
  if (--teams == 0) {
    count = workers;
    memcpy(ending, handles, static_cast<size_t>(count) * sizeof *handles);
    workers = 0;
    ++shift;
    posts.fetch_add(1, std::memory_order_relaxed);
    pthread_cond_broadcast(&posted);
  }
  pthread_mutex_unlock(&guard);
  for (int i = 0; i < count; ++i) pthread_join(ending[i], nullptr);
}

}  // namespace swd::cpu
