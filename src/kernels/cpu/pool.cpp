// SPDX-License-Identifier: Apache-2.0
// Jobs and who works on them. How workers begin and end is in pool_life.cpp.
#include "pool.h"

#include "float_environment.h"

namespace swd::cpu {
namespace {

// The runs of a step follow each other closely: a worker looks out for the next one for some 20 us before it sleeps.
constexpr int kSpins = 1000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Pool::join_queue(Job& job) {
  Job** link = &first;
  while (*link) link = &(*link)->behind;
  job.behind = nullptr;
  *link = &job;
}

void Pool::leave_queue(Job& job) {
  Job** link = &first;
  while (*link && *link != &job) link = &(*link)->behind;
  if (*link) *link = job.behind;
}

// The job goes behind the others: the next worker sits down elsewhere, if it can.
Job* Pool::sit_down() {
  Job* job = first;
  while (job && (job->seats == 0 || !job->has_work())) job = job->behind;
  if (!job) return nullptr;
  leave_queue(*job);
  join_queue(*job);
  job->seats -= 1;
  job->seated.fetch_add(1, std::memory_order_relaxed);
  return job;
}

void Pool::stand_up(Job& job) {
  job.seats += 1;
  if (job.seated.fetch_sub(1, std::memory_order_relaxed) == 1) pthread_cond_broadcast(&left);
}

// Until something is posted; may end earlier.
void Pool::rest() {
  uint64_t seen = posts.load(std::memory_order_relaxed);
  pthread_mutex_unlock(&guard);
  for (int i = 0; i < kSpins && posts.load(std::memory_order_relaxed) == seen; ++i) relax();
  pthread_mutex_lock(&guard);
  if (posts.load(std::memory_order_relaxed) != seen) return;
  ++sleeping;
  pthread_cond_wait(&posted, &guard);
  --sleeping;
}

// Takes ranges until none is left. Where several jobs wait, a worker looks at the others after each.
void Pool::work_on(Job& job, bool as_worker) {
  FloatEnvironment environment;
  do {
    int64_t begin = job.next.fetch_add(job.grain, std::memory_order_relaxed);
    if (begin >= job.end) return;
    job.loop(job.context, begin, job.end - begin < job.grain ? job.end : begin + job.grain);
  } while (!as_worker || jobs.load(std::memory_order_relaxed) <= 1);
}

void Pool::serve(uint64_t mine) {
  Cores cores = cores_of_this_thread();
  pthread_mutex_lock(&guard);
  while (mine == shift) {
    Job* job = sit_down();
    if (!job) {
      rest();
      continue;
    }
    pthread_mutex_unlock(&guard);
    run_on(job->cores, cores);
    work_on(*job, true);
    pthread_mutex_lock(&guard);
    stand_up(*job);
  }
  pthread_mutex_unlock(&guard);
}

void Pool::post(Job& job, int wanted) {
  pthread_mutex_lock(&guard);
  start(wanted);
  job.seats = wanted;
  join_queue(job);
  jobs.fetch_add(1, std::memory_order_relaxed);
  posts.fetch_add(1, std::memory_order_relaxed);
  if (wanted < sleeping) {
    for (int i = 0; i < wanted; ++i) pthread_cond_signal(&posted);
  } else if (sleeping > 0) {
    pthread_cond_broadcast(&posted);
  }
  pthread_mutex_unlock(&guard);
}

// The lock orders what the workers wrote before the caller's return.
void Pool::finish(Job& job) {
  for (int i = 0; i < kSpins && job.seated.load(std::memory_order_relaxed) != 0; ++i) relax();
  pthread_mutex_lock(&guard);
  leave_queue(job);
  jobs.fetch_sub(1, std::memory_order_relaxed);
  while (job.seated.load(std::memory_order_relaxed) != 0) pthread_cond_wait(&left, &guard);
  pthread_mutex_unlock(&guard);
}

}  // namespace swd::cpu
