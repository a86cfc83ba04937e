// SPDX-License-Identifier: Apache-2.0
// Entry points around the step: library, plan, workspace. Each one: adopt, check, do.
#include <memory>

#include "backend.h"
#include "check.h"
#include "check_step.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/team.h"
#include "kernels/scalars.h"

#define SWD_TEXT_OF(x) #x
#define SWD_TEXT(x) SWD_TEXT_OF(x)

using namespace swd;

namespace {

const swd_plan_args kPlanArgs = SWD_PLAN_ARGS_INIT;
const swd_buffers kBuffers = SWD_BUFFERS_INIT;
const swd_step_args kStepArgs = SWD_STEP_ARGS_INIT;
const swd_fp32_arrays kFp32ArraysInit = SWD_FP32_ARRAYS_INIT;

template <class T>
swd_status init(T* user, const char* name, uint64_t struct_size, const T& initial) {
  swd_status status = check_object(user, name);
  return status == SWD_OK ? init_bytes(user, struct_size, kSizes<T>, &initial) : status;
}

swd_status size_of(const swd_plan* plan, uint64_t Plan::*size, uint64_t* bytes) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_object(bytes, "bytes");
  if (status == SWD_OK) *bytes = plan->*size;
  return status;
}

// f(x, y) in the environment of equal bits. Volatile, because registers know no barrier (float_environment.h).
template <class F>
double inside(double x, double y, const F& f) {
  volatile double given[2] = {x, y}, result;
  {
    cpu::FloatEnvironment environment;
    result = f(given[0], given[1]);
  }
  return result;
}

double inverse_root(double vbar) {
  Decision decision;
  set_vbar(decision, vbar, 1.0);
  return decision.inv_sqrt_vbar;
}

}  // namespace

