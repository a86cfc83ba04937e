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
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "swd/swd.h"

namespace swd::test {
namespace {

constexpr int64_t kElements = 70000;  // two ranges of the pool, so that a step starts threads

class Library {
 public:
  Library() : handle_(dlopen(SWD_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) ADD_FAILURE() << dlerror();
  }
  ~Library() {
    if (handle_) EXPECT_EQ(dlclose(handle_), 0);
  }
  template <class F>
  F* function(const char* name) const {
    return reinterpret_cast<F*>(dlsym(handle_, name));
  }

 private:
  void* handle_;
};

// A plan and its buffers, through the functions of one loaded library.
class Training {
 public:
  explicit Training(const Library& l) : library_(l), p_(kElements, 1.0f), g_(kElements, 0.5f), m_(kElements), v_(kElements) {
    swd_segment segment{0, kElements, 0, 0, 0};
    const swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.segments = &segment;
    args.segment_count = 1;
    args.decay_modes = &decay;
    args.group_count = 1;
    args.threads = 3;
    good_ = l.function<decltype(swd_plan_create)>("swd_plan_create")(&args, &plan_) == SWD_OK;
    uint64_t bytes = 0;
    good_ = good_ && l.function<decltype(swd_workspace_size)>("swd_workspace_size")(plan_, &bytes) == SWD_OK;
    workspace_.resize(bytes / 16);
    good_ = good_ && l.function<decltype(swd_workspace_init)>("swd_workspace_init")(plan_, workspace_.data(), bytes, nullptr) == SWD_OK;
    step_ = l.function<decltype(swd_step)>("swd_step");
  }
  ~Training() { library_.function<decltype(swd_plan_destroy)>("swd_plan_destroy")(plan_); }

  bool step() {
    swd_buffers b = SWD_BUFFERS_INIT;
    b.param = p_.data();
    b.grad = g_.data();
    b.exp_avg = m_.data();
    b.exp_avg_sq = v_.data();
    b.state = state_;
    b.state_bytes = sizeof state_;
    b.workspace = workspace_.data();
    b.workspace_bytes = 16 * workspace_.size();
    swd_group group = SWD_GROUP_INIT;
    swd_step_args a = SWD_STEP_ARGS_INIT;
    a.groups = &group;
    a.group_count = 1;
    float before = p_.back();
    return good_ && step_(plan_, &b, &a, nullptr) == SWD_OK && p_.back() < before;
  }

 private:
  struct alignas(16) Block {
    uint8_t bytes[16];
  };
  const Library& library_;
  std::vector<float> p_, g_, m_, v_;
  std::vector<Block> workspace_;
  Block state_[2] = {};
  swd_plan* plan_ = nullptr;
  decltype(swd_step)* step_ = nullptr;
  bool good_ = false;
};

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
  int64_t threads = entries("/proc/self/task"), files = entries("/proc/self/fd"), mapped = 0;
  size_t heap = 0;
  for (int cycle = 0; cycle < 1000; ++cycle) {
    {
      Library library;
      Training training(library);
      ASSERT_TRUE(training.step());
      if (cycle % 100 == 0) EXPECT_GT(entries("/proc/self/task"), threads) << "no thread was started: this shows nothing";
      swd_plan* none = nullptr;
      EXPECT_EQ(library.function<decltype(swd_plan_create)>("swd_plan_create")(nullptr, &none), SWD_ERR_NULL);
    }
    ASSERT_FALSE(is_loaded()) << "something keeps the library from being unloaded";
    if (cycle == 100) {
      mapped = mapped_bytes();
      heap = mallinfo2().uordblks;
    }
  }
  EXPECT_EQ(entries("/proc/self/task"), threads);
  EXPECT_EQ(entries("/proc/self/fd"), files);
  EXPECT_LT(mallinfo2().uordblks, heap + 900 * 16) << "900 cycles";
  EXPECT_LT(mapped_bytes(), mapped + (64 << 20)) << "900 cycles; the C library keeps up to 40 MB of stacks for later";
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
    static Library library;
    static Training* training = new Training(library);  // never destroyed
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
