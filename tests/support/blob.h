// SPDX-License-Identifier: Apache-2.0
// State blobs written by hand, from the description in src/host/blob.cpp, and plans that are nothing but segments. Used
// by the tests of export and import.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "support/device_buffer.h"

namespace swd::test {

struct Record {
  int64_t index, count, step;
  double sum;
  double unit = 0.0;
};

// What a blob says once.
struct BlobStart {
  uint64_t applied = 9, skipped = 2, key = 0, seed = 0;
  double reference = 0.0;
};

constexpr size_t kBlobHeader = 64, kBlobRecord = 40;

using Blob = std::vector<uint8_t>;

inline void put(Blob& blob, size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) blob[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

// Makes the checksum right again.
inline void seal(Blob& blob) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (size_t i = 0; i + 8 < blob.size(); ++i) hash = (hash ^ blob[i]) * 0x100000001B3u;
  put(blob, blob.size() - 8, hash, 8);
}

inline void put(Blob& blob, size_t at, double value) {
  uint64_t bits;
  memcpy(&bits, &value, 8);
  put(blob, at, bits, 8);
}

// Version 1 is what 0.1 wrote: a shorter header, and records without unit.
inline Blob blob_of(const std::vector<Record>& records, const BlobStart& start = {}, uint32_t version = 2) {
  size_t header = version == 1 ? 40 : kBlobHeader, size = version == 1 ? 32 : kBlobRecord;
  Blob blob(header + size * records.size() + 8);
  memcpy(blob.data(), "SWDSTATE", 8);
  put(blob, 8, version, 4);
  put(blob, 12, size, 4);
  put(blob, 16, records.size(), 8);
  put(blob, 24, start.applied, 8);
  put(blob, 32, start.skipped, 8);
  if (version > 1) {
    put(blob, 40, start.key, 8);
    put(blob, 48, start.seed, 8);
    put(blob, 56, start.reference);
  }
  for (size_t i = 0; i < records.size(); ++i) {
    size_t at = header + size * i;
    put(blob, at, static_cast<uint64_t>(records[i].index), 8);
    put(blob, at + 8, static_cast<uint64_t>(records[i].count), 8);
    put(blob, at + 16, static_cast<uint64_t>(records[i].step), 8);
    put(blob, at + 24, records[i].sum);
    if (version > 1) put(blob, at + 32, records[i].unit);
  }
  seal(blob);
  return blob;
}

// A plan of segments (index, count), and its image between canaries.
class StatePlan {
 public:
  explicit StatePlan(const std::vector<std::pair<int64_t, int64_t>>& cuts,
                     uint32_t flags = SWD_PLAN_LIST | SWD_PLAN_INDEXED, uint64_t model_key = 0,
                     swd_dtype moment = SWD_DTYPE_NONE)
      : image_(SWD_BACKEND_CPU, 64 + 32 * cuts.size()) {
    std::vector<swd_segment> segments;
    for (auto [index, count] : cuts) segments.push_back({0, count, index, 0, 0});
    const swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.backend = backend_under_test();
    args.flags = flags;
    args.segments = segments.data();
    args.segment_count = static_cast<int64_t>(segments.size());
    args.decay_modes = &decay;
    args.group_count = 1;
    args.model_key = model_key;
    args.moment_dtype = moment;
    EXPECT_EQ(swd_plan_create(&args, &plan_), SWD_OK) << swd_error_detail();
  }
  ~StatePlan() { EXPECT_EQ(swd_plan_destroy(plan_), SWD_OK); }

  swd_status import(const std::vector<Blob>& blobs) {
    std::vector<const void*> pointers;
    std::vector<uint64_t> bytes;
    for (const Blob& blob : blobs) {
      pointers.push_back(blob.data());
      bytes.push_back(blob.size());
    }
    return import_at(pointers.data(), bytes.data(), static_cast<int64_t>(blobs.size()));
  }
  swd_status import_at(const void* const* blobs, const uint64_t* bytes, int64_t count = 1) {
    return swd_state_import(plan_, blobs, bytes, count, image_.data(), image_.bytes());
  }
  Blob export_blob() {
    uint64_t bytes = 0;
    EXPECT_EQ(swd_state_blob_size(plan_, &bytes), SWD_OK);
    Blob blob(bytes);
    EXPECT_EQ(swd_state_export(plan_, image_.data(), image_.bytes(), blob.data(), bytes), SWD_OK) << swd_error_detail();
    return blob;
  }
  swd_segment_state get(int64_t segment) {
    swd_segment_state out{-7, -7.0};
    EXPECT_EQ(swd_state_get(plan_, image_.data(), image_.bytes(), segment, &out, sizeof(swd_segment_state)), SWD_OK);
    return out;
  }
  swd_state_header header() {
    swd_state_header out{};
    EXPECT_EQ(swd_state_header_get(plan_, image_.data(), image_.bytes(), &out, sizeof out), SWD_OK);
    return out;
  }

  // The import is refused with this status, a message that names the blob, and an image as it was.
  void expect_refused(const std::vector<Blob>& blobs, swd_status status, const std::string& what,
                      const std::string& named = "blobs") {
    std::vector<uint8_t> before = image_.read_all();
    EXPECT_EQ(swd_status_name(import(blobs)), std::string(swd_status_name(status)))
        << what << ": " << swd_error_detail();
    EXPECT_NE(std::string(swd_error_detail()).find(named), std::string::npos) << what << ": " << swd_error_detail();
    EXPECT_TRUE(image_.read_all() == before && image_.canaries_intact()) << what;
  }

 private:
  DeviceBuffer image_;
  swd_plan* plan_ = nullptr;
};

}  // namespace swd::test
