// SPDX-License-Identifier: Apache-2.0
// Pass 1 on one thread beside what a program would write itself: a sum of squares in fp64, read in one stream, compiled
// for this machine. Usage: plain_norm [ELEMENTS [ROUNDS]], by default 10.8 million, which no second cache holds,
// and 60. The two take turns; prints the quartiles of both and of their ratio.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "swd/swd.hpp"

namespace {

using Clock = std::chrono::steady_clock;

// In lanes, so that it becomes vector code; 32 were the fastest of 4 to 32.
double plain_sum_of_squares(const float* x, size_t count) {
  constexpr size_t kLanes = 32;
  double lanes[kLanes] = {}, sum = 0.0;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(x[i + j]) * x[i + j];
  }
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  for (double lane : lanes) sum += lane;
  return sum;
}

void print_quartiles(const char* name, std::vector<double>& times, const char* unit) {
  std::sort(times.begin(), times.end());
  size_t n = times.size();
  std::printf("%-10s %7.3f %7.3f %7.3f %s\n", name, times[n / 4], times[n / 2], times[n * 3 / 4], unit);
}

}  // namespace

int main(int argc, char** argv) {
  long count = argc > 1 ? std::atol(argv[1]) : 10800000, rounds = argc > 2 ? std::atol(argv[2]) : 60;
  if (count < 1 || rounds < 4) return std::fprintf(stderr, "usage: plain_norm [ELEMENTS [ROUNDS]]\n"), 2;
  std::vector<float> grad(static_cast<size_t>(count));
  uint32_t x = 1;
  for (float& g : grad) g = static_cast<float>(static_cast<int32_t>(x = x * 1664525u + 1013904223u)) * 0x1p-40f;

  swd_segment segment{};
  segment.count = count;
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.segments = &segment;
  plan_args.segment_count = 1;
  plan_args.threads = 1;
  swd::Plan plan(plan_args);
  swd::State state(plan);
  swd::Workspace workspace(plan);
  swd_buffers buffers = swd::buffers(state, workspace);
  buffers.grad = grad.data();
  std::vector<float> param(grad.size()), exp_avg(grad.size()), exp_avg_sq(grad.size());
  buffers.param = param.data(), buffers.exp_avg = exp_avg.data(), buffers.exp_avg_sq = exp_avg_sq.data();
  swd_group group = SWD_GROUP_INIT;
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;

  std::vector<double> plain, pass1, ratio;
  volatile double sum = 0.0;
  for (long round = 0; round < rounds; ++round) {
    auto begun = Clock::now();
    sum = plain_sum_of_squares(grad.data(), grad.size());
    auto between = Clock::now();
    swd::check(swd_reduce(plan, &buffers, &args, SWD_PHASE_GRAD, 0, 1, nullptr));
    auto end = Clock::now();
    if (round < rounds / 4) continue;  // pages and caches
    plain.push_back(std::chrono::duration<double, std::milli>(between - begun).count());
    pass1.push_back(std::chrono::duration<double, std::milli>(end - between).count());
    ratio.push_back(pass1.back() / plain.back());
  }
  std::printf("%ld elements, one thread; quartiles (the plain sum: %.9g)\n", count, sum);
  print_quartiles("plain", plain, "ms");
  print_quartiles("swd_reduce", pass1, "ms");
  print_quartiles("ratio", ratio, "");
}
