// SPDX-License-Identifier: Apache-2.0
// Buffers that share memory are refused, to the byte: arenas that interleave segments are fine, and lists are checked
// when their pointers are set.
#include "support/small_model.h"

namespace swd::test {
namespace {

// One arena of [param | grad | exp_avg | exp_avg_sq] for each of three segments.
class Arena {
 public:
  explicit Arena(uint32_t flags = 0) : r(setup(flags)), memory(r.setup().backend, 4 * kSegments * kApart + 4096) {
    memory.fill(0);
  }
  static constexpr int64_t kCount = 100, kSegments = 3;
  static constexpr uint64_t kApart = 4 * 4 * kCount;  // bytes from one segment's part to the next

  swd_buffers buffers(int64_t grad_shift_bytes = 0) {
    swd_buffers b = r.buffers;
    b.param = memory.data();
    b.grad = memory.data() + 4 * kCount + grad_shift_bytes;
    b.exp_avg = memory.data() + 8 * kCount;
    b.exp_avg_sq = memory.data() + 12 * kCount;
    return b;
  }
  static RunSetup setup(uint32_t flags) {
    RunSetup s;
    s.backend = backend_under_test();
    s.counts.assign(kSegments, kCount);
    s.gap = 3 * kCount;
    s.flags = flags;
    return s;
  }

