// SPDX-License-Identifier: Apache-2.0
// Entry points of the state image: one segment's entry, blob and back, and the running sums from the moments.
#include <cfloat>

#include "backend.h"
#include "blob.h"
#include "check_step.h"
#include "kernels/cpu/float_environment.h"
#include "kernels/record.h"

using namespace swd;

namespace {

constexpr int64_t kMostBlobs = INT32_MAX;  // so that an array of that many pointers fits any address space

const StateHeader& header_of(const void* image) { return *static_cast<const StateHeader*>(image); }

const SegmentState* segments_of(const void* image) {
  return reinterpret_cast<const SegmentState*>(static_cast<const StateHeader*>(image) + 1);
}

swd_status check_image(const swd_plan* plan, const void* image, uint64_t image_bytes) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_bytes(image_bytes, plan->state_bytes, "image_bytes");
  if (status == SWD_OK) status = check_pointer(image, "image");
  return status == SWD_OK ? check_alignment(image, kImageAlignment, "image") : status;
}

swd_status check_state(const Plan& plan, const SegmentState& state, const char* name, long long segment) {
  int64_t step = state.step;
  double sum = state.exp_avg_sq_sum, unit = state.exp_avg_sq_unit;
  if (step < 0) {
    return set_error(SWD_ERR_VALUE, "%s: step of segment %lld is %lld, expected at least 0", name, segment,
                     static_cast<long long>(step));
  }
  if (!is_valid_sum(sum)) {
    return set_error(SWD_ERR_VALUE,
                     "%s: exp_avg_sq_sum of segment %lld is %.17g, expected a finite number >= 0, or -1: unknown", name,
                     segment, sum);
  }
  if (!is_unit(unit, plan.facts.narrow != 0)) {
    return set_error(SWD_ERR_VALUE, "%s: exp_avg_sq_unit of segment %lld is %.17g, expected %s", name, segment, unit,
                     plan.facts.narrow ? "0.5 to 1, or 0" : "0 or 1: this plan's moments are F32");
  }
  return SWD_OK;
}

swd_status check_reference(double reference, const char* name) {
  if (reference >= 0.0 && reference <= DBL_MAX) return SWD_OK;
  return set_error(SWD_ERR_VALUE, "%s: vbar_reference is %.17g, expected a finite number >= 0", name, reference);
}

swd_status check_contents(const Plan& plan, const void* image) {
  swd_status status = check_reference(header_of(image).vbar_reference, "image");
  for (int64_t k = 0; status == SWD_OK && k < plan.facts.segment_count; ++k) {
    status = check_state(plan, segments_of(image)[k], "image", k);
  }
  return status;
}

// The caller's version of a struct, of `size` bytes, from ours and back.
template <class T>
swd_status give(const T& known, T* out, uint64_t size) {
  swd_status status = check_object(out, "out");
  if (status == SWD_OK) status = check_bytes(size, 1, "size");
  if (status == SWD_OK) memcpy(out, &known, size < sizeof known ? size : sizeof known);
  return status;
}

template <class T>
swd_status take(const T* in, uint64_t size, T& known) {
  swd_status status = check_object(in, "in");
  return status == SWD_OK ? adopt_bytes(in, size, kSizes<T>, "size", "", &known) : status;
}

swd_state_header public_header(const void* image) {
  const StateHeader& header = header_of(image);
  return {header.steps_applied, header.steps_skipped, header.vbar_reference, header.rounding_seed};
}

swd_segment_state public_state(const void* image, int64_t segment) {
  const SegmentState& state = segments_of(image)[segment];
  return {state.step, state.exp_avg_sq_sum, state.exp_avg_sq_unit, 0};
}

swd_status check_blobs(const Plan& plan, const Blobs& blobs, const void* image) {
  if (blobs.count < 1 || blobs.count > kMostBlobs) {
    return set_error(SWD_ERR_SIZE, "blob_count is %lld, expected 1 to %lld", static_cast<long long>(blobs.count),
                     static_cast<long long>(kMostBlobs));
  }
  swd_status status = check_object(blobs.data, "blobs");
  if (status == SWD_OK) status = check_object(blobs.bytes, "blob_bytes");
  for (int64_t b = 0; status == SWD_OK && b < blobs.count; ++b) {
    if (!blobs.data[b]) return set_error(SWD_ERR_NULL, "blobs[%lld] is NULL", static_cast<long long>(b));
    status = check_disjoint(blobs.data[b], blobs.bytes[b], "blobs", image, plan.state_bytes, "image");
  }
  for (int64_t b = 0; status == SWD_OK && b < blobs.count; ++b) status = check_blob(blobs, b);
  return status;
}

}  // namespace