extern "C" {

// ---- Library ----

uint32_t swd_version(void) { return SWD_VERSION_MAJOR * 10000 + SWD_VERSION_MINOR * 100 + SWD_VERSION_PATCH; }

const char* swd_version_string(void) {
  return SWD_TEXT(SWD_VERSION_MAJOR) "." SWD_TEXT(SWD_VERSION_MINOR) "." SWD_TEXT(SWD_VERSION_PATCH);
}

uint64_t swd_sizeof(const char* struct_name) {
  static constexpr struct {
    const char* name;
    uint64_t bytes;
  } kStructs[] = {
      {"swd_segment", sizeof(swd_segment)},
      {"swd_plan_args", sizeof(swd_plan_args)},
      {"swd_buffers", sizeof(swd_buffers)},
      {"swd_group", sizeof(swd_group)},
      {"swd_step_args", sizeof(swd_step_args)},
      {"swd_norm_record", sizeof(swd_norm_record)},
      {"swd_stats", sizeof(swd_stats)},
      {"swd_state_header", sizeof(swd_state_header)},
      {"swd_segment_state", sizeof(swd_segment_state)},
      {"swd_fp32_arrays", sizeof(swd_fp32_arrays)},
  };
  for (const auto& known : kStructs) {
    if (struct_name && strcmp(struct_name, known.name) == 0) return known.bytes;
  }
  return 0;
}

double swd_weight_decay_from_adamw(double weight_decay, double vbar) {
  return inside(weight_decay, vbar, [](double decay, double mean) { return decay * root(mean); });
}

// As lambda_eff of the statistics has it, with its rule for a vbar of 0.
double swd_weight_decay_to_adamw(double weight_decay, double vbar) {
  return inside(weight_decay, vbar,
                [](double decay, double mean) { return decay == 0.0 ? 0.0 : decay * inverse_root(mean); });
}

// 2: against 0.1, max_decay is 0.1 where it is not given, a learning rate of 0 decays nothing even where lambda_eff
// overflows, and a step without a finite vbar is skipped. Steps that need none of these have the bits of 0.1.
uint32_t swd_numerics_version(void) { return 2; }

const char* swd_cpu_isa(void) { return cpu::isa_name(); }

int32_t swd_cpu_threads(void) { return cpu::most_threads(); }

// ---- Plan ----

swd_status swd_plan_args_init(swd_plan_args* args, uint64_t struct_size) {
  return init(args, "args", struct_size, kPlanArgs);
}

swd_status swd_buffers_init(swd_buffers* buffers, uint64_t struct_size) {
  return init(buffers, "buffers", struct_size, kBuffers);
}

swd_status swd_step_args_init(swd_step_args* args, uint64_t struct_size) {
  return init(args, "args", struct_size, kStepArgs);
}

swd_status swd_fp32_arrays_init(swd_fp32_arrays* arrays, uint64_t struct_size) {
  return init(arrays, "arrays", struct_size, kFp32ArraysInit);
}

swd_status swd_backend_available(swd_backend backend) {
  swd_status status = check_backend(backend, "backend");
  if (status != SWD_OK) return status;
  return backend == SWD_BACKEND_CUDA ? cuda_backend()->available() : cpu_backend().available();
}

swd_status swd_plan_create(const swd_plan_args* args, swd_plan** plan) {
  swd_plan_args known;
  swd_status status = check_struct(args, "args", known);
  if (status == SWD_OK) status = check_object(plan, "plan");
  if (status == SWD_OK) status = check_plan(known);
  if (status != SWD_OK) return status;
  try {
    auto built = std::make_unique<swd_plan>();
    build_plan(known, *built);
    status = check_indices(*built);
    if (status == SWD_OK && built->workspace_bytes > PTRDIFF_MAX) {  // 32 bits only
      status = set_error(SWD_ERR_SIZE, "args.segments need a workspace of %llu bytes, more than this machine can hold",
                         static_cast<unsigned long long>(built->workspace_bytes));
    }
    if (status == SWD_OK) *plan = built.release();
    return status;
  } catch (...) {  // only allocation fails in there
    return set_error(SWD_ERR_MEMORY, "args.segment_count is %lld: host memory ran out",
                     static_cast<long long>(known.segment_count));
  }
}

swd_status swd_plan_destroy(swd_plan* plan) {
  delete plan;
  return SWD_OK;
}

swd_status swd_workspace_size(const swd_plan* plan, uint64_t* bytes) {
  return size_of(plan, &Plan::workspace_bytes, bytes);
}

swd_status swd_state_size(const swd_plan* plan, uint64_t* bytes) { return size_of(plan, &Plan::state_bytes, bytes); }

// ---- Workspace ----

swd_status swd_workspace_init(const swd_plan* plan, void* workspace, uint64_t workspace_bytes, void* stream) {
  swd_status status = check_workspace(plan, workspace, stream);
  if (status == SWD_OK) status = check_bytes(workspace_bytes, plan->workspace_bytes, "workspace_bytes");
  if (status != SWD_OK) return status;
  status = backend_of(*plan).init_workspace(*plan, workspace, stream);
  if (status == SWD_OK) plan->failed_pieces.take(workspace);
  return status;
}

swd_status swd_workspace_image(const swd_plan* plan, void* image, uint64_t bytes) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_pointer(image, "image");
  if (status == SWD_OK) status = check_alignment(image, kImageAlignment, "image");
  if (status == SWD_OK) status = check_bytes(bytes, plan->workspace_bytes, "bytes");
  if (status == SWD_OK) write_workspace(*plan, image);
  return status;
}

swd_status swd_set_pointers(const swd_plan* plan, void* workspace, swd_buffer_kind buffer, int64_t first, int64_t count,
                            const void* const* pointers, void* stream) {
  swd_status status = check_pointers(plan, workspace, PointerRow{buffer, first, count, pointers, nullptr}, stream);
  if (status != SWD_OK || count == 0) return status;
  Workspace ws = workspace_at(*plan, workspace);
  void** to = ws.pointers + buffer * plan->facts.segment_count + first;
  return backend_of(*plan).set_pointers(*plan, ws, to, pointers, count, stream);
}

swd_status swd_discard(const swd_plan* plan, void* workspace, uint64_t workspace_bytes, void* stream) {
  swd_status status = check_workspace(plan, workspace, stream);
  if (status == SWD_OK) status = check_bytes(workspace_bytes, plan->workspace_bytes, "workspace_bytes");
  if (status == SWD_OK) status = check_initialised(*plan, workspace);
  if (status != SWD_OK) return status;
  status = backend_of(*plan).discard(*plan, workspace_at(*plan, workspace), stream);
  if (status == SWD_OK) plan->failed_pieces.take(workspace);
  return status;
}

}  // extern "C"
