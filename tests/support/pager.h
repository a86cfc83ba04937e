// SPDX-License-Identifier: Apache-2.0
// Memory whose pages come when they are touched, as a program with lazy loading or write barriers has it: a handler of
// SIGSEGV makes them accessible. It sees which thread touches which page first. One pager at a time.
#pragma once
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace swd::test {

class Pager {
 public:
  // Called in the thread that touched page `page`, before it goes on. May use what a signal handler may use.
  using Seen = void (*)(int64_t page);

  Pager(size_t bytes, Seen seen) : bytes_(bytes), seen_(seen) {
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base_ = memory == MAP_FAILED ? nullptr : static_cast<uint8_t*>(memory);
    current() = this;
    struct sigaction action = {};
    action.sa_sigaction = serve;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &before_);
  }
  ~Pager() {
    sigaction(SIGSEGV, &before_, nullptr);
    current() = nullptr;
    munmap(base_, bytes_);
  }
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  float* floats() { return reinterpret_cast<float*>(base_); }

 private:
  static constexpr size_t kPage = 4096;

  static Pager*& current() {
    static Pager* pager = nullptr;
    return pager;
  }
  static void serve(int, siginfo_t* info, void*) {
    Pager* pager = current();
    uint8_t* at = static_cast<uint8_t*>(info->si_addr);
    if (!pager || at < pager->base_ || at >= pager->base_ + pager->bytes_) _exit(3);  // a fault of somebody else
    size_t page = static_cast<size_t>(at - pager->base_) / kPage;
    pager->seen_(static_cast<int64_t>(page));
    mprotect(pager->base_ + page * kPage, kPage, PROT_READ | PROT_WRITE);
  }

  size_t bytes_;
  Seen seen_;
  uint8_t* base_;
  struct sigaction before_ = {};
};

// The threads that were seen at one place.
class Visitors {
 public:
  void add() {
    int thread = static_cast<int>(syscall(SYS_gettid));
    for (std::atomic<int>& known : threads_) {
      int free = 0;
      if (known.compare_exchange_strong(free, thread) || free == thread) return;
    }
  }
  int count() const {
    int n = 0;
    while (n < kMost && threads_[n].load() != 0) ++n;
    return n;
  }
  // Until so many were seen; false after half a minute.
  bool wait_for(int wanted) const {
    for (int i = 0; i < 30000 && count() < wanted; ++i) {
      timespec millisecond = {0, 1000000};
      nanosleep(&millisecond, nullptr);
    }
    return count() >= wanted;
  }

 private:
  static constexpr int kMost = 64;
  std::atomic<int> threads_[kMost] = {};
};

}  // namespace swd::test
