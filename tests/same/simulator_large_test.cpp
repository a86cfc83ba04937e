// SPDX-License-Identifier: Apache-2.0
// Kernels past 2^31 and 2^32 elements without a device: arrays whose pages nobody touches take no memory, and of a
// large grid the simulator runs the first blocks and the last ones alone (CUDASIM_ENDS). What those compute at either
// end of a segment, and in one that begins behind it, has the bits of a small plan on the CPU, whose segments are these
// parts. Grids that leave out blocks never end pass 1, so its sums are looked for in the workspace, where each chunk's
// lies.
#include <algorithm>

#include "kernels/layout.h"
#include "simulator_large/plan.h"

namespace swd::test {
namespace {

class Large : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { arrays = std::make_unique<LargeArrays>(); }
  static void TearDownTestSuite() { arrays.reset(); }
  static std::unique_ptr<LargeArrays> arrays;
};
std::unique_ptr<LargeArrays> Large::arrays;

// Whose squares add up exactly, in whatever order.
std::vector<float> gradients(size_t k, int64_t count) {
  std::vector<float> g = uniform(8, k, count);
  for (float& x : g) x = 0.25f * static_cast<float>(1 + static_cast<int>(7.99f * std::fabs(x)));
  return g;
}

double sum_of_squares(const std::vector<float>& g) {
  double sum = 0.0;
  for (float x : g) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum;
}

// The sums of a part's chunks, as the CPU has them of segments of one chunk.
void add_chunk_sums(Runner& parts, size_t part, bool moments, std::vector<double>& out) {
  int64_t count = parts.setup().counts[part];
  std::vector<float> g = gradients(part, count);
  for (int64_t at = 0; at < count; at += kChunk) {
    RunSetup s = parts.setup();
    s.counts = {std::min<int64_t>(kChunk, count - at)};
    s.index_of = {0};
    Runner chunk(s);
    for (int b : {SWD_BUFFER_EXP_AVG_SQ, SWD_BUFFER_EXP_AVG_SQ_SCALE}) {
      if (!parts.at(b, part)) continue;
      std::vector<uint8_t> all = parts.stored(b, part), one = chunk.stored(b, 0);
      int64_t width = static_cast<int64_t>(element_bytes(s.moment));
      auto begin = all.begin() + (b == SWD_BUFFER_EXP_AVG_SQ ? at * width : at / 128);
      chunk.set_stored(b, 0, {begin, begin + static_cast<int64_t>(one.size())});
    }
    chunk.ok(swd_state_rebuild(chunk.plan(), &chunk.buffers, nullptr));
    double squares = sum_of_squares({g.begin() + at, g.begin() + at + s.counts[0]});
    out.push_back(moments ? chunk.segment_state(0).exp_avg_sq_sum : squares);
  }
}

std::vector<double> chunk_sums(Runner& parts, bool moments) {
  std::vector<double> out;
  for (size_t part : {kBeginning, kEnd, kBehind}) add_chunk_sums(parts, part, moments, out);
  return out;
}

void expect_sums(LargePlan& plan, const std::vector<double>& sums) {
  std::vector<Partial> memory(plan.workspace->bytes() / sizeof(Partial));
  plan.workspace->read(0, memory.data(), memory.size() * sizeof(Partial));
  for (double sum : sums) {
    auto same = [sum](const Partial& p) { return p.sum == sum && p.also == 0.0; };
    EXPECT_GT(sum, 0.0);
    EXPECT_EQ(std::count_if(memory.begin(), memory.end(), same), 1) << sum;
  }
}

void fill(Runner& parts) {
  for (size_t k = 0; k < parts.setup().counts.size(); ++k) {
    int64_t n = parts.setup().counts[k];
    std::vector<float> v = uniform(7, k, n);
    for (float& x : v) x = x * x;
    parts.set(SWD_BUFFER_PARAM, k, uniform(5, k, n));
    parts.set(SWD_BUFFER_EXP_AVG, k, uniform(6, k, n));
    parts.set(SWD_BUFFER_EXP_AVG_SQ, k, v);
    if (parts.at(SWD_BUFFER_MAX_EXP_AVG_SQ, k)) parts.set(SWD_BUFFER_MAX_EXP_AVG_SQ, k, v);
    parts.set(SWD_BUFFER_GRAD, k, gradients(k, n));
  }
}

// All parts in one call: Runner::set loads a part at a time, which rounds the others again.
void load(Runner& parts, int buffer, std::vector<float> (&x)[3]) {
  const void* tensors[3] = {x[0].data(), x[1].data(), x[2].data()};
  std::vector<float> flat;
  for (const std::vector<float>& part : x) flat.insert(flat.end(), part.begin(), part.end());
  bool list = (parts.setup().flags & SWD_PLAN_LIST) != 0;
  swd_fp32_arrays arrays = fp32_arrays(buffer, list ? static_cast<const void*>(tensors) : flat.data());
  parts.ok(swd_state_load(parts.plan(), &parts.buffers, &arrays, nullptr));
}

void check_conversions(LargePlan& plan, Runner& parts) {
  for (int buffer : {SWD_BUFFER_PARAM, SWD_BUFFER_EXP_AVG, SWD_BUFFER_EXP_AVG_SQ}) {
    plan.convert(buffer, swd_state_store);
    std::vector<float> x[3];
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_TRUE(plan.fp32(k) == parts.get(buffer, k)) << "store " << buffer << " " << k;
      x[k] = uniform(90 + static_cast<uint64_t>(buffer), k, parts.setup().counts[k]);
      for (float& value : x[k]) value = buffer == SWD_BUFFER_EXP_AVG_SQ ? value * value : value;
      plan.set_fp32(k, x[k]);
    }
    plan.convert(buffer, swd_state_load);
    load(parts, buffer, x);
    plan.expect_equal(parts, "load");
  }
}

