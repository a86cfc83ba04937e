// SPDX-License-Identifier: Apache-2.0
// libswd as custom calls of XLA (typed FFI): the whole step, and the pieces of one that is shared by devices. A library
// of its own, so that libswd needs nothing of XLA. Registered and called by swd/jax of the Python package.
//
//   name      in                                               out
//   step      lr, state, workspace, grads, tensors             state, workspace, tensors
//   reduce    lr, state, workspace, grads, tensors             record, workspace
//   update    lr, state, workspace, grads, tensors, records    state, workspace, tensors, records
//   rebuild   lr, state, workspace, grads, tensors             state, workspace
//
// lr is one float; state, workspace, record and records (one row a device) are bytes; grads are n leaves, tensors 3 n:
// parameters, exp_avg, exp_avg_sq. What comes out under the name of an input lies in that input's memory. The
// workspace is a fresh image, or what reduce left.
#include <exception>
#include <stdexcept>
#include <string>

#include "plans.h"
#include "swd/swd.hpp"
#include "xla/ffi/api/ffi.h"

namespace swd_jax {
namespace {
namespace ffi = xla::ffi;

enum class Piece { kStep, kReduce, kUpdate, kRebuild };

template <class T>
T need(ffi::ErrorOr<T> value) {
  if (!value) throw std::invalid_argument(value.error().message());
  return *value;
}

class Call {
 public:
  Call(swd_backend backend, void* stream, ffi::Dictionary attrs, ffi::RemainingArgs in, ffi::RemainingRets out)
      : stream_(stream), attrs_(attrs), in_(in), out_(out) {
    auto counts = number<ffi::Span<const int64_t>>("counts"), flags = number<ffi::Span<const int64_t>>("flags");
    leaves_ = counts.size();
    if (flags.size() != leaves_) throw std::invalid_argument("counts and flags are of different lengths");
    description_ = {backend,
                    number<int32_t>("decay"),
                    number<int32_t>("grad_dtype"),
                    {counts.begin(), counts.end()},
                    {flags.begin(), flags.end()}};
    plan_ = plan_of(description_);
  }

  void run(Piece piece) {
    size_t records = piece == Piece::kUpdate ? 1 : 0;
    if (in_.size() != kLeading + 4 * leaves_ + records)
      throw std::invalid_argument("the leaves are not 4 for each count");
    if (piece == Piece::kReduce) {
      check_same(input(2), output(1));
    } else {
      check_same(input(1), output(0));
      check_same(input(2), output(1));
    }
    if (piece == Piece::kStep || piece == Piece::kUpdate) {
      for (size_t i = 0; i < 3 * leaves_ + records; ++i) check_same(input(kLeading + leaves_ + i), output(2 + i));
    }
    set_pointers(piece);
    fill_args();
    switch (piece) {
      case Piece::kStep:
        return swd::check(swd_step(plan_, &buffers_, &args_, stream_));
      case Piece::kReduce:
        return reduce();
      case Piece::kUpdate:
        return update();
      case Piece::kRebuild:
        return swd::check(swd_state_rebuild(plan_, &buffers_, stream_));
    }
  }

 private:
  static constexpr size_t kLeading = 3;  // lr, state, workspace

  template <class T>
  T number(const char* name) {
    return need(attrs_.get<T>(name));
  }
  ffi::AnyBuffer input(size_t i) { return need(in_.get<ffi::AnyBuffer>(i)); }
  ffi::AnyBuffer output(size_t i) { return *need(out_.get<ffi::AnyBuffer>(i)); }

  static void check_same(const ffi::AnyBuffer& in, const ffi::AnyBuffer& out) {
    if (in.untyped_data() == out.untyped_data() && in.size_bytes() == out.size_bytes()) return;
    throw std::invalid_argument("call with input_output_aliases: the step works in place");
  }

  // All of them at each call: they are different ones in the next, and the workspace says nothing yet, or what reduce
  // set.
  void set_pointers(Piece piece) {
    const swd_buffer_kind kinds[] = {SWD_BUFFER_GRAD, SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ};
    void* workspace = input(2).untyped_data();
    auto n = static_cast<int64_t>(leaves_);
    std::vector<const void*> pointers(leaves_);
    bool compared = piece == Piece::kUpdate && description_.backend == SWD_BACKEND_CPU;
    for (size_t k = 1; k < 4 && compared; ++k) {  // with those of reduce, whose memory may be another tensor's now
      swd::check(swd_set_pointers(plan_, workspace, kinds[k], 0, n, pointers.data(), stream_));
    }
    for (size_t kind = 0; kind < 4; ++kind) {
      for (size_t k = 0; k < leaves_; ++k) {
        ffi::AnyBuffer leaf = input(kLeading + kind * leaves_ + k);
        bool is_of_plan = static_cast<int64_t>(leaf.element_count()) == description_.counts[k] &&
                          swd_dtype_of(leaf.element_type()) == (kind == 0 ? description_.grad_dtype : SWD_DTYPE_F32);
        if (!is_of_plan) throw std::invalid_argument("a leaf has another size or dtype");
        pointers[k] = leaf.untyped_data();
      }
      swd::check(swd_set_pointers(plan_, workspace, kinds[kind], 0, n, pointers.data(), stream_));
    }
  }

