// SPDX-License-Identifier: Apache-2.0
// Damaged and foreign state blobs: truncated at every length, every byte changed to every other value, values that
// cannot be, blobs of other plans. Each has its own error, and the image stays as it was.
#include <limits>

#include "support/blob.h"

namespace swd::test {
namespace {

const std::vector<std::pair<int64_t, int64_t>> kCuts = {{0, 100}, {100, 7}, {107, 0}, {200, 50}};
const std::vector<Record> kRecords = {{0, 100, 5, 1.5}, {100, 7, 5, 0.25}, {200, 50, 4, 0.0}, {107, 0, 0, 0.0}};

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

TEST(StateBlob, IsWrittenAsDescribed) {
  StatePlan plan(kCuts);
  ASSERT_EQ(plan.import({blob_of(kRecords)}), SWD_OK) << swd_error_detail();
  EXPECT_TRUE(plan.export_blob() == blob_of(kRecords));
  EXPECT_EQ(plan.header().steps_applied, 9u);
  EXPECT_EQ(plan.header().steps_skipped, 2u);
  EXPECT_EQ(plan.get(3).step, 4);
  EXPECT_EQ(plan.get(0).exp_avg_sq_sum, 1.5);
}

TEST(StateBlob, TruncatedAtEveryLengthAndTooLong) {
  StatePlan plan(kCuts);
  Blob whole = blob_of(kRecords);
  const void* at = whole.data();
  const uint64_t none = 0;
  EXPECT_EQ(plan.import_at(&at, &none), SWD_ERR_BLOB_SIZE);
  for (size_t bytes = 1; bytes < whole.size(); ++bytes) {
    // In memory of its own: reading beyond it is an error that a sanitizer sees.
    plan.expect_refused({Blob(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes))}, SWD_ERR_BLOB_SIZE,
                        std::to_string(bytes) + " bytes",
                        bytes < 40 + 8 ? "less than any blob" : "does not fit");  // an empty one of version 1
  }
  for (size_t more : {1u, 8u, 39u, 40u, 80u, 1000u}) {
    Blob longer = whole;
    longer.resize(whole.size() + more);
    plan.expect_refused({longer}, SWD_ERR_BLOB_SIZE, std::to_string(more) + " bytes more");
    seal(longer);
    plan.expect_refused({longer}, SWD_ERR_BLOB_SIZE, std::to_string(more) + " bytes more, sealed");
  }
}

swd_status status_of_damage_at(size_t at, int change = 0) {
  if (at == 8 && change == 3) return SWD_ERR_BLOB_SIZE;  // version 1, whose records are shorter
  if (at < 8) return SWD_ERR_BLOB_MAGIC;
  if (at < 12) return SWD_ERR_BLOB_VERSION;
  if (at < 24) return SWD_ERR_BLOB_SIZE;  // bytes of a record, number of records
  return SWD_ERR_BLOB_CHECKSUM;
}

TEST(StateBlob, EveryByteChangedToEveryOtherValue) {
  StatePlan plan(kCuts);
  Blob blob = blob_of(kRecords);
  uint64_t applied = plan.header().steps_applied;
  for (size_t at = 0; at < blob.size(); ++at) {
    for (int change = 1; change < 256; ++change) {
      std::vector<Blob> damaged{blob};
      damaged[0][at] = static_cast<uint8_t>(blob[at] ^ change);
      EXPECT_EQ(plan.import(damaged), status_of_damage_at(at, change)) << "byte " << at << " ^ " << change;
      if (change % 51 == 0)
        plan.expect_refused(damaged, status_of_damage_at(at), "byte " + std::to_string(at), "blobs[0]");
    }
  }
  EXPECT_EQ(plan.header().steps_applied, applied);
  EXPECT_EQ(plan.import({blob}), SWD_OK);
}

// The same, with a checksum that fits, as another program would write it.
TEST(StateBlob, ForeignMagicAndVersion) {
  StatePlan plan(kCuts);
  for (const char* magic : {"SWDSTATF", "swdstate", "PK\3\4\0\0\0\0", "\0\0\0\0\0\0\0\0", "ETATSDWS"}) {
    Blob blob = blob_of(kRecords);
    memcpy(blob.data(), magic, 8);
    seal(blob);
    plan.expect_refused({blob}, SWD_ERR_BLOB_MAGIC, magic, "SWDSTATE");
  }
  for (uint64_t version : {0u, 3u, 255u, 256u, 0x01000000u, UINT32_MAX}) {
    Blob blob = blob_of(kRecords);
    put(blob, 8, version, 4);
    seal(blob);
    plan.expect_refused({blob}, SWD_ERR_BLOB_VERSION, std::to_string(version), "version " + std::to_string(version));
  }
  for (uint64_t record_bytes : {0u, 32u, 39u, 41u, 64u, UINT32_MAX}) {
    Blob blob = blob_of(kRecords);
    put(blob, 12, record_bytes, 4);
    seal(blob);
    plan.expect_refused({blob}, SWD_ERR_BLOB_SIZE, std::to_string(record_bytes));
  }
  // Counts whose bytes would overflow back to the right size.
  for (uint64_t count :
       {UINT64_C(0), UINT64_C(3), UINT64_C(5), (UINT64_C(1) << 59) + 4, UINT64_C(4) | UINT64_C(1) << 63, UINT64_MAX}) {
    Blob blob = blob_of(kRecords);
    put(blob, 16, count, 8);
    seal(blob);
    plan.expect_refused({blob}, SWD_ERR_BLOB_SIZE, std::to_string(count));
  }
}

TEST(StateBlob, ValuesThatCannotBe) {
  StatePlan plan(kCuts);
  const Record bad[] = {{-1, 100, 5, 1.0},      {INT64_MIN, 100, 5, 1.0}, {0, -1, 5, 1.0},
                        {0, INT64_MIN, 5, 1.0}, {INT64_MAX, 1, 5, 1.0},   {INT64_MAX - 5, 100, 5, 1.0},
                        {0, 100, -1, 1.0},      {0, 100, INT64_MIN, 1.0}, {0, 100, 5, -0.5},
                        {0, 100, 5, -2.0},      {0, 100, 5, -kInf},       {0, 100, 5, -5e-324},
                        {0, 100, 5, kInf},      {0, 100, 5, kNan},        {0, 100, 5, 1.0, -1.0},
                        {0, 100, 5, 1.0, kInf}, {0, 100, 5, 1.0, kNan}};
  for (const Record& record : bad) {
    for (size_t at : {size_t{0}, size_t{2}}) {
      std::vector<Record> records = kRecords;
      records[at] = record;
      plan.expect_refused({blob_of(records)}, SWD_ERR_BLOB_VALUE, "record", "record " + std::to_string(at));
    }
  }
  const std::vector<std::vector<Record>> orders = {
      {kRecords[1], kRecords[0], kRecords[2], kRecords[3]},       // descending
      {kRecords[0], {99, 7, 5, 0.25}, kRecords[2], kRecords[3]},  // overlapping
      {kRecords[0], kRecords[0], kRecords[2], kRecords[3]},       // twice
      {kRecords[0], kRecords[1], kRecords[3], kRecords[2]},       // behind an empty one
  };
  for (const std::vector<Record>& records : orders)
    plan.expect_refused({blob_of(records)}, SWD_ERR_BLOB_VALUE, "order", "order");
  for (double fine : {0.0, -0.0, -1.0, 1e308, 5e-324}) {
    std::vector<Record> records = kRecords;
    records[1].sum = fine;
    EXPECT_EQ(plan.import({blob_of(records)}), SWD_OK) << fine;
  }
}

TEST(StateBlob, BlobsOfAnotherPlan) {
  StatePlan plan(kCuts);
  const std::vector<std::vector<Record>> foreign = {
      {},                                                                         // nothing
      {{0, 100, 5, 1.5}, {100, 7, 5, 0.25}},                                      // a segment is missing
      {{0, 99, 5, 1.5}, {100, 7, 5, 0.25}, {200, 50, 4, 0.0}},                    // an element is missing
      {{1, 99, 5, 1.5}, {100, 7, 5, 0.25}, {200, 50, 4, 0.0}},                    // the first one is
      {{0, 100, 5, 1.5}, {100, 7, 5, 0.25}, {200, 49, 4, 0.0}},                   // the last one is
      {{0, 60, 5, 1.0}, {60, 40, 6, 0.5}, {100, 7, 5, 0.25}, {200, 50, 4, 0.0}},  // two step counts in one segment
  };
  for (size_t i = 0; i < foreign.size(); ++i) {
    plan.expect_refused({blob_of(foreign[i])}, SWD_ERR_BLOB_PLAN, std::to_string(i), "segment");
  }
  Blob good = blob_of(kRecords);
  plan.expect_refused({good, good}, SWD_ERR_BLOB_PLAN, "twice", "several");
  plan.expect_refused({good, blob_of({{150, 100, 4, 0.0}})}, SWD_ERR_BLOB_PLAN, "the end of one in another", "several");
  plan.expect_refused({blob_of({{99, 1, 5, 0.0}}), good}, SWD_ERR_BLOB_PLAN, "one element twice", "several");
  EXPECT_EQ(plan.import({good, blob_of({{107, 93, 4, 0.0}})}), SWD_OK) << "elements of nobody's are ignored";
}

// What 0.1 wrote.
TEST(StateBlob, SumsThatAddUpToInfinityAreRefused) {
  StatePlan plan({{0, 100}});
  plan.expect_refused({blob_of({{0, 50, 3, 1.7e308}, {50, 50, 3, 1.7e308}})}, SWD_ERR_BLOB_VALUE, "sum", "sums");
}

// What is wrong may be in any of several blobs.
TEST(StateBlob, TheErrorNamesTheBlob) {
  StatePlan plan(kCuts);
  Blob first = blob_of({kRecords[0]}), second = blob_of({kRecords[1]}), third = blob_of({kRecords[2]});
  ASSERT_EQ(plan.import({third, first, second}), SWD_OK) << swd_error_detail();
  std::vector<Blob> blobs = {first, second, third};
  for (size_t b = 0; b < 3; ++b) {
    for (size_t at : {size_t{0}, size_t{8}, size_t{16}, size_t{60}}) {
      std::vector<Blob> damaged = blobs;
      damaged[b][at] = static_cast<uint8_t>(damaged[b][at] ^ 0x10);
      plan.expect_refused(damaged, status_of_damage_at(at), "damage", "blobs[" + std::to_string(b) + "]");
    }
  }
}

TEST(StateBlob, LiesAtAnyAddress) {
  StatePlan plan(kCuts);
  Blob blob = blob_of(kRecords), moved(blob.size() + 16);
  ASSERT_EQ(plan.import({blob}), SWD_OK);
  for (size_t by = 0; by < 16; ++by) {
    memcpy(moved.data() + by, blob.data(), blob.size());
    const void* at = moved.data() + by;
    uint64_t bytes = blob.size();
    StatePlan other(kCuts);
    EXPECT_EQ(other.import_at(&at, &bytes), SWD_OK);
    EXPECT_TRUE(other.export_blob() == blob);
  }
}

}  // namespace
}  // namespace swd::test
