// SPDX-License-Identifier: Apache-2.0
// Sums of squares with a known answer, read from the norm record: exact where the terms are, whatever their order and
// magnitude; within the stated bound of the exact integer sum everywhere else.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "support/figure.h"
#include "support/runner.h"

namespace swd::test {
namespace {

constexpr double kBound = 17.0 * 0x1p-24;  // src/kernels/sum_order.h

// The record of one segment of raw gradients.
swd_norm_record record_of(const std::vector<float>& grad, swd_dtype dtype = SWD_DTYPE_F32) {
  RunSetup s;
  s.backend = backend_under_test();
  s.grad = dtype;
  s.counts = {static_cast<int64_t>(grad.size())};
  Runner r(s);
  r.set(SWD_BUFFER_GRAD, 0, grad);
  DeviceRecord record(s.backend);
  r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, 0, 1, r.stream()));
  r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), SWD_PHASE_GRAD, record.pointer(), kRecordDoubles, r.stream()));
  synchronize(s.backend);
  return record.get();
}

void expect_sum(const std::vector<float>& grad, double want, const std::string& what, swd_dtype dtype = SWD_DTYPE_F32) {
  swd_norm_record r = record_of(grad, dtype);
  EXPECT_EQ(r.sum_sq, want) << what;
  EXPECT_EQ(r.total_sq, want) << what;
  EXPECT_EQ(r.bad, 0.0) << what;
}

std::vector<int64_t> sizes() { return {1, 2, 255, 256, 257, 4095, 4096, 4097, 70003}; }

// n whole numbers up to 1,000: every partial sum of a run is exact in fp32.
std::vector<int> whole_numbers(int64_t n) {
  Dice dice(static_cast<uint64_t>(n));
  std::vector<int> out(static_cast<size_t>(n));
  for (int& x : out) x = static_cast<int>(dice.below(2001)) - 1000;
  return out;
}

double squares_of(const std::vector<int>& x) {
  int64_t sum = 0;
  for (int64_t one : x) sum += one * one;
  return static_cast<double>(sum);
}

// 2^-149 and 2^117 times 1,000 are the ends of fp32; squares leave its range from -75 down and from 54 up.
TEST(ExactSum, WholeNumbersTimesAnyPowerOfTwo) {
  for (int64_t n : sizes()) {
    std::vector<int> x = whole_numbers(n);
    for (int exponent : {0, -20, 20, -49, -53, -62, -64, -75, -100, -126, -140, -149, 50, 54, 60, 100, 117}) {
      std::vector<float> grad;
      for (int one : x) grad.push_back(std::ldexp(static_cast<float>(one), exponent));
      // Below 2^-63 a square is too small for the run. A chunk is summed with care where that matters to the bound, so
      // single terms may be missing in between.
      bool exact = exponent >= -62 || exponent <= -73;
      double want = std::ldexp(squares_of(x), 2 * exponent);
      std::string what = std::to_string(n) + " elements, 2^" + std::to_string(exponent);
      if (exact) expect_sum(grad, want, what);
      EXPECT_LE(relative_error(record_of(grad).sum_sq, want), kBound) << what;
    }
  }
}

TEST(ExactSum, AnyOrder) {
  for (int exponent : {0, 60, -140}) {
    std::vector<int> x = whole_numbers(scaled(100000, 20000));
    double want = std::ldexp(squares_of(x), 2 * exponent);
    Dice dice(3);
    for (int round = 0; round < 5; ++round) {
      std::vector<float> grad;
      for (int one : x) grad.push_back(std::ldexp(static_cast<float>(one), exponent));
      expect_sum(grad, want, "round " + std::to_string(round));
      if (round == 3) std::sort(x.begin(), x.end());
      for (size_t i = x.size() - 1; round < 3 && i > 0; --i)
        std::swap(x[i], x[static_cast<size_t>(dice.below(static_cast<int64_t>(i) + 1))]);
    }
  }
}

// 257 chunks: the tree has two levels.
TEST(ExactSum, DeepTree) {
  std::vector<int> x = whole_numbers((1 << 20) + 3);
  expect_sum(std::vector<float>(x.begin(), x.end()), squares_of(x), "257 chunks");
}

