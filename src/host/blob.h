// SPDX-License-Identifier: Apache-2.0
// The state blob: a state image as bytes that any machine and any later version can read.
// Called by api_state.cpp.
#pragma once
#include "plan.h"

namespace swd {

// The blobs of one import: the shards of a model, in any order.
struct Blobs {
  const void* const* data;
  const uint64_t* bytes;
  int64_t count;
};

struct BlobRecord {
  int64_t index, count, step;
  double sum;
  double unit;  // of exp_avg_sq, never 0
};

struct BlobHeader {
  uint64_t steps_applied, steps_skipped;
  uint64_t model_key;  // 0: none
  uint64_t rounding_seed;
  double vbar_reference;  // 0: not set
};

constexpr double kUnknownSum = -1.0;

bool is_valid_sum(double sum);

uint64_t blob_bytes_of(const Plan& plan);
void write_blob(const Plan& plan, const StateHeader& header, const SegmentState* segments, void* blob);

// Everything about one blob but whether it fits a plan. The functions below are for blobs that passed.
swd_status check_blob(const Blobs& blobs, int64_t number);

uint64_t blob_record_count(const void* blob);
BlobRecord blob_record(const void* blob, uint64_t i);
BlobHeader blob_header(const void* blob);

// blob_match.cpp: what all blobs together say of the model, if they agree; the state of segment k, if each of its
// elements is covered once.
swd_status read_header(const Plan& plan, const Blobs& blobs, StateHeader& out);
swd_status read_segment(const Plan& plan, const Blobs& blobs, uint32_t k, SegmentState& out);

}  // namespace swd
