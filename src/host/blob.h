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
};

constexpr double kUnknownSum = -1.0;

bool is_valid_sum(double sum);

uint64_t blob_bytes_of(const Plan& plan);
void write_blob(const Plan& plan, const swd_state_header& header, const swd_segment_state* segments, void* blob);

// Everything about one blob but whether it fits a plan. The functions below are for blobs that passed.
swd_status check_blob(const Blobs& blobs, int64_t number);

uint64_t blob_record_count(const void* blob);
BlobRecord blob_record(const void* blob, uint64_t i);
swd_state_header blob_counts(const void* blob);

// blob_match.cpp: the largest counts of all blobs; the state of segment k, if each of its elements is covered once.
swd_state_header read_counts(const Blobs& blobs);
swd_status read_segment(const Plan& plan, const Blobs& blobs, uint32_t k, swd_segment_state& out);

}  // namespace swd
