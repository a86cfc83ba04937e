// SPDX-License-Identifier: Apache-2.0
// The pool of threads that all CPU plans share, as its process sees it: how many threads there are, which signals reach
// them, where they run, and that two runs at once share them.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <set>
#include <thread>

#include "support/cpu_model.h"
#include "support/flat_plan.h"
#include "support/pager.h"

namespace swd::test {
namespace {

constexpr int64_t kRange = 16 * 4096;  // elements: the smallest that a thread takes at a time

ModelCase model_case(int32_t threads, int64_t elements) {
  ModelCase c;
  c.counts = {elements};
  c.threads = threads;
  return c;
}

std::set<int> threads_of_this_process() {
  std::set<int> out;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    out.insert(std::stoi(task.path().filename()));
  }
  return out;
}

// Those of the pool: all that are there but were not before.
std::set<int> workers_since(const std::set<int>& before) {
  std::set<int> out = threads_of_this_process();
  for (int thread : before) out.erase(thread);
  return out;
}

// A checking tool may start a thread of its own with the first one.
std::set<int> threads_before() {
  std::thread([] {}).join();
  return threads_of_this_process();
}

TEST(CpuPool, AHundredPlansShareIt) {
  std::set<int> before = threads_before();
  std::vector<std::unique_ptr<Model>> models;
  for (int i = 0; i < 100; ++i) models.push_back(std::make_unique<Model>(model_case(16, (i == 0 ? 16 : 2) * kRange)));
  for (auto& model : models) ASSERT_TRUE(model->step(1.0));
  EXPECT_EQ(workers_since(before).size(), 15u);
  models.resize(1);
  EXPECT_EQ(workers_since(before).size(), 15u) << "while a plan is there, its threads are";
  models.clear();
  EXPECT_EQ(workers_since(before).size(), 0u) << "the last plan ends them";
}

TEST(CpuPool, GrowsToTheLargestThatIsAskedFor) {
  std::set<int> before = threads_before();
  Model two(model_case(2, 16 * kRange)), five(model_case(5, 16 * kRange)), short_one(model_case(9, 3 * kRange));
  EXPECT_TRUE(short_one.step(1.0));
  EXPECT_EQ(workers_since(before).size(), 2u) << "three ranges";
  EXPECT_TRUE(two.step(1.0));
  EXPECT_EQ(workers_since(before).size(), 2u);
  EXPECT_TRUE(five.step(1.0));
  EXPECT_EQ(workers_since(before).size(), 4u);
  EXPECT_TRUE(two.step(1.0));
  EXPECT_EQ(workers_since(before).size(), 4u);
}

// A line of /proc/.../status as a number.
uint64_t status_of(int thread, const std::string& key) {
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stoull(line.substr(key.size() + 1), nullptr, 16);
  }
  ADD_FAILURE() << key;
  return 0;
}

constexpr int kRaisedByWork[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

TEST(CpuPool, SignalsOfTheProgramAreNotForWorkersAndThoseOfTheWorkAre) {
  std::set<int> before = threads_before();
  Model model(model_case(4, 16 * kRange));
  ASSERT_TRUE(model.step(1.0));
  for (int worker : workers_since(before)) {
    // A thread that has not begun yet has all of them blocked, by the C library.
    uint64_t blocked = status_of(worker, "SigBlk");
    for (int wait = 0; wait < 5000 && (blocked >> (SIGSEGV - 1) & 1) != 0; ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      blocked = status_of(worker, "SigBlk");
    }
    auto is_blocked = [&](int signal) { return (blocked >> (signal - 1) & 1) != 0; };
    for (int signal : kRaisedByWork) EXPECT_FALSE(is_blocked(signal)) << signal;
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2, SIGPROF, SIGVTALRM}) {
      EXPECT_TRUE(is_blocked(signal)) << signal;
    }
  }
}