  Runner r;
  DeviceBuffer memory;
};

TEST(Overlap, InterleavedArenasAreFine) {
  Arena arena;
  Runner apart(Arena::setup(0));
  for (size_t k = 0; k < Arena::kSegments; ++k) {
    std::vector<float> p = uniform(1, k, Arena::kCount), g = uniform(2, k, Arena::kCount);
    apart.set(SWD_BUFFER_PARAM, k, p);
    apart.set(SWD_BUFFER_GRAD, k, g);
    arena.memory.write(k * Arena::kApart, p.data(), 4 * p.size());
    arena.memory.write(k * Arena::kApart + 4 * p.size(), g.data(), 4 * g.size());
  }
  swd_buffers b = arena.buffers();
  ASSERT_EQ(swd_step(arena.r.plan(), &b, &arena.r.args(), arena.r.stream()), SWD_OK) << swd_error_detail();
  apart.step();
  synchronize(arena.r.setup().backend);
  for (size_t k = 0; k < Arena::kSegments; ++k) {
    std::vector<float> p(Arena::kCount);
    arena.memory.read(k * Arena::kApart, p.data(), 4 * p.size());
    EXPECT_EQ(p, apart.get(SWD_BUFFER_PARAM, k)) << k;
  }
}

TEST(Overlap, ByOneElementInsideAnArenaIsRefused) {
  for (int64_t shift : {-4, 4, 8, 396, -396}) {
    Arena arena;
    swd_buffers b = arena.buffers(shift);
    EXPECT_EQ(swd_step(arena.r.plan(), &b, &arena.r.args(), arena.r.stream()), SWD_ERR_OVERLAP) << shift;
    EXPECT_NE(std::string(swd_error_detail()).find("buffers.grad"), std::string::npos) << swd_error_detail();
  }
  // State and record in a gap are fine, in a segment not.
  Arena arena;
  swd_buffers b = arena.r.buffers;
  uint64_t gap = 4 * Arena::kCount;
  b.state = static_cast<uint8_t*>(b.exp_avg) + gap;
  EXPECT_EQ(swd_step(arena.r.plan(), &b, &arena.r.args(), arena.r.stream()), SWD_OK) << swd_error_detail();
  b.state = static_cast<uint8_t*>(b.exp_avg) + gap - 16;
  EXPECT_EQ(swd_step(arena.r.plan(), &b, &arena.r.args(), arena.r.stream()), SWD_ERR_OVERLAP);
  b = arena.r.buffers;
  for (uint64_t at : {gap, gap - 16}) {
    double* record = reinterpret_cast<double*>(static_cast<uint8_t*>(b.param) + at);
    EXPECT_EQ(swd_fold(arena.r.plan(), &b, &arena.r.args(), SWD_PHASE_GRAD, record, kRecordDoubles, arena.r.stream()),
              at == gap ? SWD_OK : SWD_ERR_OVERLAP);
  }
  synchronize(arena.r.setup().backend);
}

swd_status set(Runner& r, swd_buffer_kind buffer, int64_t first, const std::vector<const void*>& pointers) {
  return swd_set_pointers(r.plan(), r.buffers.workspace, buffer, first, static_cast<int64_t>(pointers.size()),
                          pointers.data(), r.stream());
}

const void* behind(const void* pointer, int64_t bytes) { return static_cast<const char*>(pointer) + bytes; }

TEST(Overlap, PointersOfOneCallAreChecked) {
  Runner r(small(SWD_PLAN_LIST));  // 700, 0, 4097 and 33 elements
  std::vector<const void*> good;
  for (size_t k = 0; k < 4; ++k) good.push_back(r.at(SWD_BUFFER_EXP_AVG, k));
  for (auto [moved, onto, by] : {std::tuple{3, 2, 0}, {3, 2, 4096 * 4}, {3, 2, -32 * 4}, {0, 2, 400}, {2, 3, -4}}) {
    std::vector<const void*> bad = good;
    bad[static_cast<size_t>(moved)] = behind(good[static_cast<size_t>(onto)], by);
    std::vector<uint8_t> before = r.workspace_bytes();
    EXPECT_EQ(set(r, SWD_BUFFER_EXP_AVG, 0, bad), SWD_ERR_OVERLAP) << moved << " " << onto << " " << by;
    std::string detail = swd_error_detail();
    EXPECT_NE(detail.find("pointers[" + std::to_string(moved) + "]"), std::string::npos) << detail;
    EXPECT_EQ(r.workspace_bytes(), before);
  }
  good[1] = good[2];  // of an empty segment any pointer
  EXPECT_EQ(set(r, SWD_BUFFER_EXP_AVG, 0, good), SWD_OK) << swd_error_detail();
  good[1] = behind(r.at(SWD_BUFFER_EXP_AVG_SQ, 2), 8);  // and a later call does not meet it
  EXPECT_EQ(set(r, SWD_BUFFER_EXP_AVG, 0, good), SWD_OK) << swd_error_detail();
  EXPECT_EQ(set(r, SWD_BUFFER_EXP_AVG_SQ, 2, {r.at(SWD_BUFFER_EXP_AVG_SQ, 2)}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(set(r, SWD_BUFFER_EXP_AVG, 0, {nullptr, nullptr, nullptr, nullptr}), SWD_OK);
}

// Gradients of a new step often lie where others lay: set one by one they meet stale pointers.
TEST(Overlap, GradientsMayChangePlaces) {
  Runner r(small(SWD_PLAN_LIST));
  const void* first = r.at(SWD_BUFFER_GRAD, 0);
  const void* third = r.at(SWD_BUFFER_GRAD, 2);
  EXPECT_EQ(set(r, SWD_BUFFER_GRAD, 0, {third}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(set(r, SWD_BUFFER_GRAD, 2, {first}), SWD_OK) << swd_error_detail();
  EXPECT_EQ(set(r, SWD_BUFFER_GRAD, 0, {first}), SWD_OK) << swd_error_detail();
}

// Another buffer of the same segment: refused by the CPU at once, by a CUDA step.
TEST(Overlap, BuffersOfOneSegmentAreChecked) {
  // One element in common; on CUDA all but 33, so that the tensor ends where the buffer does, for prefetches are
  // checked.
  const int behind_start = backend_under_test() == SWD_BACKEND_CPU ? 4 * 4096 : 4 * 33;
  for (auto [buffer, onto, by] : {std::tuple{SWD_BUFFER_EXP_AVG, SWD_BUFFER_PARAM, 0},
                                  {SWD_BUFFER_EXP_AVG_SQ, SWD_BUFFER_EXP_AVG, behind_start},
                                  {SWD_BUFFER_GRAD, SWD_BUFFER_EXP_AVG_SQ, -4}}) {
    Runner r(small(SWD_PLAN_LIST));
    start(r);
    fill(r, 1);
    r.step();
    swd_status status = set(r, buffer, 2, {behind(r.at(onto, 2), by)});
    if (r.setup().backend == SWD_BACKEND_CPU) {
      EXPECT_EQ(status, SWD_ERR_OVERLAP);
      EXPECT_NE(std::string(swd_error_detail()).find("pointers[0] ("), std::string::npos) << swd_error_detail();
      continue;
    }
    ASSERT_EQ(status, SWD_OK) << swd_error_detail();
    std::vector<float> before = params(r);
    ASSERT_EQ(swd_step(r.plan(), &r.buffers, &r.args(), r.stream()), SWD_OK);
    EXPECT_EQ(r.stats().result, SWD_RESULT_SKIPPED_INVALID);
    EXPECT_EQ(params(r), before);
  }
}

}  // namespace
}  // namespace swd::test
