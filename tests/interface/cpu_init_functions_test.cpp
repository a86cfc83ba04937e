// SPDX-License-Identifier: Apache-2.0
// The init functions write what the macros hold, for any size that a client may know, and nothing beyond it.
#include <gtest/gtest.h>

#include <cstring>

#include "swd/swd.h"

namespace swd::test {
namespace {

template <class T>
void check(const T& macro, uint64_t first_version, swd_status (*init)(T*, uint64_t)) {
  for (uint64_t size : {uint64_t{0}, first_version - 1, first_version, first_version + 1, uint64_t{sizeof(T)} - 1,
                        uint64_t{sizeof(T)}, uint64_t{sizeof(T)} + 24, uint64_t{4096}, uint64_t{4097}, UINT64_MAX}) {
    alignas(8) uint8_t bytes[4200];
    memset(bytes, 0xEE, sizeof bytes);
    bool taken = size >= first_version && size <= 4096 && (size >= sizeof(T) || size % alignof(T) == 0);
    uint64_t known = size < sizeof(T) ? size : sizeof(T);
    EXPECT_EQ(init(reinterpret_cast<T*>(bytes), size), taken ? SWD_OK : SWD_ERR_STRUCT_SIZE) << size;
    T wanted = macro;
    wanted.struct_size = static_cast<uint32_t>(size);
    EXPECT_TRUE(!taken || memcmp(bytes, &wanted, known) == 0);
    for (uint64_t i = taken ? known : 0; i < sizeof bytes; ++i) ASSERT_EQ(bytes[i], taken && i < size ? 0 : 0xEE) << i;
  }
  EXPECT_EQ(init(nullptr, sizeof(T)), SWD_ERR_NULL);
}

TEST(CpuInitFunctions, WriteWhatTheMacrosHold) {
  check<swd_plan_args>(SWD_PLAN_ARGS_INIT, offsetof(swd_plan_args, model_key), swd_plan_args_init);
  check<swd_buffers>(SWD_BUFFERS_INIT, offsetof(swd_buffers, remainder), swd_buffers_init);
  check<swd_step_args>(SWD_STEP_ARGS_INIT, offsetof(swd_step_args, reference_step), swd_step_args_init);
  check<swd_fp32_arrays>(SWD_FP32_ARRAYS_INIT, sizeof(swd_fp32_arrays), swd_fp32_arrays_init);
}

}  // namespace
}  // namespace swd::test
