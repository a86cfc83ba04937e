// SPDX-License-Identifier: Apache-2.0
// Steps over more elements than 32 bits can count, against a small run: gradients and parameters repeat with a period,
// so every element of the large run has to equal the one of the small run at its place in the period. Two segments, so
// that the second one starts past 2^32. A program of its own, since it needs most of a large device's memory:
// cuda_large [elements] [grad dtype: 1 fp32, 2 bf16] [corrupt]. Called by scripts/gpu.sh and, small, by ctest.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/runner.h"

namespace swd::test {
namespace {

constexpr int64_t kPeriod = 1000003;       // a prime: an index that lost its high bits lands on another value
constexpr int64_t kWindow = 16 * kPeriod;  // elements compared at a time
constexpr int kSteps = 2;

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

void ok(swd_status status) { require(status == SWD_OK, swd_error_detail()); }

// Gradients are multiples of 1/4 up to 2 in magnitude, so that sums of squares are exact in any order.
std::vector<float> gradients(int step) {
  std::vector<float> g(static_cast<size_t>(kPeriod));
  for (size_t i = 0; i < g.size(); ++i) {
    float magnitude = 0.25f * static_cast<float>(1 + mix(i + static_cast<uint64_t>(step) * 7919u) % 8);
    g[i] = mix(i ^ 0x55) % 2 ? magnitude : -magnitude;
  }
  return g;
}

double sum_of_squares(const std::vector<float>& g, int64_t elements) {
  double period = 0.0, rest = 0.0;
  for (int64_t i = 0; i < kPeriod; ++i) {
    double square = static_cast<double>(g[static_cast<size_t>(i)]) * static_cast<double>(g[static_cast<size_t>(i)]);
    period += square;
    if (i < elements % kPeriod) rest += square;
  }
  return period * static_cast<double>(elements / kPeriod) + rest;
}

std::vector<uint8_t> encoded(const std::vector<float>& x, swd_dtype dtype) {
  std::vector<uint8_t> bytes(x.size() * element_bytes(dtype));
  for (size_t i = 0; i < x.size(); ++i) {
    uint32_t bits = dtype == SWD_DTYPE_F32 ? bits_of(x[i]) : nearest_code(dtype, x[i]);  // little-endian
    memcpy(bytes.data() + element_bytes(dtype) * i, &bits, element_bytes(dtype));
  }
  return bytes;
}

// The period, repeated over the buffer: written once, then doubled on the device.
void fill(DeviceBuffer& buffer, const std::vector<uint8_t>& period) {
  uint64_t filled = std::min<uint64_t>(period.size(), buffer.bytes());
  buffer.write(0, period.data(), filled);
  while (filled < buffer.bytes()) {
    uint64_t more = std::min(filled, buffer.bytes() - filled);
    check(cudaMemcpyAsync(buffer.data() + filled, buffer.data(), more, cudaMemcpyDeviceToDevice,
                          static_cast<cudaStream_t>(test_stream(SWD_BACKEND_CUDA))),
          "cudaMemcpyAsync");
    filled += more;
  }
}

// A plan of two segments with its buffers.
struct Model {
  swd_backend backend;
  swd_plan* plan = nullptr;
  swd_buffers buffers = SWD_BUFFERS_INIT;
  std::unique_ptr<DeviceBuffer> param, grad, exp_avg, exp_avg_sq, state, workspace;

  Model(swd_backend where, int64_t elements, int64_t second, swd_dtype dtype) : backend(where) {
    swd_segment segments[2] = {{0, elements - second, 0, 0, 0}, {elements - second, second, 0, 0, 0}};
    swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = backend;
    args.grad_dtype = dtype;
    args.segments = segments;
    args.segment_count = 2;
    args.decay_modes = &decay;
    args.group_count = 1;
    ok(swd_plan_create(&args, &plan));
    uint64_t n = static_cast<uint64_t>(elements), bytes = 0;
    auto make = [&](uint64_t size) { return std::make_unique<DeviceBuffer>(backend, size, 0, Poison::kCanaries); };
    for (auto* array : {&param, &exp_avg, &exp_avg_sq}) *array = make(4 * n);
    grad = make(n * element_bytes(dtype));
    ok(swd_state_size(plan, &bytes));
    state = std::make_unique<DeviceBuffer>(backend, bytes);
    state->fill(0);
    ok(swd_workspace_size(plan, &bytes));
    workspace = std::make_unique<DeviceBuffer>(backend, bytes);
    ok(swd_workspace_init(plan, workspace->data(), bytes, test_stream(backend)));
    buffers.param = param->data();
    buffers.grad = grad->data();
    buffers.exp_avg = exp_avg->data();
    buffers.exp_avg_sq = exp_avg_sq->data();
    buffers.state = state->data();
    buffers.state_bytes = state->bytes();
    buffers.workspace = workspace->data();
    buffers.workspace_bytes = workspace->bytes();
  }
  ~Model() { (void)swd_plan_destroy(plan); }

