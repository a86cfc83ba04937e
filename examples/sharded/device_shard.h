// SPDX-License-Identifier: Apache-2.0
// shard.h on a CUDA device: the slice of a rank, its norm record and its step, in a stream of its own. Used by
// main_nccl.cu. A failure ends the program at once: ranks that wait for one that is gone wait for ever.
#ifndef SWD_EXAMPLE_DEVICE_SHARD_H
#define SWD_EXAMPLE_DEVICE_SHARD_H
#include "../device.h"
#include "slice.h"

class DeviceShard {
 public:
  // On the device of the rank's number. Leaves that device current.
  DeviceShard(int rank, int ranks, const tensor* tensors, int tensor_count)
      : rank(rank), ranks(ranks), own(slice_of(tensors, tensor_count, rank, ranks)) {
    use_device();
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    std::vector<swd_segment> segments(static_cast<size_t>(tensor_count));
    segment_count_ = slice_segments(own, tensors, tensor_count, segments.data());
    swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = SWD_BACKEND_CUDA;
    args.flags = SWD_PLAN_INDEXED;
    args.segments = segments.data();
    args.segment_count = segment_count_;
    args.decay_modes = &decay;
    CHECK(plan_.create(args));
    CHECK(state_.create(plan_, kDevice));
    CHECK(workspace_.create(plan_, kDevice, stream));
    for (swd::Memory& array : arrays_) CHECK(array.create(static_cast<uint64_t>(own.size) * sizeof(float), kDevice));
    CHECK(swd_record_size(plan_, &record_doubles));
    CHECK(record_.create(record_doubles * sizeof(double), kDevice));
    buffers_ = swd::buffers(state_, workspace_);
    buffers_.param = param = of<float>(arrays_[0]);
    buffers_.grad = grad = of<float>(arrays_[1]);
    buffers_.exp_avg = arrays_[2].data();
    buffers_.exp_avg_sq = arrays_[3].data();
    record = of<double>(record_);
  }
  DeviceShard(const DeviceShard&) = delete;

  // The stream must be idle and the communicator gone. Then the members release plan and memory, in any order.
  ~DeviceShard() {
    use_device();
    cudaStreamDestroy(stream);
  }

  void use_device() const { CHECK(cudaSetDevice(rank)); }

  // Pass 1, into the record, which is then to be summed over all ranks in the same stream.
  void norm_pass(const swd_step_args& args) {
    use_device();
    CHECK(swd_reduce(plan_, &buffers_, &args, SWD_PHASE_GRAD, 0, segment_count_, stream));
    CHECK(swd_fold(plan_, &buffers_, &args, SWD_PHASE_GRAD, record, record_doubles, stream));
  }

  // Pass 2, from the sum.
  void decide_and_update(const swd_step_args& args) {
    use_device();
    CHECK(swd_decide(plan_, &buffers_, &args, SWD_PHASE_GRAD, record, record_doubles, stream));
    CHECK(swd_update(plan_, &buffers_, &args, stream));
  }

  // Both, of a model that is not sharded.
  void whole_step(const swd_step_args& args) {
    use_device();
    CHECK(swd_step(plan_, &buffers_, &args, stream));
  }

  // Waits for the device.
  swd_stats stats() {
    swd_stats out;
    use_device();
    CHECK(swd_stats_fetch(plan_, workspace_.data(), &out, sizeof out, nullptr, stream));
    CHECK(cudaStreamSynchronize(stream));
    return out;
  }

  const int rank, ranks;
  const slice own;
  cudaStream_t stream = nullptr;
  float *param = nullptr, *grad = nullptr;  // own.size elements each
  double* record = nullptr;
  uint64_t record_doubles = 0;

 private:
  int64_t segment_count_ = 0;
  swd::Plan plan_;
  swd::State state_;
  swd::Workspace workspace_;
  swd::Memory arrays_[4], record_;
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
};

#endif
