// SPDX-License-Identifier: Apache-2.0
// State blobs once more, written for the test from the format that src/host/blob.cpp documents: builds blobs, says what
// an import of given bytes must answer. Goes through every element, where the library bisects. Used by fuzz_state.cpp.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd::fuzz {

struct Record {
  int64_t index, count, step;
  double sum;
};

using Bytes = std::vector<uint8_t>;

// What a blob's header may say differently from what is true; zeros: nothing.
struct Lies {
  uint32_t version = 0, record_bytes = 0;
  uint64_t records = 0;
};

Bytes make_blob(const std::vector<Record>& records, uint64_t applied, uint64_t skipped, const Lies& lies);
void put_checksum(Bytes& blob);  // makes the last 8 bytes right

struct Part {  // a segment of the importing plan
  int64_t index, count;
};

struct Imported {
  swd_status status;
  swd_state_header counts;
  std::vector<swd_segment_state> states;
};

Imported import_reference(const std::vector<Part>& plan, const std::vector<Bytes>& blobs);

}  // namespace swd::fuzz