void check(LargeArrays& arrays, RunSetup s, int64_t count) {
  s.decay = {SWD_DECAY_DECOUPLED};
  s.groups[0].weight_decay = 1e-2;
  LargePlan plan(arrays, s, count);
  Runner parts(plan.parts());
  fill(parts);
  plan.take(parts);
  swd_step_args args = parts.args();
  parts.ok(swd_reduce(plan.plan, &plan.buffers, &args, SWD_PHASE_GRAD, 0, 2, plan.stream()));
  expect_sums(plan, chunk_sums(parts, false));
  parts.ok(swd_state_rebuild(plan.plan, &plan.buffers, plan.stream()));
  expect_sums(plan, chunk_sums(parts, true));
  parts.args().flags = SWD_STEP_SKIP_NORM | SWD_STEP_PROPAGATE;
  args = parts.args();
  parts.ok(swd_step(plan.plan, &plan.buffers, &args, plan.stream()));
  parts.step();
  plan.expect_equal(parts, "step");
  check_conversions(plan, parts);
  if (s.copy != SWD_DTYPE_NONE) {
    parts.ok(swd_copy_params(plan.plan, &plan.buffers, plan.stream()));
    parts.ok(swd_copy_params(parts.plan(), &parts.buffers, nullptr));
    plan.expect_equal(parts, "copy");
  }
}

RunSetup wide(swd_dtype grad, swd_dtype copy, uint32_t flags, uint64_t shift = 0) {
  RunSetup s;
  s.grad = grad;
  s.copy = copy;
  s.flags = flags;
  s.shift = shift;
  return s;
}

