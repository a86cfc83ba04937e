// SPDX-License-Identifier: Apache-2.0
// The stacks of the pool's workers are small: half of one must stay free, whatever a step does. Sanitizers and valgrind
// run this, too; what is measured are the pages that were touched.
#include <gtest/gtest.h>
#include <pthread.h>

#include "support/cpu_model.h"
#include "support/figure.h"
#include "support/flat_plan.h"
#include "support/pager.h"

namespace swd::test {
namespace {

constexpr int64_t kRange = 16 * 4096;  // elements: the smallest that a thread takes at a time

Visitors visitors;
void* stack_of_worker = nullptr;  // its lowest byte
size_t stack_bytes = 0;

// In a thread that touched a page first; the caller gives the worker time to come.
void look_at_the_stack(int64_t) {
  visitors.add();
  if (syscall(SYS_gettid) != getpid()) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack_of_worker, &stack_bytes);
    pthread_attr_destroy(&attributes);
  }
  visitors.wait_for(2);
}

// From the lowest page that was ever touched.
size_t used_of_the_stack() {
  size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> touched(stack_bytes / page);
  EXPECT_EQ(mincore(stack_of_worker, stack_bytes, touched.data()), 0);
  size_t untouched = 0;
  while (untouched < touched.size() && (touched[untouched] & 1) == 0) ++untouched;
  return stack_bytes - untouched * page;
}

TEST(CpuStack, HalfOfItIsFree) {
  Pager pager(4 * kRange * sizeof(float), look_at_the_stack);
  FlatPlan plan(2, 4 * kRange, pager.floats());  // as long as it is there, so is the worker
  ASSERT_EQ(plan.step(), SWD_OK);
  ASSERT_GT(stack_bytes, 0u);
  for (swd_dtype dtype : {SWD_DTYPE_F32, SWD_DTYPE_BF16, SWD_DTYPE_F16}) {
    for (uint32_t flags : {uint32_t{0}, uint32_t{SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS}}) {
      ModelCase c;
      c.grad = dtype;
      c.copy = dtype == SWD_DTYPE_F32 ? SWD_DTYPE_NONE : dtype;
      c.plan_flags = flags;
      c.counts = {16 * kRange + 5};
      c.threads = 2;
      EXPECT_TRUE(Model(c).train());
    }
  }
  Figure used("bytes of a worker's stack", static_cast<double>(stack_bytes) / 2);
  used.add(static_cast<double>(used_of_the_stack()));
  used.check();
}

}  // namespace
}  // namespace swd::test
