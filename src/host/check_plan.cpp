// SPDX-License-Identifier: Apache-2.0
// The preconditions of swd_plan_create.
#include <climits>

#include "backend.h"
#include "check.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform

constexpr uint32_t kPlanFlags = SWD_PLAN_LIST | SWD_PLAN_AMSGRAD | SWD_PLAN_MAXIMIZE | SWD_PLAN_UPDATE_NORMS |
                                SWD_PLAN_INDEXED | SWD_PLAN_TAKE_COPY;
constexpr uint32_t kSegmentFlags = SWD_SEGMENT_NO_NORM | SWD_SEGMENT_NO_VBAR | SWD_SEGMENT_NO_DECAY;
constexpr int64_t kMostSegments = INT32_MAX;
constexpr uint32_t kMostGroups = 1u << 20;
constexpr int32_t kMostThreads = 1024;
// Elements of a plan: its bytes fit a signed pointer difference, so no address wraps round on a 32-bit machine either.
constexpr int64_t kMostElements = PTRDIFF_MAX / 4;
constexpr const char* kMostElementsText = sizeof(void*) == 8 ? "2^61 - 1" : "2^29 - 1";

swd_status check_dtypes(const swd_plan_args& args) {
  const struct {
    swd_dtype value;
    const char* name;
  } dtypes[] = {{args.param_dtype, "param_dtype"},
                {args.grad_dtype, "grad_dtype"},
                {args.copy_dtype, "copy_dtype"},
                {args.moment_dtype, "moment_dtype"},
                {args.remainder_dtype, "remainder_dtype"}};
  for (const auto& dtype : dtypes) {
    if (dtype.value < SWD_DTYPE_NONE || dtype.value > SWD_DTYPE_BLOCK8) {
      return set_error(SWD_ERR_ENUM, "args.%s is %d, which is no dtype", dtype.name, dtype.value);
    }
  }
  if (args.remainder_dtype != kNone && args.param_dtype != kBf16) {
    return set_error(SWD_ERR_UNEXPECTED, "args.remainder_dtype is %d, but args.param_dtype is %d, not BF16",
                     args.remainder_dtype, args.param_dtype);
  }
  if (args.copy_dtype != kNone && args.param_dtype == kBf16) {
    return set_error(SWD_ERR_UNEXPECTED, "args.copy_dtype is %d, but args.param_dtype is BF16: param is the copy",
                     args.copy_dtype);
  }
  if (args.copy_dtype == kNone && (args.flags & SWD_PLAN_TAKE_COPY)) {
    return set_error(SWD_ERR_UNEXPECTED, "args.flags has SWD_PLAN_TAKE_COPY, but args.copy_dtype is NONE");
  }
  const Dtypes wanted = dtypes_of(args);
  bool offered = false;
  for (const Dtypes& row : kDtypeRows) offered = offered || row == wanted;
  if (!offered) {
    return set_error(SWD_ERR_UNSUPPORTED,
                     "args.param_dtype %d, args.grad_dtype %d, args.copy_dtype %d, args.moment_dtype %d, "
                     "args.remainder_dtype %d: not offered",
                     args.param_dtype, args.grad_dtype, args.copy_dtype, args.moment_dtype, args.remainder_dtype);
  }
  if ((args.flags & SWD_PLAN_AMSGRAD) && wanted.moment != kF32) {
    return set_error(SWD_ERR_UNSUPPORTED, "args.flags has SWD_PLAN_AMSGRAD, but args.moment_dtype is %d, not F32",
                     args.moment_dtype);
  }
  return SWD_OK;
}

swd_status check_counts(const swd_plan_args& args) {
  if (args.segment_count < 0 || args.segment_count > kMostSegments) {
    return set_error(SWD_ERR_SIZE, "args.segment_count is %lld, expected 0 to %lld",
                     static_cast<Long>(args.segment_count), static_cast<Long>(kMostSegments));
  }
  if (args.group_count < 1 || args.group_count > kMostGroups) {
    return set_error(SWD_ERR_SIZE, "args.group_count is %u, expected 1 to %u", args.group_count, kMostGroups);
  }
  int32_t most = args.backend == SWD_BACKEND_CPU ? kMostThreads : 0;
  if (args.threads < 0 || args.threads > most) {
    return set_error(SWD_ERR_VALUE, "args.threads is %d, expected 0 to %d", args.threads, most);
  }
  return SWD_OK;
}

swd_status check_decay_modes(const swd_plan_args& args) {
  for (uint32_t i = 0; args.decay_modes && i < args.group_count; ++i) {
    swd_decay mode = args.decay_modes[i];
    if (mode < SWD_DECAY_SCHEDULED || mode > SWD_DECAY_RELATIVE) {
      return set_error(SWD_ERR_ENUM, "args.decay_modes[%u] is %d, which is no decay mode", i, mode);
    }
  }
  return SWD_OK;
}

// What has been seen of the segments so far.
struct Walk {
  int64_t end;       // of the latest segment of a flat plan
  int64_t elements;  // of all
};

