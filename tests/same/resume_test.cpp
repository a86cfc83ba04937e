// SPDX-License-Identifier: Apache-2.0
// State through a blob and back: a resumed run is the uninterrupted one, a damaged blob is refused whole.
#include <cmath>

#include "support/small_model.h"

namespace swd::test {
namespace {

TEST(Resume, ResumeThroughABlobIsRunThrough) {
  RunSetup s = small();
  Runner whole(s), first(s), second(s);
  start(whole);
  start(first);
  for (int t = 1; t <= 4; ++t) {
    fill(whole, t);
    whole.step();
  }
  for (int t = 1; t <= 2; ++t) {
    fill(first, t);
    first.step();
  }
  uint64_t bytes = 0, image_bytes = first.buffers.state_bytes;
  ASSERT_EQ(swd_state_blob_size(first.plan(), &bytes), SWD_OK);
  std::vector<uint8_t> blob(bytes), image = first.image();
  ASSERT_EQ(swd_state_export(first.plan(), image.data(), image_bytes, blob.data(), bytes), SWD_OK)
      << swd_error_detail();
  const void* blobs[] = {blob.data()};
  std::vector<uint8_t> again(image_bytes, 0xEE);
  ASSERT_EQ(swd_state_import(second.plan(), blobs, &bytes, 1, again.data(), image_bytes), SWD_OK) << swd_error_detail();
  EXPECT_EQ(again, image);
  second.set_image(again);
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    for (size_t k = 0; k < s.counts.size(); ++k) second.set(buffer, k, first.get(buffer, k));
  }
  for (int t = 3; t <= 4; ++t) {
    fill(second, t);
    second.step();
  }
  EXPECT_EQ(params(second), params(whole));
}

// Takes the state of a run, its arrays and its blob, into a plan of other flags.
void continue_from(Runner& from, Runner& to) {
  uint64_t bytes = 0;
  from.ok(swd_state_blob_size(from.plan(), &bytes));
  std::vector<uint8_t> blob(bytes), image = from.image();
  from.ok(swd_state_export(from.plan(), image.data(), image.size(), blob.data(), bytes));
  const void* blobs[] = {blob.data()};
  to.ok(swd_state_import(to.plan(), blobs, &bytes, 1, image.data(), image.size()));
  to.set_image(image);
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    for (size_t k = 0; k < to.setup().counts.size(); ++k) to.set_stored(buffer, k, from.stored(buffer, k));
  }
}

// A run that goes on with amsgrad, update norms or both: in its first step the maximum is the second moment, so nothing
// else changes.
TEST(Resume, OptionsMayBeSwitchedOnLater) {
  for (uint32_t flags : {uint32_t{SWD_PLAN_UPDATE_NORMS}, uint32_t{SWD_PLAN_AMSGRAD},
                         uint32_t{SWD_PLAN_AMSGRAD} | SWD_PLAN_UPDATE_NORMS}) {
    RunSetup s = small(), more = small(flags);
    s.decay = more.decay = {SWD_DECAY_DECOUPLED};  // a scheduled one has the mean of the maxima, summed anew
    Runner plain(s), later(more);
    start(plain);
    for (int t = 1; t <= 2; ++t) {
      fill(plain, t);
      plain.step();
    }
    continue_from(plain, later);
    for (Runner* r : {&plain, &later}) {
      fill(*r, 3, 4.0);
      r->step();
      EXPECT_EQ(r->stats().result, SWD_RESULT_APPLIED);
    }
    for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
      for (size_t k = 0; k < 4; ++k) EXPECT_TRUE(later.stored(buffer, k) == plain.stored(buffer, k)) << buffer << k;
    }
    EXPECT_EQ(later.image(), plain.image());
    for (size_t k = 0; flags & SWD_PLAN_AMSGRAD && k < 4; ++k) {
      EXPECT_TRUE(later.stored(SWD_BUFFER_MAX_EXP_AVG_SQ, k) == plain.stored(SWD_BUFFER_EXP_AVG_SQ, k)) << k;
    }
    double norm = 0.0;
    for (float p : params(later)) norm += static_cast<double>(p) * static_cast<double>(p);
    bool norms = (flags & SWD_PLAN_UPDATE_NORMS) != 0;
    EXPECT_NEAR(later.stats().param_norm, norms ? std::sqrt(norm) : 0.0, 1e-5);
    EXPECT_EQ(later.stats().update_norm > 0.0, norms);
  }
}

TEST(Resume, BlobsAreRefusedWholeOrNotAtAll) {
  Runner r(small());
  start(r);
  fill(r, 1);
  r.step();
  uint64_t bytes = 0, image_bytes = r.buffers.state_bytes;
  ASSERT_EQ(swd_state_blob_size(r.plan(), &bytes), SWD_OK);
  std::vector<uint8_t> blob(bytes), image = r.image(), target(image_bytes, 0x5A), untouched = target;
  ASSERT_EQ(swd_state_export(r.plan(), image.data(), image_bytes, blob.data(), bytes), SWD_OK);
  for (uint64_t i = 0; i < bytes; ++i) {
    std::vector<uint8_t> damaged = blob;
    damaged[i] ^= 0x40;
    const void* blobs[] = {damaged.data()};
    EXPECT_GE(swd_state_import(r.plan(), blobs, &bytes, 1, target.data(), image_bytes), SWD_ERR_BLOB_MAGIC) << i;
    const void* cut[] = {blob.data()};
    EXPECT_GE(swd_state_import(r.plan(), cut, &i, 1, target.data(), image_bytes), SWD_ERR_BLOB_MAGIC) << i;
  }
  EXPECT_EQ(target, untouched);
}

}  // namespace
}  // namespace swd::test