extern "C" {

swd_status swd_state_header_get(const swd_plan* plan, const void* image, uint64_t image_bytes, swd_state_header* out,
                                uint64_t size) {
  swd_status status = check_image(plan, image, image_bytes);
  return status == SWD_OK ? give(public_header(image), out, size) : status;
}

swd_status swd_state_header_set(const swd_plan* plan, void* image, uint64_t image_bytes, const swd_state_header* in,
                                uint64_t size) {
  cpu::FloatEnvironment environment;  // numbers are looked at: no trap for NaN, no denormal taken for zero
  swd_status status = check_image(plan, image, image_bytes);
  if (status != SWD_OK) return status;
  swd_state_header known = public_header(image);
  status = take(in, size, known);
  if (status == SWD_OK) status = check_reference(known.vbar_reference, "in");
  if (status != SWD_OK) return status;
  StateHeader& header = *static_cast<StateHeader*>(image);
  header.steps_applied = known.steps_applied;
  header.steps_skipped = known.steps_skipped;
  header.vbar_reference = known.vbar_reference;
  header.rounding_seed = known.rounding_seed;
  return SWD_OK;
}

swd_status swd_state_get(const swd_plan* plan, const void* image, uint64_t image_bytes, int64_t segment,
                         swd_segment_state* out, uint64_t size) {
  swd_status status = check_image(plan, image, image_bytes);
  if (status == SWD_OK) status = check_segment(*plan, segment);
  return status == SWD_OK ? give(public_state(image, segment), out, size) : status;
}

swd_status swd_state_set(const swd_plan* plan, void* image, uint64_t image_bytes, int64_t segment,
                         const swd_segment_state* in, uint64_t size) {
  cpu::FloatEnvironment environment;
  swd_status status = check_image(plan, image, image_bytes);
  if (status == SWD_OK) status = check_segment(*plan, segment);
  if (status != SWD_OK) return status;
  swd_segment_state known = public_state(image, segment);
  status = take(in, size, known);
  if (status == SWD_OK && known.reserved != 0) {
    status = set_error(SWD_ERR_UNEXPECTED, "in: reserved is %llu, expected 0",
                       static_cast<unsigned long long>(known.reserved));
  }
  SegmentState state{known.step, known.exp_avg_sq_sum, known.exp_avg_sq_unit, 0};
  if (status == SWD_OK) status = check_state(*plan, state, "in", segment);
  if (status == SWD_OK) const_cast<SegmentState*>(segments_of(image))[segment] = state;
  return status;
}

swd_status swd_state_blob_size(const swd_plan* plan, uint64_t* bytes) {
  swd_status status = check_pointer(plan, "plan");
  if (status == SWD_OK) status = check_object(bytes, "bytes");
  if (status == SWD_OK) *bytes = blob_bytes_of(*plan);
  return status;
}

swd_status swd_state_export(const swd_plan* plan, const void* image, uint64_t image_bytes, void* blob,
                            uint64_t blob_bytes) {
  cpu::FloatEnvironment environment;
  swd_status status = check_image(plan, image, image_bytes);
  if (status == SWD_OK) status = check_bytes(blob_bytes, blob_bytes_of(*plan), "blob_bytes");
  if (status == SWD_OK) status = check_pointer(blob, "blob");
  if (status == SWD_OK) {
    status = check_disjoint(blob, blob_bytes_of(*plan), "blob", image, plan->state_bytes, "image");
  }
  if (status == SWD_OK) status = check_contents(*plan, image);
  if (status == SWD_OK) write_blob(*plan, header_of(image), segments_of(image), blob);
  return status;
}

// Reads twice, because the image may be written only once everything is known to fit.
swd_status swd_state_import(const swd_plan* plan, const void* const* blobs, const uint64_t* blob_bytes,
                            int64_t blob_count, void* image, uint64_t image_bytes) {
  cpu::FloatEnvironment environment;  // sums are shared out
  Blobs all{blobs, blob_bytes, blob_count};
  swd_status status = check_image(plan, image, image_bytes);
  StateHeader header;
  SegmentState state;
  if (status == SWD_OK) status = check_blobs(*plan, all, image);
  if (status == SWD_OK) status = read_header(*plan, all, header);
  if (status != SWD_OK) return status;
  uint32_t segments = static_cast<uint32_t>(plan->facts.segment_count);
  for (uint32_t k = 0; k < segments; ++k) {
    status = read_segment(*plan, all, k, state);
    if (status != SWD_OK) return status;
  }
  *static_cast<StateHeader*>(image) = header;
  for (uint32_t k = 0; k < segments; ++k) {
    read_segment(*plan, all, k, const_cast<SegmentState*>(segments_of(image))[k]);
  }
  return SWD_OK;
}

swd_status swd_state_rebuild(const swd_plan* plan, const swd_buffers* buffers, void* stream) {
  Pass pass;
  swd_status status = check_rebuild(plan, buffers, stream, pass);
  return status == SWD_OK ? backend_of(*plan).rebuild(*plan, pass, stream) : status;
}

}  // extern "C"
