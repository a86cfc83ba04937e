// SPDX-License-Identifier: Apache-2.0
// Sixteen host threads at once: with plans of their own, with one plan and buffers of their own, with errors of their
// own. The bits are those of a thread alone.
#include <atomic>
#include <thread>

#include "support/runner.h"

#ifdef SWD_TEST_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace swd::test {
namespace {

constexpr size_t kThreads = 16;

RunSetup setup() {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = SWD_PLAN_UPDATE_NORMS;
  // On the CPU large enough that a step wants several threads of the plan's pool.
  s.counts = {scaled<int64_t>(200000, 5000), 33};
  s.groups[0].weight_decay = 1e-2;
  return s;
}

// A stream of a thread's own.
class Stream {
 public:
  Stream() {
#ifdef SWD_TEST_WITH_CUDA
    if (backend_under_test() == SWD_BACKEND_CUDA)
      EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
#endif
  }
  ~Stream() {
    wait();
#ifdef SWD_TEST_WITH_CUDA
    if (stream_) EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
#endif
  }
  void wait() {
#ifdef SWD_TEST_WITH_CUDA
    if (stream_) EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
#endif
  }
  void* get() const {
#ifdef SWD_TEST_WITH_CUDA
    return stream_;
#else
    return nullptr;
#endif
  }

 private:
#ifdef SWD_TEST_WITH_CUDA
  cudaStream_t stream_ = nullptr;
#endif
};

void start(Runner& r, uint64_t seed) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    r.set(SWD_BUFFER_PARAM, k, uniform(seed, k, r.setup().counts[k]));
    r.set(SWD_BUFFER_GRAD, k, uniform(seed + 100, k, r.setup().counts[k]));
  }
}

// Some steps of a plan on a runner's buffers, among them pieces and a look at the statistics.
void train(Runner& r, const swd_plan* plan) {
  Stream stream;
  swd_step_args& args = r.args();
  for (int t = 0; t < 4; ++t) EXPECT_EQ(swd_step(plan, &r.buffers, &args, stream.get()), SWD_OK) << swd_error_detail();
  EXPECT_EQ(swd_reduce(plan, &r.buffers, &args, SWD_PHASE_GRAD, 1, 1, stream.get()), SWD_OK);
  EXPECT_EQ(swd_reduce(plan, &r.buffers, &args, SWD_PHASE_GRAD, 0, 1, stream.get()), SWD_OK);
  EXPECT_EQ(swd_fold(plan, &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, stream.get()), SWD_OK);
  EXPECT_EQ(swd_decide(plan, &r.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, stream.get()), SWD_OK);
  EXPECT_EQ(swd_update(plan, &r.buffers, &args, stream.get()), SWD_OK);
  swd_stats stats{};
  EXPECT_EQ(swd_stats_fetch(plan, r.buffers.workspace, &stats, sizeof stats, nullptr, stream.get()), SWD_OK);
  stream.wait();
  EXPECT_EQ(stats.steps_applied, 5u);
}

// All threads wait for each other, so that they really run at once.
template <class F>
void at_once(const F& f) {
  std::atomic<size_t> ready{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      ready.fetch_add(1);
      while (ready.load() < kThreads) std::this_thread::yield();
      f(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::vector<std::unique_ptr<Runner>> runners() {
  std::vector<std::unique_ptr<Runner>> out;
  for (size_t i = 0; i < kThreads; ++i) {
    out.push_back(std::make_unique<Runner>(setup()));
    start(*out.back(), i);
  }
  return out;
}

void expect_as_alone(std::vector<std::unique_ptr<Runner>>& together) {
  for (size_t i = 0; i < kThreads; ++i) {
    Runner alone(setup());
    start(alone, i);
    train(alone, alone.plan());
    EXPECT_TRUE(together[i]->bytes() == alone.bytes()) << "thread " << i;
  }
}

TEST(Concurrency, SixteenThreadsWithPlansOfTheirOwn) {
  auto r = runners();
  at_once([&](size_t i) { train(*r[i], r[i]->plan()); });
  expect_as_alone(r);
}

TEST(Concurrency, SixteenThreadsShareAPlan) {
  auto r = runners();
  at_once([&](size_t i) { train(*r[i], r[0]->plan()); });
  expect_as_alone(r);
}

TEST(Concurrency, PlansAreMadeAndDestroyedByDifferentThreads) {
  std::atomic<swd_plan*> exchange[kThreads] = {};
  at_once([&](size_t i) {
    for (int round = 0; round < 50; ++round) {
      swd_segment segment{0, 1000, 0, 0, 0};
      const swd_decay decay = SWD_DECAY_SCHEDULED;
      swd_plan_args args = SWD_PLAN_ARGS_INIT;
      args.backend = backend_under_test();
      args.segments = &segment;
      args.segment_count = 1;
      args.decay_modes = &decay;
      args.group_count = 1;
      swd_plan* plan = nullptr;
      EXPECT_EQ(swd_plan_create(&args, &plan), SWD_OK);
      EXPECT_EQ(swd_plan_destroy(exchange[(i + static_cast<size_t>(round)) % kThreads].exchange(plan)), SWD_OK);
    }
  });
  for (auto& plan : exchange) EXPECT_EQ(swd_plan_destroy(plan), SWD_OK);
}

// A plan whose pool was started by one thread is destroyed by another.
TEST(Concurrency, APlanIsDestroyedByAnotherThread) {
  for (int round = 0; round < 5; ++round) {
    auto r = std::make_unique<Runner>(setup());
    start(*r, 1);
    std::thread first([&] { train(*r, r->plan()); });
    first.join();
    std::thread second([&] { r.reset(); });
    second.join();
  }
}

TEST(Concurrency, EachThreadHasItsOwnErrorText) {
  swd_plan* plan = nullptr;
  EXPECT_EQ(swd_plan_create(nullptr, &plan), SWD_ERR_NULL);
  std::string mine = swd_error_detail();
  at_once([&](size_t i) {
    EXPECT_STREQ(swd_error_detail(), "");  // nothing has failed here yet
    for (int round = 0; round < 200; ++round) {
      swd_plan_args args = SWD_PLAN_ARGS_INIT;
      args.struct_size = static_cast<uint32_t>(5000 + 1000 * i) + static_cast<uint32_t>(round);
      swd_plan* refused = nullptr;
      EXPECT_EQ(swd_plan_create(&args, &refused), SWD_ERR_STRUCT_SIZE);
      std::this_thread::yield();
      std::string text = swd_error_detail();
      EXPECT_NE(text.find("struct_size is " + std::to_string(args.struct_size) + ","), std::string::npos) << text;
      uint64_t version = swd_version();  // a call that succeeds leaves it alone
      EXPECT_GT(version + 1, 0u);
      EXPECT_EQ(text, swd_error_detail());
    }
  });
  EXPECT_EQ(mine, swd_error_detail());
}

}  // namespace
}  // namespace swd::test