  static swd_dtype swd_dtype_of(ffi::DataType type) {
    if (type == ffi::DataType::F32) return SWD_DTYPE_F32;
    if (type == ffi::DataType::BF16) return SWD_DTYPE_BF16;
    return type == ffi::DataType::F16 ? SWD_DTYPE_F16 : SWD_DTYPE_NONE;
  }

  void fill_args() {
    ffi::AnyBuffer state = input(1), workspace = input(2);
    buffers_.state = state.untyped_data();
    buffers_.state_bytes = state.size_bytes();
    buffers_.workspace = workspace.untyped_data();
    buffers_.workspace_bytes = workspace.size_bytes();
    group_.lr = number<double>("lr");
    group_.beta1 = number<double>("beta1");
    group_.beta2 = number<double>("beta2");
    group_.eps = number<double>("eps");
    group_.weight_decay = number<double>("weight_decay");
    if (number<bool>("lr_is_input")) group_.lr_pointer = static_cast<const float*>(input(0).untyped_data());
    args_.groups = &group_;
    args_.group_count = 1;
    args_.max_grad_norm = number<double>("max_grad_norm");
    args_.max_decay = number<double>("max_decay");
    args_.reference_step = static_cast<uint64_t>(number<int64_t>("reference_step"));
  }

  void reduce() {
    ffi::AnyBuffer record = output(0);
    swd::check(swd_reduce(plan_, &buffers_, &args_, SWD_PHASE_GRAD, 0, static_cast<int64_t>(leaves_), stream_));
    swd::check(swd_fold(plan_, &buffers_, &args_, SWD_PHASE_GRAD, static_cast<double*>(record.untyped_data()),
                        record.size_bytes() / sizeof(double), stream_));
  }

  // In the order of the rows, which is the same on all devices, so that all decide from the same bits.
  void update() {
    ffi::AnyBuffer records = output(2 + 3 * leaves_);
    uint64_t doubles = 0;
    swd::check(swd_record_size(plan_, &doubles));
    auto* sum = static_cast<double*>(records.untyped_data());
    for (uint64_t at = doubles; at + doubles <= records.size_bytes() / sizeof(double); at += doubles) {
      swd::check(swd_record_add(plan_, sum, sum + at, doubles, stream_));
    }
    swd::check(swd_decide(plan_, &buffers_, &args_, SWD_PHASE_GRAD, sum, doubles, stream_));
    swd::check(swd_update(plan_, &buffers_, &args_, stream_));
  }

  void* stream_;
  ffi::Dictionary attrs_;
  ffi::RemainingArgs in_;
  ffi::RemainingRets out_;
  size_t leaves_ = 0;
  Description description_;
  const swd_plan* plan_ = nullptr;
  swd_buffers buffers_ = SWD_BUFFERS_INIT;
  swd_group group_ = SWD_GROUP_INIT;
  swd_step_args args_ = SWD_STEP_ARGS_INIT;
};

template <Piece kPiece>
ffi::Error on_cpu(ffi::Dictionary attrs, ffi::RemainingArgs in, ffi::RemainingRets out) {
  try {
    Call(SWD_BACKEND_CPU, nullptr, attrs, in, out).run(kPiece);
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::InvalidArgument(error.what());
  }
}

template <Piece kPiece>
ffi::Error on_cuda(void* stream, ffi::Dictionary attrs, ffi::RemainingArgs in, ffi::RemainingRets out) {
  try {
    Call(SWD_BACKEND_CUDA, stream, attrs, in, out).run(kPiece);
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::InvalidArgument(error.what());
  }
}

}  // namespace

#define SWD_JAX_HANDLERS(name, piece)                                                      \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(swd_jax_##name##_cpu, on_cpu<piece>,                       \
                                ffi::Ffi::Bind().Attrs().RemainingArgs().RemainingRets()); \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(                                                           \
      swd_jax_##name##_cuda, on_cuda<piece>,                                               \
      ffi::Ffi::Bind().Ctx<ffi::PlatformStream<void*>>().Attrs().RemainingArgs().RemainingRets())

#pragma GCC visibility push(default)
SWD_JAX_HANDLERS(step, Piece::kStep);
SWD_JAX_HANDLERS(reduce, Piece::kReduce);
SWD_JAX_HANDLERS(update, Piece::kUpdate);
SWD_JAX_HANDLERS(rebuild, Piece::kRebuild);
#pragma GCC visibility pop

}  // namespace swd_jax