  swd_step_args step_args(const swd_group* group) const {
    swd_step_args args = SWD_STEP_ARGS_INIT;
    args.groups = group;
    args.group_count = 1;
    args.max_grad_norm = 0.5;
    return args;
  }
  swd_stats stats() const {
    swd_stats out{};
    ok(swd_stats_fetch(plan, workspace->data(), &out, sizeof out, nullptr, test_stream(backend)));
    synchronize(backend);
    return out;
  }
};

// Compares every element, in windows; says where the first difference is.
void compare(const DeviceBuffer& large, const std::vector<uint8_t>& period, const char* name) {
  uint64_t width = 4, window = static_cast<uint64_t>(kWindow) * width;
  void* host = nullptr;
  check(cudaMallocHost(&host, window), "cudaMallocHost");
  std::string difference;
  for (uint64_t at = 0; at < large.bytes() && difference.empty(); at += window) {
    uint64_t bytes = std::min(window, large.bytes() - at);
    large.read(at, host, bytes);
    for (uint64_t from = 0; from < bytes && difference.empty(); from += period.size()) {
      uint64_t part = std::min<uint64_t>(period.size(), bytes - from);
      const uint8_t* seen = static_cast<const uint8_t*>(host) + from;
      if (memcmp(seen, period.data(), part) == 0) continue;
      uint64_t i = 0;
      while (seen[i] == period[i]) ++i;
      difference = std::string(name) + " differs at element " + std::to_string((at + from + i) / width);
    }
  }
  check(cudaFreeHost(host), "cudaFreeHost");
  require(difference.empty(), difference);
}

void run(int64_t elements, swd_dtype dtype, bool corrupt) {
  const int64_t second = elements / 1000 + 4097;
  Model large(SWD_BACKEND_CUDA, elements, second, dtype), small(SWD_BACKEND_CPU, kPeriod, kPeriod / 2, dtype);
  std::vector<float> start = uniform(1, 0, kPeriod);
  fill(*large.param, encoded(start, SWD_DTYPE_F32));
  small.param->write(0, start.data(), 4 * start.size());
  std::vector<uint8_t> zeros(4 * static_cast<size_t>(kPeriod));
  for (auto* array : {large.exp_avg.get(), large.exp_avg_sq.get()}) fill(*array, zeros);
  for (auto* array : {small.exp_avg.get(), small.exp_avg_sq.get()}) array->write(0, zeros.data(), zeros.size());
  swd_group group = SWD_GROUP_INIT;
  group.weight_decay = 1e-6;
  swd_step_args args = large.step_args(&group);
  void* stream = test_stream(SWD_BACKEND_CUDA);
  for (int t = 1; t <= kSteps; ++t) {
    std::vector<float> g = gradients(t);
    std::vector<uint8_t> codes = encoded(g, dtype);
    fill(*large.grad, codes);
    small.grad->write(0, codes.data(), codes.size());
    DeviceRecord record(SWD_BACKEND_CUDA);
    ok(swd_reduce(large.plan, &large.buffers, &args, SWD_PHASE_GRAD, 0, 2, stream));
    ok(swd_fold(large.plan, &large.buffers, &args, SWD_PHASE_GRAD, record.pointer(), kRecordDoubles, stream));
    swd_norm_record seen = record.get();
    require(
        seen.sum_sq == sum_of_squares(g, elements),
        "sum of squares: " + std::to_string(seen.sum_sq) + ", expected " + std::to_string(sum_of_squares(g, elements)));
    require(seen.count == static_cast<double>(elements) && seen.bad == 0.0, "the record miscounts");
    ok(swd_step(large.plan, &large.buffers, &args, stream));  // reduces again: the same bits
    swd_stats stats = large.stats();
    require(stats.result == SWD_RESULT_APPLIED && stats.clip_coef < 1.0 && stats.largest_decay > 0.0,
            "no clip, no decay");
    // The small run is a shard of the large one: it steps by the large run's record.
    ok(swd_reduce(small.plan, &small.buffers, &args, SWD_PHASE_GRAD, 0, 2, nullptr));
    double shared[kRecordDoubles] = {};
    memcpy(shared, &seen, sizeof seen);
    ok(swd_decide(small.plan, &small.buffers, &args, SWD_PHASE_GRAD, shared, kRecordDoubles, nullptr));
    ok(swd_update(small.plan, &small.buffers, &args, nullptr));
    printf("step %d of %lld elements: norm %.6g, clip %.3g, decay %.3g\n", t, static_cast<long long>(elements),
           stats.grad_norm, stats.clip_coef, stats.largest_decay);
  }
  if (corrupt) {  // the last element, by one bit: shows that the comparison reaches it
    uint64_t last = large.exp_avg_sq->bytes() - 4;
    uint32_t word = 0;
    large.exp_avg_sq->read(last, &word, 4);
    word ^= 1u;
    large.exp_avg_sq->write(last, &word, 4);
  }
  require(small.param->read_all() != encoded(start, SWD_DTYPE_F32), "the parameters did not move");
  compare(*large.param, small.param->read_all(), "param");
  compare(*large.exp_avg, small.exp_avg->read_all(), "exp_avg");
  compare(*large.exp_avg_sq, small.exp_avg_sq->read_all(), "exp_avg_sq");
  for (auto* array : {&large.param, &large.grad, &large.exp_avg, &large.exp_avg_sq, &large.state, &large.workspace}) {
    require((*array)->canaries_intact(), "memory outside a buffer was written");
  }
  printf("all %lld elements equal the small run\n", static_cast<long long>(elements));
}

}  // namespace
}  // namespace swd::test
int main(int argc, char** argv) {
  try {
    int64_t elements = argc > 1 ? std::stoll(argv[1]) : (int64_t{1} << 32) + (int64_t{1} << 23);
    swd_dtype dtype = argc > 2 ? static_cast<swd_dtype>(std::stoi(argv[2])) : SWD_DTYPE_F32;
    swd::test::run(elements, dtype, argc > 3 && std::string(argv[3]) == "corrupt");
  } catch (const std::exception& error) {
    fprintf(stderr, "cuda_large: %s\n", error.what());
    return 1;
  }
  return ::testing::Test::HasFailure() ? 1 : 0;
}
