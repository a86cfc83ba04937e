// SPDX-License-Identifier: Apache-2.0
// The reference of blob_reference.h.
#include "blob_reference.h"

#include <algorithm>
#include <cfloat>
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

double double_at(const Bytes& blob, uint64_t at) {
  uint64_t bits = get(blob, at, 8);
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

bool right_sum(double sum) { return (sum >= 0.0 && sum <= DBL_MAX) || sum == -1.0; }

double unit_of(const Record& r) { return r.unit == 0.0 ? 1.0 : r.unit; }

uint64_t header_of(const Bytes& blob) { return get(blob, 8, 4) == 1 ? 40 : 64; }
uint64_t record_of(const Bytes& blob) { return get(blob, 8, 4) == 1 ? 32 : 40; }

std::vector<Record> records_of(const Bytes& blob) {
  std::vector<Record> out(get(blob, 16, 8));
  for (uint64_t i = 0; i < out.size(); ++i) {
    uint64_t at = header_of(blob) + record_of(blob) * i;
    out[i] = {static_cast<int64_t>(get(blob, at, 8)), static_cast<int64_t>(get(blob, at + 8, 8)),
              static_cast<int64_t>(get(blob, at + 16, 8)), double_at(blob, at + 24)};
    if (record_of(blob) == 40) out[i].unit = double_at(blob, at + 32);
  }
  return out;
}

swd_status check(const Bytes& blob) {
  uint64_t seen = std::min<uint64_t>(blob.size(), 8);
  if (memcmp(blob.data(), "SWDSTATE", seen) != 0) return SWD_ERR_BLOB_MAGIC;
  if (blob.size() < 48) return SWD_ERR_BLOB_SIZE;
  if (get(blob, 8, 4) != 1 && get(blob, 8, 4) != 2) return SWD_ERR_BLOB_VERSION;
  uint64_t around = header_of(blob) + 8, size = record_of(blob);
  if (blob.size() < around || get(blob, 12, 4) != size || (blob.size() - around) % size != 0 ||
      (blob.size() - around) / size != get(blob, 16, 8)) {
    return SWD_ERR_BLOB_SIZE;
  }
  if (fnv1a(blob, blob.size() - 8) != get(blob, blob.size() - 8, 8)) return SWD_ERR_BLOB_CHECKSUM;
  if (get(blob, 8, 4) == 2) {
    double reference = double_at(blob, 56);
    if (!(reference >= 0.0 && reference <= DBL_MAX)) return SWD_ERR_BLOB_VALUE;
  }
  int64_t end = 0;     // of the records so far
  bool empty = false;  // only records without elements may follow one
  for (const Record& r : records_of(blob)) {
    if (r.index < 0 || r.count < 0 || r.step < 0 || r.count > INT64_MAX - r.index || !right_sum(r.sum) ||
        !(unit_of(r) >= 0.5 && unit_of(r) <= 1.0)) {
      return SWD_ERR_BLOB_VALUE;
    }
    if (r.count > 0 && (empty || r.index < end)) return SWD_ERR_BLOB_VALUE;
    if (r.count == 0) empty = true;
    if (r.count > 0) end = r.index + r.count;
  }
  return SWD_OK;
}

// The state of one segment, element by element: refused if some element has not exactly one record, if steps or units
// differ, or if the sum is none.
swd_status gather(const Part& part, const std::vector<Record>& records, Record& out) {
  out = {part.index, part.count, 0, 0.0};
  const Record* latest = nullptr;
  for (int64_t i = part.index; i < part.index + part.count; ++i) {
    const Record* holder = nullptr;
    for (const Record& r : records) {
      if (i < r.index || i - r.index >= r.count) continue;
      if (holder) return SWD_ERR_BLOB_PLAN;
      holder = &r;
    }
    if (!holder) return SWD_ERR_BLOB_PLAN;
    if (holder == latest) continue;
    int64_t first = std::max(holder->index, part.index),
            end = std::min(holder->index + holder->count, part.index + part.count);
    double sum = holder->sum;
    if (end - first < holder->count && sum != -1.0)
      sum *= static_cast<double>(end - first) / static_cast<double>(holder->count);
    if (!latest)
      out.step = holder->step, out.sum = sum, out.unit = unit_of(*holder) == 1.0 ? 0.0 : holder->unit;
    else if (holder->step != out.step || unit_of(*holder) != unit_of(out))
      return SWD_ERR_BLOB_PLAN;
    else
      out.sum = out.sum == -1.0 || sum == -1.0 ? -1.0 : out.sum + sum;
    if (unit_of(*holder) != 1.0) return SWD_ERR_BLOB_PLAN;  // of narrow moments; the target's plans have none
    if (!right_sum(out.sum)) return SWD_ERR_BLOB_VALUE;
    latest = holder;
  }
  return SWD_OK;
}

}  // namespace