swd_status check_segment_counts(const swd_segment& segment, Long k, Walk& walk) {
  if (segment.offset < 0 || segment.offset > kMostElements) {
    return set_error(SWD_ERR_SIZE, "args.segments[%lld].offset is %lld, expected 0 to %s", k,
                     static_cast<Long>(segment.offset), kMostElementsText);
  }
  if (segment.count < 0 || segment.count > kMostElements - segment.offset) {
    return set_error(SWD_ERR_SIZE, "args.segments[%lld].count is %lld: with its offset expected 0 to %s", k,
                     static_cast<Long>(segment.count), kMostElementsText);
  }
  if (segment.count > kMostElements - walk.elements) {
    return set_error(SWD_ERR_SIZE, "args.segments[%lld].count is %lld: all counts together exceed %s", k,
                     static_cast<Long>(segment.count), kMostElementsText);
  }
  walk.elements += segment.count;
  return SWD_OK;
}

swd_status check_segment_place(const swd_plan_args& args, const swd_segment& segment, Long k, Walk& walk) {
  if (args.flags & SWD_PLAN_LIST) {
    if (segment.offset != 0) {
      return set_error(SWD_ERR_UNEXPECTED, "args.segments[%lld].offset is %lld, but args.flags has SWD_PLAN_LIST", k,
                       static_cast<Long>(segment.offset));
    }
  } else if (segment.offset < walk.end) {
    return set_error(SWD_ERR_LAYOUT, "args.segments[%lld].offset is %lld, but the segment before it ends at %lld", k,
                     static_cast<Long>(segment.offset), static_cast<Long>(walk.end));
  }
  walk.end = segment.offset + segment.count;
  bool indexed = (args.flags & SWD_PLAN_INDEXED) != 0;
  if (!indexed && segment.index != 0) {
    return set_error(SWD_ERR_UNEXPECTED, "args.segments[%lld].index is %lld, but args.flags lacks SWD_PLAN_INDEXED", k,
                     static_cast<Long>(segment.index));
  }
  if (segment.index < 0 || segment.index > INT64_MAX - segment.count) {
    return set_error(SWD_ERR_SIZE, "args.segments[%lld].index is %lld: with its count expected 0 to 2^63 - 1", k,
                     static_cast<Long>(segment.index));
  }
  return SWD_OK;
}

swd_status check_segments(const swd_plan_args& args) {
  Walk walk{0, 0};
  for (int64_t k = 0; k < args.segment_count; ++k) {
    swd_segment segment;
    Long number = k;
    if (!read_element(args.segments, args.segment_stride, k, segment)) {
      return set_error(SWD_ERR_STRUCT_SIZE, "args.segments[%lld]: a member that is unknown here is set", number);
    }
    if (segment.flags & ~kSegmentFlags) {
      return set_error(SWD_ERR_FLAGS, "args.segments[%lld].flags has unknown bits: 0x%x", number, segment.flags);
    }
    if (segment.group >= args.group_count) {
      return set_error(SWD_ERR_VALUE, "args.segments[%lld].group is %u, but args.group_count is %u", number,
                       segment.group, args.group_count);
    }
    if (swd_status status = check_segment_counts(segment, number, walk)) return status;
    if (swd_status status = check_segment_place(args, segment, number, walk)) return status;
  }
  return SWD_OK;
}

}  // namespace

swd_status check_backend(swd_backend backend, const char* name) {
  if (backend == SWD_BACKEND_CPU) return SWD_OK;
  if (backend != SWD_BACKEND_CUDA) return set_error(SWD_ERR_ENUM, "%s is %d, which is no backend", name, backend);
  if (cuda_backend()) return SWD_OK;
  return set_error(SWD_ERR_NO_CUDA, "%s is SWD_BACKEND_CUDA, but this library was built without CUDA", name);
}

Dtypes dtypes_of(const swd_plan_args& args) {
  swd_dtype moment = args.moment_dtype == kNone ? kF32 : args.moment_dtype;
  return Dtypes{args.param_dtype, args.grad_dtype, args.copy_dtype, moment, args.remainder_dtype};
}

swd_status check_plan(const swd_plan_args& args) {
  swd_status status = check_stride(args.segment_stride, kSizes<swd_segment>, "args.segment_stride");
  if (status == SWD_OK && (args.flags & ~kPlanFlags)) {
    status = set_error(SWD_ERR_FLAGS, "args.flags has unknown bits: 0x%x", args.flags);
  }
  if (status == SWD_OK && args.reserved != 0) {
    status = set_error(SWD_ERR_FLAGS, "args.reserved is %u, expected 0", args.reserved);
  }
  if (status == SWD_OK) status = check_backend(args.backend, "args.backend");
  if (status == SWD_OK) status = check_dtypes(args);
  if (status == SWD_OK) status = check_counts(args);
  if (status == SWD_OK && args.segment_count > 0) status = check_object(args.segments, "args.segments");
  if (status == SWD_OK) status = check_alignment(args.decay_modes, alignof(swd_decay), "args.decay_modes");
  if (status == SWD_OK) status = check_decay_modes(args);
  return status == SWD_OK ? check_segments(args) : status;
}

swd_status check_indices(const Plan& plan) {
  for (size_t i = 1; i < plan.by_index.size(); ++i) {
    uint32_t before = plan.by_index[i - 1], k = plan.by_index[i];
    if (plan.segments[k].count == 0) break;  // only empty ones follow
    if (plan.index[k] < plan.index[before] + plan.segments[before].count) {
      return set_error(SWD_ERR_LAYOUT, "args.segments[%u].index is %lld, but args.segments[%u] covers it too", k,
                       static_cast<Long>(plan.index[k]), before);
    }
  }
  return SWD_OK;
}

}  // namespace swd
