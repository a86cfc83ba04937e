// SPDX-License-Identifier: Apache-2.0
// main.c over NCCL: one process, and a rank on each CUDA device. Parameters, gradients and the norm record go from rank
// to rank in the streams that compute them: the host launches all steps and waits for no device before the end.
//
//   swd_sharded_nccl STEPS [RANKS]    by default a rank for each device that is visible
//   swd_sharded_nccl STEPS whole      not sharded, for comparison: swd_step on one device, without NCCL
//
// With a process for each rank ncclCommInitRank takes the place of ncclCommInitAll, and nothing else changes.
#include <nccl.h>

#include <cmath>
#include <deque>

#include "device_shard.h"
#include "gradient.cuh"

void check_at(const char* file, int line, ncclResult_t result) {
  if (result != ncclSuccess) end_at(file, line, ncclGetErrorString(result), ncclGetLastError(nullptr));
}

// A rank: its slice, whole parameters and gradients, padded to slices of equal size, and the data.
struct Rank : DeviceShard {
  Rank(int rank, int ranks, const samples& data) : DeviceShard(rank, ranks, model_tensors, kTensors) {
    uint64_t padded = static_cast<uint64_t>(own.size) * static_cast<uint64_t>(ranks) * sizeof(float);
    CHECK(whole_param.create(padded, kDevice));
    CHECK(whole_grad.create(padded, kDevice));
    CHECK(slope.create(kSamples * kClasses * sizeof(float), kDevice));
    CHECK(all.create(sizeof data, kDevice));
    CHECK(cudaMemcpy(all.data(), &data, sizeof data, cudaMemcpyHostToDevice));
    CHECK(cudaDeviceSynchronize());  // the rank has a stream of its own
  }

  // Of this rank's samples, at whole_param into whole_grad.
  void gradient() {
    use_device();
    constexpr int kThreads = 128;
    slope_kernel<<<(kSamples + kThreads - 1) / kThreads, kThreads, 0, stream>>>(
        of<samples>(all), rank, ranks, of<float>(whole_param), of<float>(slope));
    gradient_kernel<<<(kTotal + kThreads - 1) / kThreads, kThreads, 0, stream>>>(
        of<samples>(all), rank, ranks, of<float>(slope), of<float>(whole_grad));
    CHECK(cudaGetLastError());
  }

  swd::Memory whole_param, whole_grad, slope, all;
  ncclComm_t comm = nullptr;
};

// One collective of all ranks. This thread makes the calls of all of them, so they have to be one group: each call by
// itself would wait for the others.
template <typename Call>
void together(std::deque<Rank>& ranks, Call call) {
  CHECK(ncclGroupStart());
  for (Rank& r : ranks) CHECK(call(r));
  CHECK(ncclGroupEnd());
}

ncclResult_t gather_parameters(Rank& r) {
  return ncclAllGather(r.param, r.whole_param.data(), static_cast<size_t>(r.own.size), ncclFloat, r.comm, r.stream);
}
ncclResult_t scatter_gradients(Rank& r) {
  return ncclReduceScatter(r.whole_grad.data(), r.grad, static_cast<size_t>(r.own.size), ncclFloat, ncclSum, r.comm,
                           r.stream);
}
ncclResult_t sum_records(Rank& r) {
  return ncclAllReduce(r.record, r.record, r.record_doubles, ncclDouble, ncclSum, r.comm, r.stream);
}

void sharded_step(std::deque<Rank>& ranks, const swd_step_args& args) {
  together(ranks, gather_parameters);
  for (Rank& r : ranks) r.gradient();
  together(ranks, scatter_gradients);
  for (Rank& r : ranks) r.norm_pass(args);
  together(ranks, sum_records);
  for (Rank& r : ranks) r.decide_and_update(args);
}

// What NCCL does by copies of its own where there is one rank.
void whole_step(Rank& r, const swd_step_args& args) {
  CHECK(cudaMemcpyAsync(r.whole_param.data(), r.param, r.whole_param.bytes(), cudaMemcpyDeviceToDevice, r.stream));
  r.gradient();
  CHECK(cudaMemcpyAsync(r.grad, r.whole_grad.data(), r.whole_grad.bytes(), cudaMemcpyDeviceToDevice, r.stream));
  r.whole_step(args);
}

// Waits for all ranks. Ranks that do not step alike train different models without anyone noticing.
swd_stats agreed_stats(std::deque<Rank>& ranks) {
  swd_stats first = ranks[0].stats();
  for (Rank& r : ranks) {
    swd_stats stats = r.stats();
    ncclResult_t failure = ncclSuccess;  // of a collective, after it was launched
    if (r.comm) CHECK(ncclCommGetAsyncError(r.comm, &failure));
    CHECK(failure);
    if (std::memcmp(&stats, &first, sizeof stats) == 0) continue;
    std::fprintf(stderr, "ranks 0 and %d decided differently\n", r.rank);
    std::exit(1);
  }
  return first;
}

int main(int argc, char** argv) {
  int devices = 0, version = 0;
  CHECK(cudaGetDeviceCount(&devices));
  CHECK(ncclGetVersion(&version));
  bool whole = argc > 2 && std::strcmp(argv[2], "whole") == 0;
  int count = whole ? 1 : argc > 2 ? std::atoi(argv[2]) : devices, steps = argc > 1 ? std::atoi(argv[1]) : 0;
  if (steps < 1 || count < 1 || count > devices) {
    std::fprintf(stderr, "usage: swd_sharded_nccl STEPS [RANKS | whole], at most one rank a device; %d devices\n",
                 devices);
    return 2;
  }
  static samples data;
  make_samples(&data);
  std::deque<Rank> ranks;
  for (int r = 0; r < count; ++r) ranks.emplace_back(r, count, data);
  if (!whole) {
    std::vector<ncclComm_t> comms(static_cast<size_t>(count));
    CHECK(ncclCommInitAll(comms.data(), count, nullptr));  // on devices 0 .. count - 1
    for (Rank& r : ranks) r.comm = comms[static_cast<size_t>(r.rank)];
  }

  swd_group group;
  swd_step_args args = training_args(&group);
  for (int step = 0; step < steps; ++step) whole ? whole_step(ranks[0], args) : sharded_step(ranks, args);
  swd_stats stats = agreed_stats(ranks);

  std::vector<float> param(kTotal), grad(kTotal);
  for (const Rank& r : ranks) {
    if (r.own.count == 0) continue;
    CHECK(cudaMemcpy(&param[static_cast<size_t>(r.own.first)], r.param,
                     static_cast<size_t>(r.own.count) * sizeof(float), cudaMemcpyDeviceToHost));
  }
  double loss = loss_and_gradient(&data, 0, 1, param.data(), grad.data());
  print_result(loss, &stats);
  print_fingerprint(param);
  std::printf(whole ? "not sharded\n" : "ranks %d   devices %d   NCCL %d\n", count, devices, version);

  // All streams are idle: communicators first, then memory and streams.
  for (Rank& r : ranks) {
    if (r.comm) CHECK(ncclCommDestroy(r.comm));
  }
  return stats.result == SWD_RESULT_APPLIED && std::isfinite(loss) ? 0 : 1;
}
