// SPDX-License-Identifier: Apache-2.0
// The bits do not depend on who computes: thread counts, shared plans, forked processes, threads that do not
// start.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

#include "cpu_threads/thread_starts.h"
#include "support/cpu_model.h"

namespace swd::test {
namespace {

std::vector<ModelCase> cases() {
  ModelCase plain;
  plain.counts = awkward_counts();
  ModelCase half = plain;
  half.grad = SWD_DTYPE_BF16;
  half.copy = SWD_DTYPE_F16;
  half.plan_flags = SWD_PLAN_UPDATE_NORMS;
  half.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_L2, SWD_DECAY_DECOUPLED};
  ModelCase amsgrad = plain;
  amsgrad.plan_flags = SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS;
  ModelCase many = plain;  // segments: also what lies between the passes runs on several threads
  many.counts.clear();
  for (int64_t k = 0; k < 3000; ++k) many.counts.push_back(k % 97);
  return {plain, half, amsgrad, many};
}

uint64_t trained_hash(const ModelCase& c, int32_t threads, const swd_plan* shared = nullptr) {
  ModelCase with_threads = c;
  with_threads.threads = threads;
  Model model(with_threads, shared);
  return model.train() ? model.hash() : 0;
}

TEST(CpuThreads, SameBitsForAnyThreadCount) {
  for (const ModelCase& c : cases()) {
    uint64_t alone = trained_hash(c, 1);
    EXPECT_NE(alone, 0u);
    for (int32_t threads : {2, 3, 5, 8, 16, 32, 0}) EXPECT_EQ(trained_hash(c, threads), alone) << threads;
  }
}

TEST(CpuThreads, AStepIsAppliedAndNotTrivial) {
  for (const ModelCase& c : cases()) {
    Model model(c);
    uint64_t before = model.hash();
    EXPECT_TRUE(model.step(1.0));
    EXPECT_EQ(model.stats().result, SWD_RESULT_APPLIED);
    EXPECT_LT(model.stats().clip_coef, 1.0);
    EXPECT_GT(model.stats().vbar, 0.0);
    EXPECT_NE(model.hash(), before);
  }
}

TEST(CpuThreads, ASmallStepStartsNoThread) {
  ModelCase c;
  c.counts = {1000, 500};
  c.threads = 8;
  int before = threads_started;
  Model model(c);
  EXPECT_TRUE(model.train());
  EXPECT_EQ(threads_started, before);
}

TEST(CpuThreads, APlanServesSeveralThreads) {
  ModelCase c = cases()[0];
  c.threads = 3;
  Model::Args args = Model::args_of(c);
  swd_plan* plan = nullptr;
  ASSERT_EQ(swd_plan_create(args.get(), &plan), SWD_OK);
  constexpr uint64_t kCallers = 4;
  uint64_t wanted[kCallers], seen[kCallers];
  std::vector<std::thread> callers;
  for (uint64_t i = 0; i < kCallers; ++i) {
    ModelCase own = c;
    own.seed = i + 1;
    wanted[i] = trained_hash(own, 1);
    callers.emplace_back([own, plan, &seen, i] {
      for (int round = 0; round < 3; ++round) seen[i] = trained_hash(own, 1, plan);
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (uint64_t i = 0; i < kCallers; ++i) EXPECT_EQ(seen[i], wanted[i]);
  EXPECT_EQ(swd_plan_destroy(plan), SWD_OK);
}

TEST(CpuThreads, ManyShortRunsInARow) {  // workers join late, find nothing left, sleep and wake
  ModelCase c;
  c.counts = {17 * 16 * 4096};
  Model alone(c);
  c.threads = 4;
  Model together(c);
  for (int i = 0; i < 20; ++i) {
    if (i % 5 == 0) usleep(3000);
    ASSERT_TRUE(alone.step(1.0) && together.step(1.0));
  }
  EXPECT_EQ(alone.hash(), together.hash());
}

// Runs f in a forked child and returns whether it said true there. A child that hangs is ended by its alarm.
template <class F>
bool in_child(const F& f) {
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(f() ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status == 0;
}

TEST(CpuThreads, ForkBeforeFirstUse) {
  ModelCase c = cases()[0];
  uint64_t wanted = trained_hash(c, 1);
  c.threads = 3;
  auto model = std::make_unique<Model>(c);
  auto train = [&] {
    bool same = model->train() && model->hash() == wanted;
    model.reset();
    return same;
  };
  EXPECT_TRUE(in_child(train));
  EXPECT_TRUE(train());
}

TEST(CpuThreads, ForkAfterFirstUse) {
  ModelCase c = cases()[0];
  auto reference = std::make_unique<Model>(c);
  EXPECT_TRUE(reference->train() && reference->train());
  uint64_t wanted = reference->hash();
  c.threads = 3;
  auto model = std::make_unique<Model>(c);
  EXPECT_TRUE(model->train());
  int started = threads_started;
  auto train = [&] {  // the workers live in the parent only; also freeing the plan must not wait for them
    bool same = model->train() && model->hash() == wanted;
    model.reset();
    return same && threads_started == started;  // the plan works alone there
  };
  EXPECT_TRUE(in_child(train));
  EXPECT_TRUE(in_child([&] { return in_child(train); }));
  EXPECT_TRUE(train());
}

#ifndef __SANITIZE_THREAD__  // which ends a child that starts threads
TEST(CpuThreads, APlanOfAForkedChildHasThreads) {
  ModelCase c = cases()[0];
  uint64_t wanted = trained_hash(c, 1);
  c.threads = 3;
  Model model(c);
  EXPECT_TRUE(model.train());
  EXPECT_TRUE(in_child([&] {
    int before = threads_started;
    bool same = trained_hash(c, 3) == wanted;
    return same && threads_started - before == 2;
  }));
}
#endif

// The pool is never seen half changed, and the child's does not wait for threads that are not there.
TEST(CpuThreads, ForkWhileOthersStep) {
  ModelCase c;
  c.counts = {2 * 65536};
  c.threads = 3;
  std::atomic<bool> done{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      Model own(c);
      own.prepare(1.0);
      while (!done) own.apply();
    });
  }
  Model model(c), alone(c);
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(model.step(1.0) && alone.step(1.0));
    EXPECT_TRUE(in_child([&] { return model.step(1.0) && alone.step(1.0) && model.hash() == alone.hash(); }));
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
}

TEST(CpuThreads, StacksAreSmall) {
  largest_stack = 0;
  EXPECT_NE(trained_hash(cases()[0], 4), 0u);
  EXPECT_GT(largest_stack, 0u);
  EXPECT_LE(largest_stack, size_t{512} << 10);
}

TEST(CpuThreads, ThreadsThatDoNotStartAreDoneWithout) {
  ModelCase c = cases()[0];
  uint64_t wanted = trained_hash(c, 1);
  for (int allowed : {0, 1, 2}) {
    int before = threads_started;
    threads_allowed = allowed;
    EXPECT_EQ(trained_hash(c, 8), wanted) << allowed;
    EXPECT_LT(threads_allowed, 0);  // it did try
    threads_allowed = 1 << 30;
    EXPECT_EQ(threads_started - before, allowed);
  }
}

}  // namespace
}  // namespace swd::test
