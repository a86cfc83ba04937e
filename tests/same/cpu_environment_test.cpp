// SPDX-License-Identifier: Apache-2.0
// The bits do not depend on the floating-point environment of the caller, and the caller gets it back as it was.
#include <gtest/gtest.h>

#include <cfenv>

#include "support/cpu_model.h"

#if defined(__SSE2__)
#include "support/control_register.h"
#endif

namespace swd::test {
namespace {

std::vector<ModelCase> cases() {
  ModelCase plain;
  plain.counts = awkward_counts();
  ModelCase half = plain;
  half.grad = SWD_DTYPE_F16;
  half.copy = SWD_DTYPE_BF16;
  half.decay = {SWD_DECAY_SCHEDULED, SWD_DECAY_L2, SWD_DECAY_DECOUPLED};
  ModelCase amsgrad = plain;
  amsgrad.plan_flags = SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS;
  return {plain, half, amsgrad};
}

// Trains with every step called inside the environment that `enter` sets; `leave` checks and restores.
template <class Enter, class Leave>
uint64_t hash_inside(const ModelCase& c, const Enter& enter, const Leave& leave) {
  Model model(c);
  for (double scale : {1.0, 1e-3, 1e-40, 1e-21, 1.0}) {
    model.prepare(scale);
    enter();
    model.apply();
    leave();
  }
  return model.hash();
}

TEST(CpuEnvironment, RoundingModeOfTheCallerDoesNotMatter) {
  for (int32_t threads : {1, 3}) {
    for (ModelCase c : cases()) {
      c.threads = threads;
      uint64_t wanted = hash_inside(
          c, [] {}, [] {});
      for (int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
        auto leave = [mode] {
          EXPECT_EQ(fegetround(), mode);
          fesetround(FE_TONEAREST);
        };
        EXPECT_EQ(hash_inside(
                      c, [mode] { fesetround(mode); }, leave),
                  wanted)
            << mode;
      }
    }
  }
}

// An environment like any other: nothing is set but flags. The work raises most of them itself.
TEST(CpuEnvironment, ExceptionFlagsOfTheCallerStay) {
  for (int32_t threads : {1, 3}) {
    for (ModelCase c : cases()) {
      c.threads = threads;
      for (int raised : {0, FE_INEXACT, FE_DIVBYZERO | FE_OVERFLOW}) {
        int set = 0;  // on Arm the C library raises inexact with overflow
        auto enter = [raised, &set] {
          std::feclearexcept(FE_ALL_EXCEPT);
          std::feraiseexcept(raised);
          set = std::fetestexcept(FE_ALL_EXCEPT);
        };
        hash_inside(c, enter, [raised, &set] {
          EXPECT_EQ(set & raised, raised);
          EXPECT_EQ(std::fetestexcept(FE_ALL_EXCEPT), set);
        });
      }
    }
  }
  std::feclearexcept(FE_ALL_EXCEPT);
}

#if defined(__SSE2__)
TEST(CpuEnvironment, ControlRegisterOfTheCallerDoesNotMatterAndStays) {
  constexpr unsigned int kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  constexpr unsigned int kTrapping = kDefaultControl & ~0x0680u;  // invalid, division by zero and overflow raise SIGFPE
  for (int32_t threads : {1, 3}) {
    for (ModelCase c : cases()) {
      c.threads = threads;
      uint64_t wanted = hash_inside(
          c, [] { _mm_setcsr(kDefaultControl); }, [] { _mm_setcsr(kDefaultControl); });
      for (unsigned int csr : {kDefaultControl | kFlushToZero, kDefaultControl | kDenormalsAreZero, kTrapping,
                               kDefaultControl | kFlushToZero | kDenormalsAreZero | 0x2000u}) {
        if (!takes_control(csr)) continue;
        // Exception flags are sticky: those of the caller stay, and the library's own work leaves none.
        unsigned int after = 0;
        uint64_t hash = hash_inside(
            c, [csr] { _mm_setcsr(csr); },
            [&after, csr] {
              after = _mm_getcsr();
              _mm_setcsr(kDefaultControl);
              EXPECT_EQ(after, csr);
            });
        EXPECT_EQ(hash, wanted) << csr;
      }
    }
  }
}
#endif

}  // namespace
}  // namespace swd::test
