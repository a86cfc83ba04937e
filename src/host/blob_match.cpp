// SPDX-License-Identifier: Apache-2.0
// Finds the state of a segment in blobs whose records may be cut differently. Called by swd_state_import.
#include <algorithm>

#include "blob.h"
#include "error.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform

// The first record of a blob that holds `position` or an element beyond it.
bool find_from(const void* blob, int64_t position, BlobRecord& out) {
  uint64_t first = 0, end = blob_record_count(blob);
  while (first < end) {
    uint64_t middle = first + (end - first) / 2;
    out = blob_record(blob, middle);
    if (out.count == 0 || out.index + out.count > position) {
      end = middle;
    } else {
      first = middle + 1;
    }
  }
  if (first == blob_record_count(blob)) return false;
  out = blob_record(blob, first);
  return out.count > 0;
}

// The only record of all blobs that covers `position`, if it is also the only one up to its own end or to `end`.
swd_status find_single(const Blobs& blobs, uint32_t k, int64_t position, int64_t end, BlobRecord& out) {
  int holders = 0;
  int64_t next = end;  // where a record begins that covers only what lies beyond
  for (int64_t b = 0; b < blobs.count; ++b) {
    BlobRecord record;
    if (!find_from(blobs.data[b], position, record)) continue;
    if (record.index > position) {
      next = std::min(next, record.index);
    } else if (++holders == 1) {
      out = record;
    }
  }
  if (holders == 0) {
    return set_error(SWD_ERR_BLOB_PLAN, "blobs: segment %u: no record covers index %lld", k,
                     static_cast<Long>(position));
  }
  if (holders > 1 || (next < end && next < out.index + out.count)) {
    return set_error(SWD_ERR_BLOB_PLAN, "blobs: segment %u: several records cover index %lld", k,
                     static_cast<Long>(holders > 1 ? position : next));
  }
  return SWD_OK;
}

}  // namespace

namespace {

// Takes `found` over where nothing was known yet. 0 is nothing.
template <class T>
bool agree(T& known, T found) {
  if (known == T{}) known = found;
  return found == T{} || found == known;
}

}  // namespace

swd_status read_header(const Plan& plan, const Blobs& blobs, StateHeader& out) {
  out = {};
  out.rounding_seed = blob_header(blobs.data[0]).rounding_seed;
  uint64_t model_key = plan.model_key;
  for (int64_t b = 0; b < blobs.count; ++b) {
    BlobHeader header = blob_header(blobs.data[b]);
    Long number = b;
    if (!agree(model_key, header.model_key)) {
      return set_error(SWD_ERR_BLOB_PLAN, "blobs[%lld] is of model key %llu, expected %llu", number,
                       static_cast<unsigned long long>(header.model_key), static_cast<unsigned long long>(model_key));
    }
    if (!agree(out.vbar_reference, header.vbar_reference)) {
      return set_error(SWD_ERR_BLOB_PLAN, "blobs[%lld] has reference %.17g, those before it have %.17g", number,
                       header.vbar_reference, out.vbar_reference);
    }
    if (header.rounding_seed != out.rounding_seed) {
      return set_error(SWD_ERR_BLOB_PLAN, "blobs[%lld] has rounding seed %llu, those before it have %llu", number,
                       static_cast<unsigned long long>(header.rounding_seed),
                       static_cast<unsigned long long>(out.rounding_seed));
    }
    out.steps_applied = std::max(out.steps_applied, header.steps_applied);
    out.steps_skipped = std::max(out.steps_skipped, header.steps_skipped);
  }
  return SWD_OK;
}

swd_status read_segment(const Plan& plan, const Blobs& blobs, uint32_t k, SegmentState& out) {
  out = {};
  int64_t begin = plan.index[k], end = begin + plan.segments[k].count;
  for (int64_t position = begin; position < end;) {
    BlobRecord record{};
    if (swd_status status = find_single(blobs, k, position, end, record)) return status;
    int64_t record_end = record.index + record.count;
    int64_t part_end = std::min(record_end, end);
    bool cut = part_end - position < record.count;
    double share = static_cast<double>(part_end - position) / static_cast<double>(record.count);
    double sum = cut && record.sum != kUnknownSum ? record.sum * share : record.sum;
    if (position == begin) {
      out.step = record.step;
      out.exp_avg_sq_sum = sum;
      out.exp_avg_sq_unit = record.unit;
    } else if (out.step != record.step) {
      return set_error(SWD_ERR_BLOB_PLAN, "blobs: segment %u: index %lld has step %lld, those before have %lld", k,
                       static_cast<Long>(position), static_cast<Long>(record.step), static_cast<Long>(out.step));
    } else if (out.exp_avg_sq_unit != record.unit) {
      return set_error(SWD_ERR_BLOB_PLAN, "blobs: segment %u: index %lld has unit %.17g, those before have %.17g", k,
                       static_cast<Long>(position), record.unit, out.exp_avg_sq_unit);
    } else {
      out.exp_avg_sq_sum =
          out.exp_avg_sq_sum == kUnknownSum || sum == kUnknownSum ? kUnknownSum : out.exp_avg_sq_sum + sum;
    }
    if (!plan.facts.narrow && record.unit != 1.0) {
      return set_error(SWD_ERR_BLOB_PLAN,
                       "blobs: segment %u: index %lld has unit %.17g, of narrow moments, but this plan's are F32", k,
                       static_cast<Long>(position), record.unit);
    }
    if (!is_valid_sum(out.exp_avg_sq_sum)) {
      return set_error(SWD_ERR_BLOB_VALUE, "blobs: segment %u: its running sums exceed a double", k);
    }
    position = part_end;
  }
  if (out.exp_avg_sq_unit == 1.0) out.exp_avg_sq_unit = 0.0;  // as a fresh state has it
  return SWD_OK;
}

}  // namespace swd
