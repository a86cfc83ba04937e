// SPDX-License-Identifier: Apache-2.0
// The thread library misbehaves: each thread fails to start once, waits end without cause, the cores cannot be
// counted, signals cannot be masked. A step has the same bits every time, and no thread is left behind.
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "support/cpu_model.h"

namespace {
std::atomic<int> starts{0};         // calls of pthread_create so far
std::atomic<int> failing_start{0};  // the call with this number fails
std::atomic<bool> spurious{false};  // waits return at once
std::atomic<bool> no_affinity{false}, no_mask{false}, no_small_stack{false};
std::atomic<int> waits{0}, affinities{0}, masks{0}, refused_stacks{0};
thread_local int held = 0;           // mutexes that this thread has locked
std::atomic<int> unlocked{0};        // mutexes that were let go by a thread that held none
std::atomic<size_t> stack_bytes{0};  // that the latest thread was to get; 0: what is usual

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

template <class F>
F next_of(F of_a_sanitizer, const char* name) {
  return of_a_sanitizer ? of_a_sanitizer : real<F>(name);
}
}  // namespace

// These stand in for the C library's in this program and in the library under test.
extern "C" {
int __interceptor_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) __attribute__((weak));

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*),
                   void* argument) noexcept {
  static auto next = next_of(__interceptor_pthread_create, "pthread_create");
  if (no_small_stack && attributes) {  // as where the program's thread-local variables fill it
    refused_stacks.fetch_add(1);
    return EINVAL;
  }
  if (starts.fetch_add(1) + 1 == failing_start) return EAGAIN;
  size_t bytes = 0;
  if (attributes) pthread_attr_getstacksize(attributes, &bytes);
  stack_bytes = bytes;
  return next(thread, attributes, entry, argument);
}

int __interceptor_pthread_mutex_lock(pthread_mutex_t*) __attribute__((weak));
int __interceptor_pthread_mutex_unlock(pthread_mutex_t*) __attribute__((weak));

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  static auto next = next_of(__interceptor_pthread_mutex_lock, "pthread_mutex_lock");
  ++held;
  return next(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  static auto next = next_of(__interceptor_pthread_mutex_unlock, "pthread_mutex_unlock");
  held > 0 ? --held : ++unlocked;
  return next(mutex);
}

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  static auto next = real<int (*)(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait");
  waits.fetch_add(1);
  if (!spurious) return next(condition, mutex);
  pthread_mutex_unlock(mutex);
  return pthread_mutex_lock(mutex);
}

int sched_getaffinity(pid_t process, size_t bytes, cpu_set_t* set) noexcept {
  static auto next = real<int (*)(pid_t, size_t, cpu_set_t*)>("sched_getaffinity");
  affinities.fetch_add(1);
  if (!no_affinity) return next(process, bytes, set);
  errno = EPERM;
  return -1;
}

int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  static auto next = real<int (*)(int, const sigset_t*, sigset_t*)>("pthread_sigmask");
  masks.fetch_add(1);
  return no_mask ? EINVAL : next(how, set, old);
}
}

