// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: fills the Backend table and orders the launches of each call. Called through the table by src/host.
#include "../scalars.h"
#include "host/backend.h"
#include "kernels.h"

namespace swd::cuda {
namespace {

swd_status upload(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return SWD_OK;
  return check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}

swd_status init_workspace(const Plan& plan, void* workspace, void* raw_stream) {
  cudaStream_t stream = static_cast<cudaStream_t>(raw_stream);
  Workspace ws = workspace_at(plan, workspace);
  const uint64_t first_epoch = 1;
  swd_status status = check_device(workspace, stream);
  if (status == SWD_OK) status = find_code();
  if (status == SWD_OK) status = load_reduce(plan);
  if (status == SWD_OK) status = load_update(plan);
  if (status == SWD_OK) status = load_tables();
  if (status == SWD_OK) status = load_copy_params(plan);
  if (status == SWD_OK) status = load_conversions(plan);
  if (status == SWD_OK) {
    status = check_cuda(cudaMemsetAsync(workspace, 0, plan.workspace_bytes, stream), "cudaMemsetAsync");
  }
  if (status == SWD_OK) {
    status = upload(const_cast<SegmentInfo*>(ws.segments), plan.segments.data(),
                    plan.segments.size() * sizeof(SegmentInfo), stream);
  }
  if (status == SWD_OK) {
    status = upload(const_cast<GroupInfo*>(ws.group_info), plan.groups.data(), plan.groups.size() * sizeof(GroupInfo),
                    stream);
  }
  if (status == SWD_OK) {
    status = upload(const_cast<int64_t*>(ws.index), plan.index.data(),
                    plan.facts.narrow ? plan.index.size() * sizeof(int64_t) : 0, stream);
  }
  if (status == SWD_OK) {
    status = upload(const_cast<uint32_t*>(ws.fold_arrivals), plan.fold_arrivals.data(),
                    plan.fold_arrivals.size() * sizeof(uint32_t), stream);
  }
  if (status == SWD_OK) status = launch_chunk_table(plan.facts, ws, raw_stream);
  if (status == SWD_OK) status = upload(&ws.header->epoch, &first_epoch, sizeof first_epoch, stream);
  if (status == SWD_OK) {  // last: only a whole workspace is valid
    status = upload(&ws.header->fingerprint, &plan.facts.fingerprint, sizeof plan.facts.fingerprint, stream);
  }
  if (status == SWD_OK) status = check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return status;
}

swd_status set_pointers(const Plan& plan, const Workspace& ws, void** to, const void* const* pointers, int64_t count,
                        void* stream) {
  return launch_carry(plan.facts, ws, pointers, static_cast<uint64_t>(count) * sizeof(void*), to, stream);
}

// The argument block of a launch. Host groups go along with it; more than fit are carried into the workspace first.
swd_status prepare(const Plan& plan, const Pass& pass, const double* record, Launch& out, void* stream) {
  out.pass = pass;
  out.record = record ? const_cast<double*>(record) : pass.ws.header->record;
  out.then = kNothing;
  out.may_prefetch = 0;
  if (!pass.groups_on_host) return SWD_OK;
  constexpr uint32_t kBatch = kCarriedBytes / sizeof(swd_group);
  bool carried = plan.facts.group_count > kInlineGroups;
  swd_group batch[kBatch];
  for (uint32_t first = 0; first < plan.facts.group_count; first += kBatch) {
    uint32_t count = plan.facts.group_count - first < kBatch ? plan.facts.group_count - first : kBatch;
    for (uint32_t i = 0; i < count; ++i) {
      uint64_t known = pass.group_stride < sizeof(swd_group) ? pass.group_stride : sizeof(swd_group);
      batch[i] = swd_group{};
      memcpy(&batch[i], static_cast<const char*>(pass.groups) + pass.group_stride * (first + i), known);
    }
    if (!carried) {
      memcpy(out.inline_groups, batch, count * sizeof(swd_group));
    } else {
      swd_status status =
          launch_carry(plan.facts, pass.ws, batch, count * sizeof(swd_group), pass.ws.carried_groups + first, stream);
      if (status != SWD_OK) return status;
    }
  }
  out.pass.group_stride = sizeof(swd_group);
  out.pass.groups = pass.ws.carried_groups;
  out.pass.groups_on_host = carried ? 0 : 1;
  return SWD_OK;
}

// Of a call without groups.
Launch of_pass(const Pass& pass) {
  Launch args;
  args.pass = pass;
  args.record = nullptr;
  args.then = kNothing;
  args.may_prefetch = 0;
  return args;
}

swd_status reduce(const Plan& plan, const Pass& pass, void* stream) {
  Launch args;
  swd_status status = prepare(plan, pass, nullptr, args, stream);
  return status == SWD_OK ? launch_reduce(plan, args, stream) : status;
}

swd_status decide_in_pieces(const Plan& plan, const Pass& pass, const double* record, uint32_t then, void* stream) {
  Launch args;
  swd_status status = prepare(plan, pass, record, args, stream);
  args.then = then;
  return status == SWD_OK ? launch_decide(args, stream) : status;
}

// In pieces without a first pass nothing was reduced, so folding prepares the segments.
swd_status fold(const Plan& plan, const Pass& pass, double* record, void* stream) {
  uint32_t first = pass.step_flags & SWD_STEP_SKIP_NORM ? kPrepare : kNothing;
  return decide_in_pieces(plan, pass, record, first | kFold, stream);
}

swd_status decide(const Plan& plan, const Pass& pass, const double* record, void* stream) {
  return decide_in_pieces(plan, pass, record, kDecide, stream);
}

swd_status add_record(const Plan&, double* to, const double* from, void* stream) {
  return launch_add_record(to, from, stream);
}

swd_status update(const Plan& plan, const Pass& pass, void* stream) {
  Launch args = of_pass(pass);
  // What came before in the stream may still be writing parameters: no overlap.
  return launch_update(plan, args, false, stream);
}

swd_status step(const Plan& plan, const Pass& pass, void* stream) {
  Launch args;
  swd_status status = prepare(plan, pass, nullptr, args, stream);
  if (status != SWD_OK) return status;
  if (pass.step_flags & SWD_STEP_SKIP_NORM) {
    args.then = kPrepare | kFold | kDecide;
    status = launch_decide(args, stream);
  } else {
    args.then = kFold | kDecide;
    status = launch_reduce(plan, args, stream);
    if (status == SWD_OK && needs_max(plan.facts)) {
      args.pass.phase = SWD_PHASE_MAX;
      args.pass.begins = 0;
      status = launch_reduce(plan, args, stream);
    }
  }
  // Pass 1 was launched in full order and writes only the workspace, so pass 2 may start while it drains.
  return status == SWD_OK ? launch_update(plan, args, true, stream) : status;
}

swd_status discard(const Plan& plan, const Workspace& ws, void* stream) {
  return launch_discard(plan.facts, ws, stream);
}

swd_status rebuild(const Plan& plan, const Pass& pass, void* stream) {
  Launch args = of_pass(pass);
  args.then = kReport;
  return launch_rebuild(plan, args, stream);
}

swd_status copy_params(const Plan& plan, const Pass& pass, void* stream) {
  return launch_copy_params(plan, of_pass(pass), stream);
}

swd_status load_state(const Plan& plan, const Pass& pass, void* stream) {
  return launch_load_state(plan, of_pass(pass), stream);
}

swd_status store_state(const Plan& plan, const Pass& pass, void* stream) {
  return launch_store_state(plan, of_pass(pass), stream);
}

swd_status fetch(const Plan& plan, const Workspace& ws, swd_stats* stats, uint64_t stats_bytes, double* lambda_eff,
                 void* raw_stream) {
  cudaStream_t stream = static_cast<cudaStream_t>(raw_stream);
  swd_status status = launch_fetch(plan.facts, ws, raw_stream);
  if (status == SWD_OK) {
    status = check_cuda(cudaMemcpyAsync(stats, &ws.header->fetched, stats_bytes, cudaMemcpyDeviceToHost, stream),
                        "cudaMemcpyAsync of the statistics");
  }
  if (status == SWD_OK && lambda_eff) {
    status = check_cuda(cudaMemcpyAsync(lambda_eff, ws.fetched_lambda_eff, plan.facts.group_count * sizeof(double),
                                        cudaMemcpyDeviceToHost, stream),
                        "cudaMemcpyAsync of lambda_eff");
  }
  return status;
}

}  // namespace
}  // namespace swd::cuda

namespace swd {

const Backend* cuda_backend() {
  static const Backend backend = {cuda::available,  cuda::init_workspace, cuda::set_pointers, cuda::step,
                                  cuda::reduce,     cuda::fold,           cuda::add_record,   cuda::decide,
                                  cuda::update,     cuda::discard,        cuda::rebuild,      cuda::copy_params,
                                  cuda::load_state, cuda::store_state,    cuda::fetch};
  return &backend;
}

}  // namespace swd
