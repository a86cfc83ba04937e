// SPDX-License-Identifier: Apache-2.0
// The thread pool of the CPU backend. A run opens seats; a worker that finds one free joins the run, the others go on
// waiting; the caller works too, closes the seats when nothing is left and waits for those who sit.
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <new>
#include <thread>

namespace swd::cpu {
namespace {

constexpr int kMostThreads = 1024;
// The runs of a step follow each other closely: a worker looks out for the next one for some 20 us before it sleeps.
constexpr int kSpins = 1000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int available_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  unsigned int cores = std::thread::hardware_concurrency();
  return cores == 0 ? 1 : static_cast<int>(cores);
}

}  // namespace

struct Pool::Shared {
  int threads = 1;  // the caller's included

  std::mutex in_use;              // held by the one caller inside run()
  std::atomic<pid_t> process{0};  // that started the workers; 0: not started
  int workers = 0;                // that started; written once, under in_use
  pthread_t handles[kMostThreads];

  // The job. Written under `guard` before seats open; unchanged while seats are open or taken.
  int64_t count = 0;
  int64_t grain = 1;
  void (*body)(void*, int64_t, int64_t) = nullptr;
  void* context = nullptr;
  alignas(64) std::atomic<int64_t> next{0};

  // Who waits and who works. Under `guard`; jobs and seated also read without it while spinning.
  alignas(64) pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t job_posted = PTHREAD_COND_INITIALIZER;
  pthread_cond_t job_done = PTHREAD_COND_INITIALIZER;
  std::atomic<uint64_t> jobs{0};  // counts runs
  std::atomic<int> seated{0};     // workers inside the current job
  int seats = 0;                  // workers that may still join it
  int sleeping = 0;
  bool stopping = false;

  void work();
  void worker();
  void start();
  void post(int wanted);
  void finish();
};

// Takes ranges until none is left.
void Pool::Shared::work() {
  for (;;) {
    int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
    if (begin >= count) return;
    body(context, begin, count - begin < grain ? count : begin + grain);
  }
}

void Pool::Shared::worker() {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && jobs.load(std::memory_order_relaxed) == seen; ++i) relax();
    pthread_mutex_lock(&guard);
    while (jobs.load(std::memory_order_relaxed) == seen && !stopping) {
      ++sleeping;
      pthread_cond_wait(&job_posted, &guard);
      --sleeping;
    }
    seen = jobs.load(std::memory_order_relaxed);
    bool stop = stopping, joins = seats > 0;
    if (joins) {
      --seats;
      seated.fetch_add(1, std::memory_order_relaxed);
    }
    pthread_mutex_unlock(&guard);
    if (stop) return;
    if (!joins) continue;
    work();
    pthread_mutex_lock(&guard);
    bool last = seated.fetch_sub(1, std::memory_order_relaxed) == 1;
    if (last && seats == 0) pthread_cond_signal(&job_done);
    pthread_mutex_unlock(&guard);
  }
}

// Signals of the host program are not for our workers.
void Pool::Shared::start() {
  process.store(getpid(), std::memory_order_relaxed);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto entry = [](void* self) -> void* {
    static_cast<Shared*>(self)->worker();
    return nullptr;
  };
  while (workers < threads - 1 && pthread_create(&handles[workers], nullptr, entry, this) == 0) ++workers;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::Shared::post(int wanted) {
  pthread_mutex_lock(&guard);
  next.store(0, std::memory_order_relaxed);
  seats = wanted;
  jobs.fetch_add(1, std::memory_order_relaxed);
  if (wanted < sleeping) {
    for (int i = 0; i < wanted; ++i) pthread_cond_signal(&job_posted);
  } else if (sleeping > 0) {
    pthread_cond_broadcast(&job_posted);
  }
  pthread_mutex_unlock(&guard);
}

// The lock orders what the workers wrote before the caller's return.
void Pool::Shared::finish() {
  for (int i = 0; i < kSpins && seated.load(std::memory_order_relaxed) != 0; ++i) relax();
  pthread_mutex_lock(&guard);
  seats = 0;
  while (seated.load(std::memory_order_relaxed) != 0) pthread_cond_wait(&job_done, &guard);
  pthread_mutex_unlock(&guard);
}

Pool::Pool(int threads) : shared_(new Shared) {
  if (threads == 0) threads = available_cores();
  shared_->threads = threads < kMostThreads ? threads : kMostThreads;
}

int Pool::threads() const { return shared_->threads; }

Pool::~Pool() {
  pid_t process = shared_->process.load(std::memory_order_relaxed);
  if (process != 0 && process != getpid()) {
    // After a fork the workers are not here. Their mutexes and conditions may be held for ever: only free the memory.
    ::operator delete (shared_.release(), std::align_val_t{alignof(Shared)});
    return;
  }
  pthread_mutex_lock(&shared_->guard);
  shared_->stopping = true;
  pthread_cond_broadcast(&shared_->job_posted);
  pthread_mutex_unlock(&shared_->guard);
  for (int i = 0; i < shared_->workers; ++i) pthread_join(shared_->handles[i], nullptr);
}

void Pool::run(int64_t count, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) noexcept {
  if (count <= 0) return;
  Shared& pool = *shared_;
  int64_t ranges = count / grain + (count % grain != 0);
  pid_t process = pool.process.load(std::memory_order_relaxed);
  bool alone = ranges == 1 || pool.threads <= 1 || (process != 0 && process != getpid());
  std::unique_lock<std::mutex> in_use(pool.in_use, std::defer_lock);
  if (alone || !in_use.try_lock()) {
    body(context, 0, count);
    return;
  }
  if (process == 0 && pool.process.load(std::memory_order_relaxed) == 0) pool.start();
  pool.count = count;
  pool.grain = grain;
  pool.body = body;
  pool.context = context;
  int64_t wanted = ranges - 1 < pool.workers ? ranges - 1 : pool.workers;
  pool.post(static_cast<int>(wanted));
  pool.work();
  pool.finish();
}

}  // namespace swd::cpu
