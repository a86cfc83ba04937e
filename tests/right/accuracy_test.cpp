// SPDX-License-Identifier: Apache-2.0
// Random points, one step each, against the long-double oracle: 1e6 of them, or as many as SWD_ACCURACY_POINTS says
// (scripts/accuracy.sh), and every 16-bit gradient code at 64 states.
#include <cstdlib>
#include <thread>

#include "support/sweep.h"

namespace swd::test {
namespace {

int64_t points_wanted() {
  const char* text = getenv("SWD_ACCURACY_POINTS");
  return text ? static_cast<int64_t>(std::strtod(text, nullptr)) : scaled(1000000, 200000);
}

TEST(Accuracy, RandomPoints) {
  constexpr int64_t kSegments = 8;
  const int64_t elements = scaled(4099, 1025), batch = kSegments * elements;
  const int64_t batches = (points_wanted() + batch - 1) / batch;
  const int workers = backend_under_test() == SWD_BACKEND_CPU ? 2 : 1;
  std::vector<SweepFigures> figures(static_cast<size_t>(workers));
  auto work = [&](int worker) {
    for (int64_t i = worker; i < batches; i += workers) {
      Dice dice(static_cast<uint64_t>(i) + 1000);
      sweep_batch(dice, kSegments, elements, figures[static_cast<size_t>(worker)]);
    }
  };
  std::vector<std::thread> threads;
  for (int worker = 1; worker < workers; ++worker) threads.emplace_back(work, worker);
  work(0);
  for (std::thread& thread : threads) thread.join();
  SweepFigures total;
  for (const SweepFigures& part : figures) total.merge(part);
  total.formula.check();
  total.whole.check();
  printf("[  FIGURE  ] %lld points, %lld left out at the edge of FLT_MIN\n", static_cast<long long>(total.whole.points),
         static_cast<long long>(total.whole.left_out));
  EXPECT_LT(total.whole.left_out, total.whole.points / 1000);
}

TEST(Accuracy, AllSixteenBitGradients) {
  SweepFigures figures;
  for (swd_dtype dtype : {SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    for (int i = 0, states = scaled(64, 4); i < states; ++i) {
      Dice dice(static_cast<uint64_t>(i) + 5000);
      sweep_codes(dice, dtype, figures);
    }
  }
  figures.formula.check();
  figures.whole.check();
}

}  // namespace
}  // namespace swd::test
