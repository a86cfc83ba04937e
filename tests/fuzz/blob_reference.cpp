// SPDX-License-Identifier: Apache-2.0
// The reference of blob_reference.h.
#include "blob_reference.h"

#include <algorithm>
#include <cstring>

namespace swd::fuzz {
namespace {

void put(Bytes& blob, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) blob.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t get(const Bytes& blob, uint64_t at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(blob[at + static_cast<uint64_t>(i)]) << (8 * i);
  return value;
}

uint64_t fnv1a(const Bytes& blob, uint64_t bytes) {
  uint64_t hash = 14695981039346656037u;
  for (uint64_t i = 0; i < bytes; ++i) {
    hash ^= blob[i];
    hash *= 1099511628211u;
  }
  return hash;
}

uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

bool right_sum(double sum) { return !(sum < 0.0) || sum == -1.0; }

std::vector<Record> records_of(const Bytes& blob) {
  std::vector<Record> out(get(blob, 16, 8));
  for (uint64_t i = 0; i < out.size(); ++i) {
    uint64_t sum = get(blob, 40 + 32 * i + 24, 8);
    out[i] = {static_cast<int64_t>(get(blob, 40 + 32 * i, 8)), static_cast<int64_t>(get(blob, 48 + 32 * i, 8)),
              static_cast<int64_t>(get(blob, 56 + 32 * i, 8)), 0.0};
    memcpy(&out[i].sum, &sum, sizeof sum);
  }
  return out;
}

swd_status check(const Bytes& blob) {
  uint64_t seen = std::min<uint64_t>(blob.size(), 8);
  if (memcmp(blob.data(), "SWDSTATE", seen) != 0) return SWD_ERR_BLOB_MAGIC;
  if (blob.size() < 48) return SWD_ERR_BLOB_SIZE;
  if (get(blob, 8, 4) != 1) return SWD_ERR_BLOB_VERSION;
  if (get(blob, 12, 4) != 32 || (blob.size() - 48) % 32 != 0 || (blob.size() - 48) / 32 != get(blob, 16, 8)) {
    return SWD_ERR_BLOB_SIZE;
  }
  if (fnv1a(blob, blob.size() - 8) != get(blob, blob.size() - 8, 8)) return SWD_ERR_BLOB_CHECKSUM;
  int64_t end = 0;     // of the records so far
  bool empty = false;  // only records without elements may follow one
  for (const Record& r : records_of(blob)) {
    if (r.index < 0 || r.count < 0 || r.step < 0 || r.count > INT64_MAX - r.index || !right_sum(r.sum)) {
      return SWD_ERR_BLOB_VALUE;
    }
    if (r.count > 0 && (empty || r.index < end)) return SWD_ERR_BLOB_VALUE;
    if (r.count == 0) empty = true;
    if (r.count > 0) end = r.index + r.count;
  }
  return SWD_OK;
}

// The state of one segment, element by element. False if some element has not exactly one record, or steps differ.
bool gather(const Part& part, const std::vector<Record>& records, swd_segment_state& out) {
  out = {0, 0.0};
  const Record* latest = nullptr;
  for (int64_t i = part.index; i < part.index + part.count; ++i) {
    const Record* holder = nullptr;
    for (const Record& r : records) {
      if (i < r.index || i - r.index >= r.count) continue;
      if (holder) return false;
      holder = &r;
    }
    if (!holder) return false;
    if (holder == latest) continue;
    int64_t first = std::max(holder->index, part.index),
            end = std::min(holder->index + holder->count, part.index + part.count);
    double sum = holder->sum;
    if (end - first < holder->count && sum != -1.0)
      sum *= static_cast<double>(end - first) / static_cast<double>(holder->count);
    if (!latest)
      out = {holder->step, sum};
    else if (holder->step != out.step)
      return false;
    else
      out.exp_avg_sq_sum = out.exp_avg_sq_sum == -1.0 || sum == -1.0 ? -1.0 : out.exp_avg_sq_sum + sum;
    latest = holder;
  }
  return true;
}

}  // namespace

void put_checksum(Bytes& blob) {
  if (blob.size() < 8) return;
  uint64_t sum = fnv1a(blob, blob.size() - 8);
  for (size_t i = 0; i < 8; ++i) blob[blob.size() - 8 + i] = static_cast<uint8_t>(sum >> (8 * i));
}

Bytes make_blob(const std::vector<Record>& records, uint64_t applied, uint64_t skipped, const Lies& lies) {
  Bytes blob;
  for (char letter : {'S', 'W', 'D', 'S', 'T', 'A', 'T', 'E'}) blob.push_back(static_cast<uint8_t>(letter));
  put(blob, 1 + lies.version, 4);
  put(blob, 32 + lies.record_bytes, 4);
  put(blob, records.size() + lies.records, 8);
  put(blob, applied, 8);
  put(blob, skipped, 8);
  for (const Record& r : records) {
    put(blob, static_cast<uint64_t>(r.index), 8);
    put(blob, static_cast<uint64_t>(r.count), 8);
    put(blob, static_cast<uint64_t>(r.step), 8);
    put(blob, bits_of(r.sum), 8);
  }
  put(blob, 0, 8);
  put_checksum(blob);
  return blob;
}

Imported import_reference(const std::vector<Part>& plan, const std::vector<Bytes>& blobs) {
  Imported out{SWD_OK, {0, 0}, {}};
  std::vector<Record> all;
  for (const Bytes& blob : blobs) {
    out.status = check(blob);
    if (out.status != SWD_OK) return out;
    std::vector<Record> more = records_of(blob);
    all.insert(all.end(), more.begin(), more.end());
    out.counts.steps_applied = std::max<uint64_t>(out.counts.steps_applied, get(blob, 24, 8));
    out.counts.steps_skipped = std::max<uint64_t>(out.counts.steps_skipped, get(blob, 32, 8));
  }
  for (const Part& part : plan) {
    swd_segment_state state;
    if (!gather(part, all, state)) out.status = SWD_ERR_BLOB_PLAN;
    if (out.status != SWD_OK) return out;
    out.states.push_back(state);
  }
  return out;
}

}  // namespace swd::fuzz
