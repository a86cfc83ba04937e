// SPDX-License-Identifier: Apache-2.0
// Writes and checks state blobs.
//
// Format, version 1. All numbers little-endian, without padding, at any alignment:
//      0   8  magic "SWDSTATE"
//      8   4  format version, 1
//     12   4  bytes of a record, 32
//     16   8  number of records n
//     24   8  steps applied
//     32   8  steps skipped
//     40      n records: index (signed 64 bits), count (signed 64), step (signed 64), running sum (bits of a double)
//     40+32n  8  checksum: FNV-1a 64 of everything before it
// One record per segment. Those with elements come first, ascending by index and disjoint, so that import finds a
// record by bisection and allocates nothing; those without follow.
// FNV-1a is enough against damage: its step h = (h ^ byte) * odd is a bijection of h for a given byte and changes with
// the byte for a given h, so a change of one byte always changes the sum, and other damage escapes with 2^-64.
#include "blob.h"

#include <cstring>

#include "error.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform

constexpr char kMagic[] = "SWDSTATE";
constexpr uint64_t kMagicBytes = 8;
constexpr uint32_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 40;
constexpr uint32_t kRecordBytes = 32;
constexpr uint64_t kChecksumBytes = 8;

class Writer {
 public:
  explicit Writer(void* at) : at_(static_cast<uint8_t*>(at)) {}
  void number(uint64_t value, int bytes) {
    for (; bytes > 0; --bytes, value >>= 8) *at_++ = static_cast<uint8_t>(value);
  }
  void number(int64_t value) { number(static_cast<uint64_t>(value), 8); }
  void number(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    number(bits, 8);
  }

 private:
  uint8_t* at_;
};

uint64_t number_at(const void* blob, uint64_t offset, int bytes) {
  const uint8_t* at = static_cast<const uint8_t*>(blob) + offset;
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = value << 8 | at[i];
  return value;
}

uint64_t checksum(const void* blob, uint64_t bytes) {
  const uint8_t* at = static_cast<const uint8_t*>(blob);
  uint64_t hash = 0xCBF29CE484222325u;
  for (uint64_t i = 0; i < bytes; ++i) hash = (hash ^ at[i]) * 0x100000001B3u;
  return hash;
}

swd_status check_records(const void* blob, Long number) {
  BlobRecord before{};
  for (uint64_t i = 0; i < blob_record_count(blob); ++i) {
    BlobRecord r = blob_record(blob, i);
    bool in_range = r.index >= 0 && r.count >= 0 && r.index <= INT64_MAX - r.count && r.step >= 0;
    if (!in_range || !is_valid_sum(r.sum)) {
      return set_error(SWD_ERR_BLOB_VALUE, "blobs[%lld]: record %llu has index %lld, count %lld, step %lld, sum %.17g",
                       number, static_cast<unsigned long long>(i), static_cast<Long>(r.index),
                       static_cast<Long>(r.count), static_cast<Long>(r.step), r.sum);
    }
    bool in_order = r.count == 0 || i == 0 || (before.count > 0 && r.index >= before.index + before.count);
    if (!in_order) {
      return set_error(SWD_ERR_BLOB_VALUE, "blobs[%lld]: record %llu, at index %lld, is out of order", number,
                       static_cast<unsigned long long>(i), static_cast<Long>(r.index));
    }
    before = r;
  }
  return SWD_OK;
}

}  // namespace

uint64_t blob_record_count(const void* blob) { return number_at(blob, 16, 8); }

BlobRecord blob_record(const void* blob, uint64_t i) {
  uint64_t at = kHeaderBytes + i * kRecordBytes;
  uint64_t bits = number_at(blob, at + 24, 8);
  BlobRecord record{static_cast<int64_t>(number_at(blob, at, 8)), static_cast<int64_t>(number_at(blob, at + 8, 8)),
                    static_cast<int64_t>(number_at(blob, at + 16, 8)), 0.0};
  memcpy(&record.sum, &bits, sizeof bits);
  return record;
}

swd_state_header blob_counts(const void* blob) { return {number_at(blob, 24, 8), number_at(blob, 32, 8)}; }

uint64_t blob_bytes_of(const Plan& plan) { return kHeaderBytes + plan.segments.size() * kRecordBytes + kChecksumBytes; }

// NaN is a sum that propagated non-finite gradients left behind.
bool is_valid_sum(double sum) { return sum >= 0.0 || sum == kUnknownSum || sum != sum; }

void write_blob(const Plan& plan, const swd_state_header& header, const swd_segment_state* segments, void* blob) {
  Writer writer(blob);
  for (uint64_t i = 0; i < kMagicBytes; ++i) writer.number(static_cast<uint8_t>(kMagic[i]), 1);
  writer.number(kVersion, 4);
  writer.number(kRecordBytes, 4);
  writer.number(plan.segments.size(), 8);
  writer.number(header.steps_applied, 8);
  writer.number(header.steps_skipped, 8);
  for (uint32_t k : plan.by_index) {
    writer.number(plan.index[k]);
    writer.number(plan.segments[k].count);
    writer.number(segments[k].step);
    writer.number(segments[k].exp_avg_sq_sum);
  }
  writer.number(checksum(blob, blob_bytes_of(plan) - kChecksumBytes), 8);
}

swd_status check_blob(const Blobs& blobs, int64_t number) {
  const void* blob = blobs.data[number];
  uint64_t bytes = blobs.bytes[number];
  Long n = number;
  unsigned long long size = bytes;
  if (memcmp(blob, kMagic, bytes < kMagicBytes ? bytes : kMagicBytes) != 0) {
    return set_error(SWD_ERR_BLOB_MAGIC, "blobs[%lld] does not begin with %s", n, kMagic);
  }
  if (bytes < kHeaderBytes + kChecksumBytes) {
    return set_error(SWD_ERR_BLOB_SIZE, "blobs[%lld]: blob_bytes is %llu, less than any blob has", n, size);
  }
  uint64_t version = number_at(blob, 8, 4);
  if (version != kVersion) {
    return set_error(SWD_ERR_BLOB_VERSION, "blobs[%lld] has format version %llu, expected %u", n,
                     static_cast<unsigned long long>(version), kVersion);
  }
  uint64_t body = bytes - kHeaderBytes - kChecksumBytes;
  if (number_at(blob, 12, 4) != kRecordBytes || body % kRecordBytes != 0 ||
      body / kRecordBytes != blob_record_count(blob)) {
    return set_error(SWD_ERR_BLOB_SIZE, "blobs[%lld]: blob_bytes is %llu, which does not fit its header", n, size);
  }
  if (checksum(blob, bytes - kChecksumBytes) != number_at(blob, bytes - kChecksumBytes, 8)) {
    return set_error(SWD_ERR_BLOB_CHECKSUM, "blobs[%lld] is damaged: its checksum differs", n);
  }
  return check_records(blob, n);
}

}  // namespace swd
