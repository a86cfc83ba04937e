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
  double unit = 0.0;  // 0 reads as 1
};

// What a blob says once.
struct Start {
  uint32_t version = 2;
  uint64_t applied = 0, skipped = 0, key = 0, seed = 0;
  double reference = 0.0;
};

using Bytes = std::vector<uint8_t>;

// What a blob's header may say differently from what is true; zeros: nothing.
struct Lies {
  uint32_t version = 0, record_bytes = 0;
  uint64_t records = 0;
};

Bytes make_blob(const std::vector<Record>& records, const Start& start, const Lies& lies);
void put_checksum(Bytes& blob);  // makes the last 8 bytes right

struct Part {  // a segment of the importing plan
  int64_t index, count;
};

struct Imported {
  swd_status status;
  Start start;
  std::vector<Record> states;  // step, sum and unit of each part
};

Imported import_reference(const std::vector<Part>& plan, uint64_t key, const std::vector<Bytes>& blobs);

}  // namespace swd::fuzz