TEST(CpuPool, TheCallersSignalMaskStays) {
  for (bool some_are_blocked : {false, true}) {
    sigset_t mask, after;
    sigemptyset(&mask);
    if (some_are_blocked) {
      sigaddset(&mask, SIGUSR1);
      sigaddset(&mask, SIGSEGV);
    }
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &mask, nullptr), 0);
    Model model(model_case(3, 16 * kRange));
    EXPECT_TRUE(model.step(1.0));
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
      EXPECT_EQ(sigismember(&after, signal), sigismember(&mask, signal)) << signal;
    }
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  }
}

constexpr int64_t kPagesOfARange = kRange / 1024;

Visitors first_job, second_job;
std::atomic<bool> in_vain{false};

TEST(CpuPool, PagesMayBeServedByAHandler) {
  constexpr int64_t kElements = 4 * kRange;
  Pager pager(kElements * sizeof(float), [](int64_t) {
    first_job.add();
    if (!in_vain && !first_job.wait_for(2)) in_vain = true;  // the caller gives the worker time to come
  });
  FlatPlan plan(2, kElements, pager.floats());
  EXPECT_EQ(plan.step(), SWD_OK);
  EXPECT_FALSE(in_vain);
  EXPECT_EQ(first_job.count(), 2) << "two threads, and not more";
}

// A fault that nobody mends, in a worker: the reporter of crashes runs there and to its end, which here is exit code 7.
TEST(CpuPool, AFaultInAWorkerIsReported) {
  constexpr int64_t kElements = 4 * kRange;
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    new (&first_job) Visitors;
    Pager pager(kElements * sizeof(float), [](int64_t) {
      first_job.add();
      bool in_worker = syscall(SYS_gettid) != getpid();
      if (in_worker) _exit(first_job.wait_for(2) ? 7 : 8);
      timespec minute = {60, 0};
      nanosleep(&minute, nullptr);  // the caller's first page: until the worker has come
      _exit(9);
    });
    FlatPlan plan(2, kElements, pager.floats());
    plan.step();
    _exit(10);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// Ranges of the first job are held until the second one has a helper, which must come from the first.
TEST(CpuPool, TwoRunsAtOnceShareIt) {
  constexpr int64_t kElements = 16 * kRange;
  new (&first_job) Visitors;
  Pager pager(2 * kElements * sizeof(float), [](int64_t page) {
    bool first = page < 16 * kPagesOfARange;
    (first ? first_job : second_job).add();
    bool early = first && page < 3 * kPagesOfARange;  // what the first three threads take
    if (!in_vain && !second_job.wait_for(early ? 1 : 2)) in_vain = true;
  });
  FlatPlan first(3, kElements, pager.floats()), second(3, kElements, pager.floats() + kElements);
  std::thread other([&] {
    EXPECT_TRUE(first_job.wait_for(3));
    EXPECT_EQ(second.step(), SWD_OK);
  });
  EXPECT_EQ(first.step(), SWD_OK);
  other.join();
  EXPECT_FALSE(in_vain) << "the second run was alone until the first had ended";
  EXPECT_GE(second_job.count(), 2);
}

TEST(CpuPool, WorkersRunWhereTheirCallerMay) {
  cpu_set_t all, one, seen;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  size_t last = CPU_SETSIZE - 1;
  while (!CPU_ISSET(last, &all)) --last;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  std::set<int> before = threads_before();
  Model model(model_case(2, 16 * kRange));
  model.prepare(1.0);
  for (const cpu_set_t* wanted : {&one, &all, &one, &all}) {
    ASSERT_EQ(sched_setaffinity(0, sizeof *wanted, wanted), 0);
    bool same = false;
    for (int i = 0; i < 500 && !same; ++i) {  // until the worker had a part in a step
      model.apply();
      std::set<int> workers = workers_since(before);
      ASSERT_EQ(workers.size(), 1u);
      same = sched_getaffinity(*workers.begin(), sizeof seen, &seen) == 0 && CPU_EQUAL(&seen, wanted);
    }
    EXPECT_TRUE(same);
  }
}

}  // namespace
}  // namespace swd::test