TEST_F(Large, WideRows) {
  constexpr uint32_t kList = SWD_PLAN_LIST, kMax = SWD_PLAN_AMSGRAD, kNorms = SWD_PLAN_UPDATE_NORMS;
  check(*arrays, wide(SWD_DTYPE_F32, SWD_DTYPE_NONE, 0), kPast31);
  check(*arrays, wide(SWD_DTYPE_F32, SWD_DTYPE_NONE, 0), kPast32);
  check(*arrays, wide(SWD_DTYPE_F32, SWD_DTYPE_BF16, kMax | kNorms, 1), kPast32);
  check(*arrays, wide(SWD_DTYPE_BF16, SWD_DTYPE_BF16, kList), kPast32);
  check(*arrays, wide(SWD_DTYPE_BF16, SWD_DTYPE_NONE, kMax | kList), kPast31);
  check(*arrays, wide(SWD_DTYPE_F16, SWD_DTYPE_F16, kList | kNorms), kPast31);
  check(*arrays, wide(SWD_DTYPE_F16, SWD_DTYPE_NONE, 0, 1), kPast32);
}

// Each row with one of its gradients, flat or as a list.
TEST_F(Large, NarrowRows) {
  std::vector<NarrowFormat> formats = narrow_formats();
  for (size_t i = 0, half = formats.size() / 2; i < half; ++i) {
    const NarrowFormat& format = formats[i % 2 == 0 ? i : half + i];
    SCOPED_TRACE(test_name(format));
    RunSetup s;
    bool list = i / 2 % 2 != 0;
    s.flags = list ? uint32_t{SWD_PLAN_LIST} : 0u;
    check(*arrays, format.in(s), list ? kPast31 : kPast32);
  }
}

// The second round of amsgrad sums what the first one has ended. The small segment's scratch says that of both.
TEST_F(Large, TheSecondRound) {
  for (swd_dtype grad : {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    RunSetup s = wide(grad, SWD_DTYPE_NONE, SWD_PLAN_AMSGRAD);
    s.groups[0].beta1 = s.groups[0].beta2 = 0.0;  // the second moment will be the square of the gradient
    LargePlan plan(*arrays, s, kPast32);
    Runner parts(plan.parts());
    fill(parts);
    for (size_t k = 0; k < 3; ++k) {
      parts.set(SWD_BUFFER_MAX_EXP_AVG_SQ, k, std::vector<float>(static_cast<size_t>(parts.setup().counts[k])));
    }
    plan.take(parts);
    DeviceBuffer has_grad(SWD_BACKEND_CUDA, 2);
    const uint8_t second[] = {0, 1};
    has_grad.write(0, second, 2);
    swd_step_args args = parts.args();
    args.has_grad = has_grad.data();
    parts.ok(swd_reduce(plan.plan, &plan.buffers, &args, SWD_PHASE_GRAD, 1, 1, plan.stream()));
    parts.ok(swd_fold(plan.plan, &plan.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, plan.stream()));
    parts.ok(swd_decide(plan.plan, &plan.buffers, &args, SWD_PHASE_GRAD, nullptr, 0, plan.stream()));
    double q = sum_of_squares(gradients(kBehind, kBehindCount));
    std::vector<double> memory(plan.workspace->bytes() / sizeof(double));
    plan.workspace->read(0, memory.data(), memory.size() * sizeof(double));
    const double known[] = {q, 0.0, 0.0, q, 1.0, 1.0};  // SegmentScratch from q on
    auto at = std::search(memory.begin(), memory.end(), known, known + 6);
    ASSERT_NE(at, memory.end());
    uint64_t scratch = static_cast<uint64_t>(at - memory.begin()) * sizeof(double) - offsetof(SegmentScratch, q);
    SegmentScratch one;
    plan.workspace->read(scratch, &one, sizeof one);
    plan.workspace->write(scratch - sizeof one, &one, sizeof one);
    args.has_grad = nullptr;
    parts.ok(swd_reduce(plan.plan, &plan.buffers, &args, SWD_PHASE_MAX, 0, 2, plan.stream()));
    expect_sums(plan, chunk_sums(parts, false));
  }
}

}  // namespace
}  // namespace swd::test