void put_checksum(Bytes& blob) {
  if (blob.size() < 8) return;
  uint64_t sum = fnv1a(blob, blob.size() - 8);
  for (size_t i = 0; i < 8; ++i) blob[blob.size() - 8 + i] = static_cast<uint8_t>(sum >> (8 * i));
}

Bytes make_blob(const std::vector<Record>& records, const Start& start, const Lies& lies) {
  Bytes blob;
  for (char letter : {'S', 'W', 'D', 'S', 'T', 'A', 'T', 'E'}) blob.push_back(static_cast<uint8_t>(letter));
  bool old = start.version == 1;
  put(blob, start.version + lies.version, 4);
  put(blob, (old ? 32 : 40) + lies.record_bytes, 4);
  put(blob, records.size() + lies.records, 8);
  put(blob, start.applied, 8);
  put(blob, start.skipped, 8);
  if (!old) {
    put(blob, start.key, 8);
    put(blob, start.seed, 8);
    put(blob, bits_of(start.reference), 8);
  }
  for (const Record& r : records) {
    put(blob, static_cast<uint64_t>(r.index), 8);
    put(blob, static_cast<uint64_t>(r.count), 8);
    put(blob, static_cast<uint64_t>(r.step), 8);
    put(blob, bits_of(r.sum), 8);
    if (!old) put(blob, bits_of(r.unit), 8);
  }
  put(blob, 0, 8);
  put_checksum(blob);
  return blob;
}

Imported import_reference(const std::vector<Part>& plan, uint64_t key, const std::vector<Bytes>& blobs) {
  Imported out{SWD_OK, {}, {}};
  std::vector<Record> all;
  for (const Bytes& blob : blobs) {
    out.status = check(blob);
    if (out.status != SWD_OK) return out;
    std::vector<Record> more = records_of(blob);
    all.insert(all.end(), more.begin(), more.end());
    out.start.applied = std::max<uint64_t>(out.start.applied, get(blob, 24, 8));
    out.start.skipped = std::max<uint64_t>(out.start.skipped, get(blob, 32, 8));
  }
  out.start.key = key;
  for (size_t b = 0; b < blobs.size(); ++b) {
    bool old = get(blobs[b], 8, 4) == 1;
    uint64_t its_key = old ? 0 : get(blobs[b], 40, 8), seed = old ? 0 : get(blobs[b], 48, 8);
    double reference = old ? 0.0 : double_at(blobs[b], 56);
    if (b == 0) out.start.seed = seed;
    if (out.start.key == 0) out.start.key = its_key;
    if (out.start.reference == 0.0) out.start.reference = reference;
    if (seed != out.start.seed || (its_key != 0 && its_key != out.start.key) ||
        (reference != 0.0 && reference != out.start.reference)) {
      out.status = SWD_ERR_BLOB_PLAN;
      return out;
    }
  }
  for (const Part& part : plan) {
    Record state;
    out.status = gather(part, all, state);
    if (out.status != SWD_OK) return out;
    out.states.push_back(state);
  }
  return out;
}

}  // namespace swd::fuzz