namespace swd::test {
namespace {

ModelCase model_case(int32_t threads) {
  ModelCase c;
  c.counts = awkward_counts();
  c.plan_flags = SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS;
  c.threads = threads;
  return c;
}

uint64_t trained(int32_t threads) {
  Model model(model_case(threads));
  bool done = model.train();
  EXPECT_EQ(unlocked, 0);  // Linux lets that pass by accident
  return done ? model.hash() : 0;
}

int64_t threads_of_this_process() {
  std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

TEST(CpuThreadFaults, EachThreadFailsToStartOnce) {
  uint64_t wanted = trained(1);
  ASSERT_NE(wanted, 0u);
  std::thread([] {}).join();  // a checking tool may start a thread of its own with the first one
  int64_t threads = threads_of_this_process();
  constexpr int kWorkers = 6;  // as many as a step has further ranges
  for (int k = 1; k <= kWorkers; ++k) {
    int before = starts;
    failing_start = before + k;
    EXPECT_EQ(trained(kWorkers + 1), wanted) << k;
    failing_start = 0;
    EXPECT_EQ(starts - before, k) << "after a thread that does not start no further one is tried";
    EXPECT_EQ(threads_of_this_process(), threads) << k;
  }
  int before = starts;
  EXPECT_EQ(trained(kWorkers + 1), wanted);
  EXPECT_EQ(starts - before, kWorkers);
  EXPECT_EQ(threads_of_this_process(), threads);
}

TEST(CpuThreadFaults, AFailedStartIsNoErrorOfTheStepAndTheNextStepWorksToo) {
  Model alone(model_case(1)), together(model_case(4));
  failing_start = starts + 2;
  for (int t = 0; t < 5; ++t) ASSERT_TRUE(alone.step(1.0) && together.step(1.0));
  failing_start = 0;
  EXPECT_EQ(together.hash(), alone.hash());
}

TEST(CpuThreadFaults, WaitsMayEndWithoutCause) {
  uint64_t wanted = trained(1);
  int before = waits;
  spurious = true;
  for (int32_t threads : {2, 3, 8}) EXPECT_EQ(trained(threads), wanted) << threads;
  // The caller is done with its half long before the worker now and then: it must not take that for the end.
  ModelCase c = model_case(1);
  c.counts = {2 * 65536};
  Model alone(c);
  c.threads = 2;
  Model together(c);
  for (int t = 0; t < 100; ++t) ASSERT_TRUE(alone.step(1.0) && together.step(1.0));
  spurious = false;
  EXPECT_EQ(together.hash(), alone.hash());
  EXPECT_GT(waits, before);
}

TEST(CpuThreadFaults, ThreadsThatDidNotStartAreTriedAgainWithTheNextPlan) {
  Model first(model_case(4));
  failing_start = starts + 1;
  ASSERT_TRUE(first.step(1.0));
  int before = starts;
  ASSERT_TRUE(first.step(1.0));
  EXPECT_EQ(starts, before);
  failing_start = 0;
  Model second(model_case(4));
  ASSERT_TRUE(second.step(1.0));
  EXPECT_EQ(starts - before, 3);
}

// A usual stack maps 8 MiB; a hundred workers would map most of a gigabyte.
TEST(CpuThreadFaults, StacksAreSmall) {
  int before = starts;
  trained(4);
  EXPECT_EQ(starts - before, 3);
  EXPECT_EQ(stack_bytes, size_t{256} << 10);
}

TEST(CpuThreadFaults, WhereSmallStacksDoNotStartUsualOnesDo) {
  uint64_t wanted = trained(1);
  int before = starts;
  no_small_stack = true;
  EXPECT_EQ(trained(4), wanted);
  no_small_stack = false;
  EXPECT_EQ(refused_stacks, 3);
  EXPECT_EQ(starts - before, 3);
}

TEST(CpuThreadFaults, CoresThatCannotBeCounted) {
  uint64_t wanted = trained(1);
  int before = affinities;
  no_affinity = true;
  EXPECT_EQ(trained(0), wanted);
  no_affinity = false;
  EXPECT_GT(affinities, before);
}

TEST(CpuThreadFaults, SignalsThatCannotBeMasked) {
  uint64_t wanted = trained(1);
  sigset_t before, after;
  sigemptyset(&before);
  sigaddset(&before, SIGUSR2);
  ASSERT_EQ(sigprocmask(SIG_SETMASK, &before, nullptr), 0);
  int calls = masks;
  no_mask = true;
  EXPECT_EQ(trained(4), wanted);
  no_mask = false;
  EXPECT_GT(masks, calls);
  ASSERT_EQ(sigprocmask(SIG_SETMASK, nullptr, &after), 0);
  for (int signal = 1; signal < 32; ++signal) EXPECT_EQ(sigismember(&after, signal), signal == SIGUSR2) << signal;
  sigemptyset(&before);
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace swd::test
