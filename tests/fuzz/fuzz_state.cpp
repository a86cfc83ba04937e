// SPDX-License-Identifier: Apache-2.0
// Export and import of the state: shards of a model of 24 elements, cut, edited, truncated, with or without a right
// checksum. What the library answers must be what the plain reader of blob_reference.h answers, to the bit; a refused
// import changes nothing.
#include <algorithm>
#include <cfloat>
#include <memory>

#include "blob_reference.h"
#include "input.h"

namespace swd::fuzz {
namespace {

constexpr int64_t kElements = 24;

// The layout of an image: 64 bytes, then 32 a segment.
constexpr uint64_t kHeader = 64, kEntry = 32;

struct Model {
  swd_plan* plan;
  std::vector<Part> parts;
  uint64_t key;
};

// The images of these fuzzers are compared whole.
void put_image(uint8_t* image, const Start& start, const std::vector<Record>& states) {
  memset(image, 0, kHeader + kEntry * states.size());
  memcpy(image, &start.applied, 8);
  memcpy(image + 8, &start.skipped, 8);
  memcpy(image + 16, &start.seed, 8);
  memcpy(image + 24, &start.reference, 8);
  for (size_t k = 0; k < states.size(); ++k) {
    uint8_t* at = image + kHeader + kEntry * k;
    memcpy(at, &states[k].step, 8);
    memcpy(at + 8, &states[k].sum, 8);
    memcpy(at + 16, &states[k].unit, 8);
  }
}

Model make_model(const std::vector<Part>& parts, uint64_t key = 0) {
  std::vector<swd_segment> segments;
  int64_t offset = 0;
  for (const Part& part : parts) {
    segments.push_back({offset, part.count, part.index, 0, 0});
    offset += part.count;
  }
  swd_decay decay = SWD_DECAY_SCHEDULED;
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.flags = SWD_PLAN_INDEXED;
  args.segments = segments.data();
  args.segment_count = static_cast<int64_t>(segments.size());
  args.decay_modes = &decay;
  args.group_count = 1;
  args.threads = 1;
  args.model_key = key;
  Model out{nullptr, parts, key};
  if (swd_plan_create(&args, &out.plan) != SWD_OK) abort();
  return out;
}

const Model& model(uint32_t number) {
  static const std::vector<Model>* models = new std::vector<Model>{
      make_model({{0, 24}}, 7),     make_model({{0, 8}, {8, 0}, {8, 16}}), make_model({{12, 12}, {0, 5}, {5, 7}}),
      make_model({{7, 10}}),        make_model({{0, 1}, {1, 1}, {2, 22}}), make_model({}),
      make_model({{5, 0}, {3, 3}}),
  };
  return (*models)[number % models->size()];
}

// Cuts the elements into records, one after the other, and deals them out.
std::vector<Bytes> make_blobs(Input& in) {
  std::vector<std::vector<Record>> shards(1 + in.below(3));
  uint8_t style = in.byte();
  int64_t step = in.integer() & INT64_MAX;
  for (int64_t at = 0; at < kElements;) {
    int64_t count = 1 + in.byte() % kElements;
    Record record{at, std::min(count, kElements - at), step, 0.5 * static_cast<double>(count)};
    at += record.count;
    if ((style & 3u) == 1) record.sum = in.real();
    if ((style & 3u) == 2) record.unit = in.below(4) == 1 ? in.real() : 0.5;
    if ((style & 12u) == 4) {
      switch (in.below(8)) {
        case 0:
          record.index = in.integer();
          break;
        case 1:
          record.count = in.integer();
          break;
        case 2:
          record.step = in.integer();
          break;
        case 3:
          record.index += in.below(5) - 2;
          break;
        case 4:
          record.count += in.below(5) - 2;
          break;
        case 5:
          continue;  // left out
        default:
          break;
      }
    }
    shards[(style & 16u) != 0 ? in.below(static_cast<uint32_t>(shards.size()))
                              : static_cast<size_t>(at) % shards.size()]
        .push_back(record);
  }
  std::vector<Bytes> blobs;
  for (const std::vector<Record>& shard : shards) {
    Lies lies;
    if ((style & 224u) == 32) lies = {in.below(3), in.below(3), in.bits(1) == 1 ? in.bits(8) : 0};
    Start start;
    start.version = in.below(4) == 1 ? 1 : 2;
    start.applied = in.bits(1);
    start.skipped = in.bits(1);
    if (in.below(4) == 1) start.key = 6 + in.below(3);
    if (in.below(4) == 1) start.seed = in.below(3);
    if (in.below(4) == 1) start.reference = in.below(4) == 1 ? in.real() : 0.25 * in.below(3);
    blobs.push_back(make_blob(shard, start, lies));
  }
  return blobs;
}

// Damage: bytes changed, cut off or added, and the checksum perhaps made right again.
void edit(Input& in, Bytes& blob) {
  for (uint32_t edits = in.below(4); edits > 0; --edits) {
    switch (in.below(4)) {
      case 0:
      case 1:
        if (!blob.empty()) blob[in.bits(2) % blob.size()] ^= in.byte();
        break;
      case 2:
        blob.resize(in.bits(2) % (blob.size() + 1));
        break;
      default:
        blob.resize(blob.size() + in.byte() % 65);
        break;
    }
  }
  if (in.below(2) != 0) put_checksum(blob);
}

// The blobs in memory of exactly their size, so that AddressSanitizer sees what is read beyond them.
void try_import(Input& in, const Model& m) {
  std::vector<Bytes> blobs = make_blobs(in);
  for (Bytes& blob : blobs) {
    if (in.below(3) == 1) edit(in, blob);
  }
  std::vector<std::unique_ptr<uint8_t[]>> memory;
  std::vector<const void*> data;
  std::vector<uint64_t> sizes;
  for (const Bytes& blob : blobs) {
    memory.push_back(std::make_unique<uint8_t[]>(blob.size()));
    std::copy(blob.begin(), blob.end(), memory.back().get());
    data.push_back(memory.back().get());
    sizes.push_back(blob.size());
  }
  Imported wanted = import_reference(m.parts, m.key, blobs);
  alignas(16) uint8_t image[256];
  memset(image, 0xA5, sizeof image);
  uint64_t bytes = kHeader + kEntry * m.parts.size();
  swd_status status =
      swd_state_import(m.plan, data.data(), sizes.data(), static_cast<int64_t>(blobs.size()), image, bytes);
  SWD_FUZZ_EXPECT(status == wanted.status);
  uint8_t expected[sizeof image];
  memset(expected, 0xA5, sizeof expected);
  if (status == SWD_OK) put_image(expected, wanted.start, wanted.states);
  SWD_FUZZ_EXPECT(memcmp(image, expected, sizeof image) == 0);
}

// Any image: refused as a whole, or written as the format says and read back the same.
void try_export(Input& in, const Model& m) {
  alignas(16) uint8_t image[256] = {}, again[256] = {};
  Start start;
  start.applied = in.bits(2);
  start.skipped = in.bits(2);
  start.key = m.key;
  start.reference = in.below(3) == 1 ? in.real() : 0.125;
  bool right = start.reference >= 0.0 && start.reference <= DBL_MAX;
  std::vector<Record> all, records, empty;
  for (const Part& part : m.parts) {
    bool plain = in.below(3) != 1;
    Record r{part.index, part.count, plain ? in.byte() : in.integer(), plain ? 0.25 * in.byte() : in.real()};
    right = right && r.step >= 0 && ((r.sum >= 0.0 && r.sum <= DBL_MAX) || r.sum == -1.0);
    all.push_back(r);
    (part.count == 0 ? empty : records).push_back(r);
  }
  put_image(image, start, all);
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.index < b.index; });
  records.insert(records.end(), empty.begin(), empty.end());
  uint64_t bytes = 0;
  SWD_FUZZ_EXPECT(swd_state_blob_size(m.plan, &bytes) == SWD_OK && bytes == 72 + 40 * records.size());
  auto blob = std::make_unique<uint8_t[]>(bytes);
  uint64_t image_bytes = kHeader + kEntry * m.parts.size();
  swd_status status = swd_state_export(m.plan, image, image_bytes, blob.get(), bytes);
  SWD_FUZZ_EXPECT(status == (right ? SWD_OK : SWD_ERR_VALUE));
  if (!right) return;
  SWD_FUZZ_EXPECT(make_blob(records, start, {}) == Bytes(blob.get(), blob.get() + bytes));
  const void* blobs[] = {blob.get()};
  SWD_FUZZ_EXPECT(swd_state_import(m.plan, blobs, &bytes, 1, again, image_bytes) == SWD_OK);
  for (size_t k = 0; k < m.parts.size(); ++k) {  // an empty segment comes back fresh
    if (m.parts[k].count == 0) memset(image + kHeader + kEntry * k, 0, kEntry);
  }
  SWD_FUZZ_EXPECT(memcmp(again, image, image_bytes) == 0);
}

}  // namespace
}  // namespace swd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swd::fuzz;
  Input in(data, size);
  const Model& m = model(in.byte());
  in.below(4) == 1 ? try_export(in, m) : try_import(in, m);
  return 0;
}
