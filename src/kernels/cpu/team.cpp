// SPDX-License-Identifier: Apache-2.0
// How many threads a run gets, and how it is cut into ranges.
#include "team.h"

#include <algorithm>

#include "float_environment.h"
#include "pool.h"

namespace swd::cpu {
namespace {

// A thread gets some of the ranges of a large run, so that all end together.
constexpr int64_t kRangesPerThread = 16;

// Workers that the job can use. Sets its grain, and where they may run.
int divide(Job& job, int64_t count, Cut cut, int64_t threads, bool as_many_as_cores) {
  job.cores = cores_of_this_thread();
  if (as_many_as_cores && job.cores.count < threads) threads = job.cores.count;
  if (threads > kMostWorkers + 1) threads = kMostWorkers + 1;
  int64_t grain = count / (threads * kRangesPerThread);
  job.grain = grain < cut.fewest ? cut.fewest : grain > cut.most ? cut.most : grain;
  int64_t others = (count - 1) / job.grain;  // ranges beside the caller's first
  return static_cast<int>(others < threads - 1 ? others : threads - 1);
}

}  // namespace

int most_threads() { return std::min({cores_of_this_thread().count, default_threads(), kMostWorkers + 1}); }

Team::Team(int threads) : threads_(threads == 0 ? default_threads() : threads), by_cores_(threads == 0) {
  pool.enter_team();
  forks_ = pool.forks;
}

Team::~Team() { pool.leave_team(); }

void Team::run(int64_t begin, int64_t end, Cut cut, RangeLoop loop, const void* context) const noexcept {
  Job job{loop, context, begin, end};
  bool alone = threads_ == 1 || end - begin <= cut.fewest || forks_ != pool.forks;
  int helpers = alone ? 0 : divide(job, end - begin, cut, threads_, by_cores_);
  if (helpers == 0) {
    FloatEnvironment environment;
    if (begin < end) loop(context, begin, end);
    return;
  }
  pool.post(job, helpers);
  pool.work_on(job, false);
  pool.finish(job);
}

}  // namespace swd::cpu