// Whole chunks beside each other need not agree about their range.
TEST(ExactSum, HugeBesideTinyChunks) {
  std::vector<float> grad(3 * 4096 + 5, 0.0f);
  grad[7] = 0x1p60f;
  grad[4096] = 0x1p50f;  // an ordinary chunk
  grad[4100] = 0x1p49f;
  grad[2 * 4096 + 9] = 0x1p64f;
  grad[3 * 4096] = 0x1p45f;
  expect_sum(grad, 0x1p120 + 0x1p100 + 0x1p98 + 0x1p128 + 0x1p90, "mixed");
}

TEST(ExactSum, TheEndsOfFp32) {
  for (int64_t n : {1, 16, 4096, 12288}) {
    size_t count = static_cast<size_t>(n);
    double terms = static_cast<double>(n), largest = FLT_MAX;
    expect_sum(std::vector<float>(count, FLT_MAX), terms * (largest * largest), "FLT_MAX");
    expect_sum(std::vector<float>(count, -0x1p-149f), terms * 0x1p-298, "smallest denormal");
    expect_sum(std::vector<float>(count, FLT_MIN), terms * 0x1p-252, "FLT_MIN");
    expect_sum(std::vector<float>(count, -0.0f), 0.0, "zero");
    std::vector<float> one(count, 0.0f);
    one.back() = 0x1p-149f;
    expect_sum(one, 0x1p-298, "one denormal among zeros");
  }
}

// Where a chunk is trusted, squares below 2^-126 are left out, also in lanes that hold nothing else.
TEST(ExactSum, DenormalSquaresAreLeftOutOfATrustedChunk) {
  std::vector<float> grad(4096 + 300, 0x1.8p-64f);
  grad[5] = 0x1p-40f;
  grad[4096 + 7] = 0x1p-41f;
  expect_sum(grad, 0x1p-80 + 0x1p-82, "two chunks");
}

TEST(ExactSum, HalfPrecision) {
  for (swd_dtype dtype : {SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    for (int64_t n : sizes()) {
      Dice dice(static_cast<uint64_t>(n) + 9);
      std::vector<int> x(static_cast<size_t>(n));
      for (int& one : x) one = static_cast<int>(dice.below(257)) - 128;
      for (int exponent : {0, -12, 8}) {
        std::vector<float> grad;
        for (int one : x) grad.push_back(std::ldexp(static_cast<float>(one), exponent));
        expect_sum(grad, std::ldexp(squares_of(x), 2 * exponent), std::to_string(n) + " elements", dtype);
      }
    }
  }
}

// uniform() is whole multiples of 2^-23, so the exact sum is an integer below 2^70.
TEST(ExactSum, RandomNumbersAreWithinTheBound) {
  Figure small("sum of squares, 1 to 300 elements, relative", kBound);
  Figure chunk("sum of squares, one or two chunks, relative", 2e-8);
  Figure large("sum of squares, 100,000 elements and more", 2e-9);
  for (int64_t n : {1, 2, 16, 17, 100, 300, 4096, 5000, 100000, scaled(3000000, 200000)}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      std::vector<float> grad = uniform(seed, 3, n);
      if (seed % 4 == 1) grad.assign(grad.size(), grad[0]);  // every run rounds alike
      long double exact = 0;
      for (float g : grad) exact += static_cast<long double>(std::ldexp(g, 23)) * std::ldexp(g, 23);
      double error = relative_error(record_of(grad).sum_sq, std::ldexp(static_cast<double>(exact), -46));
      (n < 4096 || seed % 4 == 1 ? small : n < 100000 ? chunk : large).add(error);
    }
  }
  small.check();
  chunk.check();
  large.check();
}

// The worst that the fp32 run may leave out: one term at the smallest sum that is trusted, all others just below the
// smallest square that is added.
TEST(ExactSum, TermsTooSmallForTheRun) {
  Figure figure("one term above many too small to add", kBound);
  for (int exponent = -63; exponent <= -40; ++exponent) {
    std::vector<float> grad(4096, std::nextafter(0x1p-63f, 0.0f));
    grad[100] = std::ldexp(1.0f, exponent);
    double small = grad[0], large = grad[100];
    figure.add(relative_error(record_of(grad).sum_sq, 4095.0 * small * small + large * large));
  }
  figure.check();
}

}  // namespace
}  // namespace swd::test
