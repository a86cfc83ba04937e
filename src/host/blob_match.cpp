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

swd_state_header read_counts(const Blobs& blobs) {
  swd_state_header out{0, 0};
  for (int64_t b = 0; b < blobs.count; ++b) {
    swd_state_header counts = blob_counts(blobs.data[b]);
    out.steps_applied = std::max(out.steps_applied, counts.steps_applied);
    out.steps_skipped = std::max(out.steps_skipped, counts.steps_skipped);
  }
  return out;
}

swd_status read_segment(const Plan& plan, const Blobs& blobs, uint32_t k, swd_segment_state& out) {
  out = {0, 0.0};
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
      out = {record.step, sum};
    } else if (out.step != record.step) {
      return set_error(SWD_ERR_BLOB_PLAN, "blobs: segment %u: index %lld has step %lld, those before have %lld", k,
                       static_cast<Long>(position), static_cast<Long>(record.step), static_cast<Long>(out.step));
    } else {
      out.exp_avg_sq_sum =
          out.exp_avg_sq_sum == kUnknownSum || sum == kUnknownSum ? kUnknownSum : out.exp_avg_sq_sum + sum;
    }
    position = part_end;
  }
  return SWD_OK;
}

}  // namespace swd
