// SPDX-License-Identifier: Apache-2.0
// libswd as a custom call of XLA (typed FFI), for the CPU. A shim of its own, so that libswd needs nothing from XLA:
// its headers come with jaxlib (jax.ffi.include_dir()). Registered and called by swd_jax.py.
#include <string>
#include <vector>

#include "swd/swd.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

using Bytes = ffi::BufferR1<ffi::U8>;

ffi::Error failure(swd_status status) {
  return ffi::Error::InvalidArgument(std::string(swd_status_name(status)) + ": " + swd_error_detail());
}
#define SWD_RETURN_IF_FAILED(call) \
  if (swd_status status_ = (call); status_ != SWD_OK) return failure(status_)

// One segment per leaf of the parameter tree, as a list of pointers, because XLA gives every leaf memory of its own.
// Made anew by each call (50 us for 100 leaves, 220 us for 1,000): an executable then holds no pointer and can be kept
// in a cache on disk.
class Plan {
 public:
  swd_status create(const int64_t* counts, const int32_t* decays, int64_t leaves, swd_decay decay) {
    std::vector<swd_segment> segments;
    for (int64_t k = 0; k < leaves; ++k) {
      uint32_t flags = decays[k] ? 0u : static_cast<uint32_t>(SWD_SEGMENT_NO_DECAY);
      segments.push_back({0, counts[k], 0, 0, flags});
    }
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.flags = SWD_PLAN_LIST;
    args.segments = segments.data();
    args.segment_count = leaves;
    args.decay_modes = &decay;
    return plan_.create(args);
  }
  const swd_plan* get() const { return plan_; }

 private:
  swd::Plan plan_;
};

ffi::Error workspace_init(ffi::Span<const int64_t> counts, ffi::Span<const int32_t> decays, int32_t decay,
                          ffi::Result<Bytes> workspace) {
  Plan plan;
  SWD_RETURN_IF_FAILED(plan.create(counts.begin(), decays.begin(), static_cast<int64_t>(counts.size()), decay));
  SWD_RETURN_IF_FAILED(swd_workspace_init(plan.get(), workspace->untyped_data(), workspace->size_bytes(), nullptr));
  return ffi::Error::Success();
}

// Inputs: learning rate, state, workspace, then params, exp_avg, exp_avg_sq and gradients, leaf by leaf. Outputs: the
// same without learning rate and gradients, each in the memory of its input.
ffi::Error step(ffi::Span<const int64_t> counts, ffi::Span<const int32_t> decays, int32_t decay, double beta1,
                double beta2, double eps, double weight_decay, double max_grad_norm, int64_t reference_step,
                ffi::BufferR0<ffi::F32> learning_rate, Bytes state, Bytes workspace, ffi::RemainingArgs in,
                ffi::Result<Bytes> state_out, ffi::Result<Bytes> workspace_out, ffi::RemainingRets out) {
  size_t leaves = counts.size();
  if (in.size() != 4 * leaves || out.size() != 3 * leaves || decays.size() != leaves) {
    return ffi::Error::InvalidArgument("counts, decays and buffers do not fit together");
  }
  Plan plan;
  SWD_RETURN_IF_FAILED(plan.create(counts.begin(), decays.begin(), static_cast<int64_t>(leaves), decay));

  bool in_place =
      state_out->untyped_data() == state.untyped_data() && workspace_out->untyped_data() == workspace.untyped_data();
  const swd_buffer_kind kinds[] = {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ, SWD_BUFFER_GRAD};
  std::vector<const void*> pointers(leaves);
  for (swd_buffer_kind kind : kinds) {  // what an earlier call left there may be another array's memory by now
    SWD_RETURN_IF_FAILED(swd_set_pointers(plan.get(), workspace.untyped_data(), kind, 0, static_cast<int64_t>(leaves),
                                          pointers.data(), nullptr));
  }
  for (size_t kind = 0; kind < 4; ++kind) {
    for (size_t k = 0; k < leaves; ++k) {
      auto buffer = in.get<ffi::Buffer<ffi::F32>>(kind * leaves + k);
      if (!buffer) return buffer.error();
      if (static_cast<int64_t>(buffer->element_count()) != counts[k])
        return ffi::Error::InvalidArgument("a leaf has another size");
      pointers[k] = buffer->untyped_data();
      if (kind == 3) continue;
      auto result = out.get<ffi::Buffer<ffi::F32>>(kind * leaves + k);
      if (!result) return result.error();
      in_place = in_place && (*result)->untyped_data() == pointers[k];
    }
    SWD_RETURN_IF_FAILED(swd_set_pointers(plan.get(), workspace.untyped_data(), kinds[kind], 0,
                                          static_cast<int64_t>(leaves), pointers.data(), nullptr));
  }
  if (!in_place) return ffi::Error::InvalidArgument("call with input_output_aliases: the step works in place");

  swd_buffers buffers = SWD_BUFFERS_INIT;
  buffers.state = state.untyped_data();
  buffers.state_bytes = state.size_bytes();
  buffers.workspace = workspace.untyped_data();
  buffers.workspace_bytes = workspace.size_bytes();
  swd_group group = {0.0, beta1, beta2, eps, weight_decay, learning_rate.typed_data(), 0.0};
  swd_step_args args = SWD_STEP_ARGS_INIT;
  args.groups = &group;
  args.group_count = 1;
  args.max_grad_norm = max_grad_norm;
  args.reference_step = static_cast<uint64_t>(reference_step);
  SWD_RETURN_IF_FAILED(swd_step(plan.get(), &buffers, &args, nullptr));
  return ffi::Error::Success();
}

}  // namespace

// For swd_jax.py, which makes the arrays: bytes of state and workspace, and where in the workspace the statistics lie.
extern "C" __attribute__((visibility("default"))) swd_status swd_jax_layout(const int64_t* counts,
                                                                            const int32_t* decays, int64_t leaves,
                                                                            int32_t decay, uint64_t* layout) {
  Plan plan;
  swd_status status = plan.create(counts, decays, leaves, decay);
  if (status == SWD_OK) status = swd_state_size(plan.get(), &layout[0]);
  if (status == SWD_OK) status = swd_workspace_size(plan.get(), &layout[1]);
  if (status != SWD_OK) return status;
  alignas(16) char workspace[1];  // only its address counts
  const swd_stats* stats = nullptr;
  status = swd_stats_pointer(plan.get(), workspace, &stats);
  layout[2] = static_cast<uint64_t>(reinterpret_cast<const char*>(stats) - workspace);
  return status;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(swd_jax_workspace_init, workspace_init,
                              ffi::Ffi::Bind()
                                  .Attr<ffi::Span<const int64_t>>("counts")
                                  .Attr<ffi::Span<const int32_t>>("decays")
                                  .Attr<int32_t>("decay")
                                  .Ret<Bytes>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(swd_jax_step, step,
                              ffi::Ffi::Bind()
                                  .Attr<ffi::Span<const int64_t>>("counts")
                                  .Attr<ffi::Span<const int32_t>>("decays")
                                  .Attr<int32_t>("decay")
                                  .Attr<double>("beta1")
                                  .Attr<double>("beta2")
                                  .Attr<double>("eps")
                                  .Attr<double>("weight_decay")
                                  .Attr<double>("max_grad_norm")
                                  .Attr<int64_t>("reference_step")
                                  .Arg<ffi::BufferR0<ffi::F32>>()
                                  .Arg<Bytes>()
                                  .Arg<Bytes>()
                                  .RemainingArgs()
                                  .Ret<Bytes>()
                                  .Ret<Bytes>()
                                  .RemainingRets());
