// SPDX-License-Identifier: Apache-2.0
// The life of the library in a process: loaded and unloaded a thousand times, forked around, left without a word. This
// program is not linked with the library; each test opens it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "support/loaded.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

int64_t entries(const char* folder) {
  std::filesystem::directory_iterator found(folder);
  return std::distance(begin(found), end(found));
}

// Bytes of address space that this process has mapped.
int64_t mapped_bytes() {
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/self/statm", "r"), fclose);
  long pages = 0;
  EXPECT_EQ(fscanf(file.get(), "%ld", &pages), 1);
  return int64_t{pages} * sysconf(_SC_PAGESIZE);
}

bool is_loaded() {
  void* handle = dlopen(SWD_TEST_LIBRARY, RTLD_NOW | RTLD_NOLOAD);
  if (handle) dlclose(handle);
  return handle != nullptr;
}

TEST(CpuLoading, AThousandTimes) {
  ASSERT_FALSE(is_loaded()) << "this program must not be linked with the library";
  std::thread([] {}).join();  // a checking tool may start a thread of its own with the first one
  int64_t threads = entries("/proc/self/task"), files = entries("/proc/self/fd"), mapped = 0;
  size_t heap = 0;
  for (int cycle = 0; cycle < shortened(1000, 200); ++cycle) {
    {
      Library library;
      Training training(library);
      ASSERT_TRUE(training.step());
      if (cycle % 100 == 0)
        EXPECT_GT(entries("/proc/self/task"), threads) << "no thread was started: this shows nothing";
      swd_plan* none = nullptr;
      EXPECT_EQ(library.function<decltype(swd_plan_create)>("swd_plan_create")(nullptr, &none), SWD_ERR_NULL);
    }
    ASSERT_FALSE(is_loaded()) << "something keeps the library from being unloaded";
    if (cycle == 100) {
      mapped = mapped_bytes();
      heap = mallinfo2().uordblks;
    }
  }
  // One that was joined is listed a moment longer.
  for (int i = 0; i < 100 && entries("/proc/self/task") != threads; ++i) usleep(10000);
  EXPECT_EQ(entries("/proc/self/task"), threads);
  EXPECT_EQ(entries("/proc/self/fd"), files);
  EXPECT_LT(mallinfo2().uordblks, heap + 900 * 16) << "900 cycles";
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // which map memory for each thread and load
  EXPECT_LT(mapped_bytes(), mapped + (64 << 20)) << "900 cycles; the C library keeps up to 40 MB of stacks for later";
#endif
}

// What f does in a child; true if it ended by itself, with code 0.
template <class F>
bool in_child(const F& f) {
  pid_t child = fork();
  if (child == 0) {
    alarm(30);
    f();
    _exit(9);
  }
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

TEST(CpuLoading, ForkBetweenLoadingAndFirstUse) {
  Library library;
  EXPECT_TRUE(in_child([&] { _exit(Training(library).step() ? 0 : 1); }));
  Training training(library);
  EXPECT_TRUE(in_child([&] { _exit(training.step() ? 0 : 1); }));
  EXPECT_TRUE(training.step());
  EXPECT_TRUE(in_child([&] { _exit(training.step() ? 0 : 1); }));
  EXPECT_TRUE(training.step());
}

TEST(CpuLoading, ExitWithALivePool) {
  EXPECT_TRUE(in_child([] {
    static Library* library = new Library;  // neither is ever destroyed: the workers' code must stay
    static Training* training = new Training(*library);
    exit(training->step() ? 0 : 1);
  }));
  EXPECT_TRUE(in_child([] {
    static Library library;
    static Training training(library);  // destroyed by exit, the library after it
    exit(training.step() ? 0 : 1);
  }));
}

TEST(CpuLoading, ExitWhileAnotherThreadSteps) {
  for (int round = 0; round < 10; ++round) {
    EXPECT_TRUE(in_child([round] {
      static Library* library = new Library;
      static Training* training = new Training(*library);
      if (!training->step()) _exit(1);
      std::thread([] {
        for (;;) training->step();
      }).detach();
      usleep(static_cast<useconds_t>(300 * round));
      exit(0);
    }));
  }
}

// A thread that used the library ends after it is gone: what it kept of the thread must not be code.
TEST(CpuLoading, AThreadOutlivesTheLibrary) {
  auto library = std::make_unique<Library>();
  int turn = 0;
  std::mutex guard;
  std::condition_variable changed;
  auto pass = [&](int next) {
    std::lock_guard<std::mutex> lock(guard);
    turn = next;
    changed.notify_all();
  };
  auto wait_for = [&](int mine) {
    std::unique_lock<std::mutex> lock(guard);
    changed.wait(lock, [&] { return turn == mine; });
  };
  std::thread user([&] {
    swd_plan* none = nullptr;
    library->function<decltype(swd_plan_create)>("swd_plan_create")(nullptr, &none);  // leaves an error text
    EXPECT_TRUE(Training(*library).step());
    pass(1);
    wait_for(2);
  });
  wait_for(1);
  library.reset();
  EXPECT_FALSE(is_loaded());
  pass(2);
  user.join();
}

}  // namespace
}  // namespace swd::test
