// SPDX-License-Identifier: Apache-2.0
// Writes and checks state blobs.
//
// Format, version 2. All numbers little-endian, without padding, at any alignment:
//      0   8  magic "SWDSTATE"
//      8   4  format version, 2
//     12   4  bytes of a record, 40
//     16   8  number of records n
//     24   8  steps applied
//     32   8  steps skipped
//     40   8  model key, 0: none
//     48   8  rounding seed
//     56   8  reference of relative decay (bits of a double), 0: not set
//     64      n records: index (signed 64 bits), count (signed 64), step (signed 64), running sum (bits of a double),
//             unit of exp_avg_sq (bits of a double; 0 reads as 1)
//     64+40n  8  checksum: FNV-1a 64 of everything before it
// Version 1, which 0.1 wrote, is read too: bytes 40 to 63 are not there, and records end with the sum.
// One record per segment. Those with elements come first, ascending by index and disjoint, so that import finds a
// record by bisection and allocates nothing; those without follow.
// FNV-1a is enough against damage: its step h = (h ^ byte) * odd is a bijection of h for a given byte and changes with
// the byte for a given h, so a change of one byte always changes the sum, and other damage escapes with 2^-64.
#include "blob.h"

#include <cfloat>
#include <cstring>

#include "error.h"
#include "kernels/record.h"

namespace swd {
namespace {

using Long = long long;  // what printf knows on every platform

constexpr char kMagic[] = "SWDSTATE";
constexpr uint64_t kMagicBytes = 8;
constexpr uint32_t kVersion = 2;
constexpr uint64_t kChecksumBytes = 8;

struct Format {
  uint64_t header_bytes;
  uint32_t record_bytes;
};
constexpr Format kFormats[] = {{40, 32}, {64, 40}};  // by version, from 1
constexpr Format kFormat = kFormats[kVersion - 1];

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

double double_at(const void* blob, uint64_t offset) {
  uint64_t bits = number_at(blob, offset, 8);
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

uint64_t version_of(const void* blob) { return number_at(blob, 8, 4); }

// Of a blob whose version is known.
const Format& format_of(const void* blob) { return kFormats[version_of(blob) - 1]; }

bool is_finite_sum(double x) { return x >= 0.0 && x <= DBL_MAX; }

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
    if (!in_range || !is_valid_sum(r.sum) || !is_unit(r.unit, true)) {
      return set_error(SWD_ERR_BLOB_VALUE,
                       "blobs[%lld]: record %llu has index %lld, count %lld, step %lld, sum %.17g, unit %.17g", number,
                       static_cast<unsigned long long>(i), static_cast<Long>(r.index), static_cast<Long>(r.count),
                       static_cast<Long>(r.step), r.sum, r.unit);
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
  const Format& format = format_of(blob);
  uint64_t at = format.header_bytes + i * format.record_bytes;
  BlobRecord record{static_cast<int64_t>(number_at(blob, at, 8)), static_cast<int64_t>(number_at(blob, at + 8, 8)),
                    static_cast<int64_t>(number_at(blob, at + 16, 8)), double_at(blob, at + 24), 1.0};
  if (version_of(blob) == 1) return record;
  double unit = double_at(blob, at + 32);
  if (unit != 0.0) record.unit = unit;
  return record;
}

BlobHeader blob_header(const void* blob) {
  BlobHeader header{number_at(blob, 24, 8), number_at(blob, 32, 8), 0, 0, 0.0};
  if (version_of(blob) == 1) return header;
  header.model_key = number_at(blob, 40, 8);
  header.rounding_seed = number_at(blob, 48, 8);
  header.vbar_reference = double_at(blob, 56);
  return header;
}

uint64_t blob_bytes_of(const Plan& plan) {
  return kFormat.header_bytes + plan.segments.size() * kFormat.record_bytes + kChecksumBytes;
}

bool is_valid_sum(double sum) { return is_finite_sum(sum) || sum == kUnknownSum; }

void write_blob(const Plan& plan, const StateHeader& header, const SegmentState* segments, void* blob) {
  Writer writer(blob);
  for (uint64_t i = 0; i < kMagicBytes; ++i) writer.number(static_cast<uint8_t>(kMagic[i]), 1);
  writer.number(kVersion, 4);
  writer.number(kFormat.record_bytes, 4);
  writer.number(plan.segments.size(), 8);
  writer.number(header.steps_applied, 8);
  writer.number(header.steps_skipped, 8);
  writer.number(plan.model_key, 8);
  writer.number(header.rounding_seed, 8);
  writer.number(header.vbar_reference);
  for (uint32_t k : plan.by_index) {
    writer.number(plan.index[k]);
    writer.number(plan.segments[k].count);
    writer.number(segments[k].step);
    writer.number(segments[k].exp_avg_sq_sum);
    writer.number(segments[k].exp_avg_sq_unit);
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
  uint64_t least = kFormats[0].header_bytes + kChecksumBytes;
  if (bytes < least) {
    return set_error(SWD_ERR_BLOB_SIZE, "blobs[%lld]: blob_bytes is %llu, less than any blob has", n, size);
  }
  uint64_t version = version_of(blob);
  if (version < 1 || version > kVersion) {
    return set_error(SWD_ERR_BLOB_VERSION, "blobs[%lld] has format version %llu, expected 1 to %u", n,
                     static_cast<unsigned long long>(version), kVersion);
  }
  const Format& format = format_of(blob);
  uint64_t around = format.header_bytes + kChecksumBytes;
  uint64_t body = bytes < around ? 1 : bytes - around;  // 1 fits no number of records
  if (number_at(blob, 12, 4) != format.record_bytes || body % format.record_bytes != 0 ||
      body / format.record_bytes != blob_record_count(blob)) {
    return set_error(SWD_ERR_BLOB_SIZE, "blobs[%lld]: blob_bytes is %llu, which does not fit its header", n, size);
  }
  if (checksum(blob, bytes - kChecksumBytes) != number_at(blob, bytes - kChecksumBytes, 8)) {
    return set_error(SWD_ERR_BLOB_CHECKSUM, "blobs[%lld] is damaged: its checksum differs", n);
  }
  if (!is_finite_sum(blob_header(blob).vbar_reference)) {
    return set_error(SWD_ERR_BLOB_VALUE, "blobs[%lld]: the reference is %.17g, expected a finite number >= 0", n,
                     blob_header(blob).vbar_reference);
  }
  return check_records(blob, n);
}

}  // namespace swd
