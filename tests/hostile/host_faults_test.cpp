// SPDX-License-Identifier: Apache-2.0
// Host memory that runs out, on both backends: each allocation of swd_plan_create fails once, and no other function
// allocates at all. Nothing leaks, and the bits are those of a run without faults.
#include "support/interpose/host_faults.h"

#include "support/runner.h"

namespace swd::test {
namespace {

RunSetup setup(uint32_t flags) {
  RunSetup s;
  s.backend = backend_under_test();
  s.flags = flags;
  s.copy = SWD_DTYPE_BF16;
  s.counts = {5000, 0, 33};
  s.groups[0].weight_decay = 1e-2;
  return s;
}

void start(Runner& r) {
  for (size_t k = 0; k < r.setup().counts.size(); ++k) {
    r.set(SWD_BUFFER_PARAM, k, uniform(1, k, r.setup().counts[k]));
    r.set(SWD_BUFFER_GRAD, k, uniform(2, k, r.setup().counts[k]));
  }
}

// What one test does after a plan is there: every function of the ABI that takes it.
std::vector<uint8_t> everything(Runner& r) {
  start(r);
  r.step();
  r.ok(swd_discard(r.plan(), r.buffers.workspace, r.buffers.workspace_bytes, r.stream()));
  bool max_round = (r.setup().flags & SWD_PLAN_AMSGRAD) != 0;
  for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
    r.ok(swd_reduce(r.plan(), &r.buffers, &r.args(), phase, 0, 3, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &r.args(), phase, nullptr, 0, r.stream()));
  }
  r.ok(swd_update(r.plan(), &r.buffers, &r.args(), r.stream()));
  std::vector<double> lambda_eff;
  r.stats(&lambda_eff);
  const swd_stats* stats = nullptr;
  r.ok(swd_stats_pointer(r.plan(), r.buffers.workspace, &stats));
  std::vector<uint8_t> image = r.image();
  swd_segment_state state;
  r.ok(swd_state_get(r.plan(), image.data(), image.size(), 2, &state, sizeof(swd_segment_state)));
  r.ok(swd_state_set(r.plan(), image.data(), image.size(), 2, &state, sizeof(swd_segment_state)));
  uint64_t bytes = 0;
  r.ok(swd_state_blob_size(r.plan(), &bytes));
  std::vector<uint8_t> blob(bytes);
  r.ok(swd_state_export(r.plan(), image.data(), image.size(), blob.data(), bytes));
  const void* blobs[] = {blob.data()};
  r.ok(swd_state_import(r.plan(), blobs, &bytes, 1, image.data(), image.size()));
  EXPECT_EQ(swd_state_import(r.plan(), blobs, &bytes, 2, nullptr, image.size()), SWD_ERR_NULL);  // an error, too
  r.set_image(image);
  r.ok(swd_state_rebuild(r.plan(), &r.buffers, r.stream()));
  DeviceBuffer values(r.setup().backend, 4 * 8192);
  swd_fp32_arrays arrays = SWD_FP32_ARRAYS_INIT;
  arrays.exp_avg_sq = values.data();
  for (auto convert : {swd_state_store, swd_state_load}) {
    if (!(r.setup().flags & SWD_PLAN_LIST)) r.ok(convert(r.plan(), &r.buffers, &arrays, r.stream()));
  }
  r.step();
  return r.bytes();
}

TEST(HostFaults, EachAllocationOfAPlanFailsOnce) {
  for (uint32_t flags : {0u, uint32_t{SWD_PLAN_LIST} | SWD_PLAN_AMSGRAD}) {
    swd_segment segments[] = {{0, 5000, 0, 0, 0}, {flags ? 0 : 5000, 33, 0, 0, 0}};
    swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.flags = flags;
    args.backend = backend_under_test();
    args.segments = segments;
    args.segment_count = 2;
    args.decay_modes = &decay;
    args.group_count = 1;
    int faults = 0;
    for (;; ++faults) {
      ASSERT_LT(faults, 100);
      Allocations before = allocations();
      swd_plan* plan = nullptr;
      fail_library_allocation(faults + 1);
      swd_status status = swd_plan_create(&args, &plan);
      fail_library_allocation(0);
      if (status == SWD_OK) {
        EXPECT_EQ(allocations().library - before.library, faults) << "a fault was swallowed";
        EXPECT_EQ(swd_plan_destroy(plan), SWD_OK);
        EXPECT_EQ(allocations().live, before.live);
        break;
      }
      EXPECT_EQ(status, SWD_ERR_MEMORY);
      EXPECT_NE(std::string(swd_error_detail()).find("args.segment_count"), std::string::npos) << swd_error_detail();
      EXPECT_EQ(plan, nullptr);
      EXPECT_EQ(allocations().live, before.live) << "fault " << faults + 1 << " leaks";
    }
    EXPECT_GE(faults, backend_under_test() == SWD_BACKEND_CPU ? 6 : 5);
    printf("%d allocations of a plan failed\n", faults);
  }
}

// Their order is looked at in memory of the call's own, unless they are few.
TEST(HostFaults, TheAllocationOfManyPointersFails) {
  RunSetup s = setup(SWD_PLAN_LIST);
  s.counts.assign(65, 3);
  Runner r(s);
  std::vector<const void*> pointers;
  for (size_t k = 0; k < 65; ++k) pointers.push_back(r.at(SWD_BUFFER_EXP_AVG, k));
  auto set = [&](int64_t count) {
    return swd_set_pointers(r.plan(), r.buffers.workspace, SWD_BUFFER_EXP_AVG, 0, count, pointers.data(), r.stream());
  };
  std::vector<uint8_t> before = r.workspace_bytes();
  std::swap(pointers[0], pointers[64]);
  fail_all_library_allocations(true);
  swd_status many = set(65), few = set(64);
  fail_all_library_allocations(false);
  EXPECT_EQ(many, SWD_ERR_MEMORY);
  EXPECT_EQ(few, r.setup().backend == SWD_BACKEND_CPU ? SWD_ERR_OVERLAP : SWD_OK);  // with what 64 was and still is
  if (few != SWD_OK) EXPECT_EQ(r.workspace_bytes(), before);
  EXPECT_EQ(set(65), SWD_OK) << swd_error_detail();
}

// The pointers of both ways from and to fp32 lie in the caller's memory; whether their tensors are apart is looked at
// in memory of the call's own. Of a flat plan there is nothing to allocate.
TEST(HostFaults, TheAllocationsOfConversionsFail) {
  for (size_t segments : {size_t{3}, size_t{65}}) {
    RunSetup s;
    s.backend = backend_under_test();
    s.flags = SWD_PLAN_LIST;
    s.param = SWD_DTYPE_BF16;
    s.remainder = SWD_DTYPE_I8;
    s.moment = SWD_DTYPE_BLOCK8;
    s.counts.assign(segments, 130);
    Runner r(s);
    start(r);
    r.step();
    DeviceBuffer values(s.backend, 4 * 130 * segments);
    values.fill(0);
    std::vector<const void*> tensors;
    for (size_t k = 0; k < segments; ++k) tensors.push_back(values.data() + 4 * 130 * k);
    swd_fp32_arrays arrays = SWD_FP32_ARRAYS_INIT;
    arrays.exp_avg_sq = tensors.data();
    for (auto convert : {swd_state_load, swd_state_store}) {
      std::vector<uint8_t> before = r.bytes(), values_before = values.read_all(), workspace = r.workspace_bytes();
      for (int fault = 1;; ++fault) {
        ASSERT_LT(fault, 10);
        Allocations at = allocations();
        fail_library_allocation(fault);
        swd_status status = convert(r.plan(), &r.buffers, &arrays, r.stream());
        fail_library_allocation(0);
        EXPECT_EQ(allocations().live, at.live);
        if (status == SWD_OK) {
          EXPECT_GT(fault, 1);
          break;
        }
        EXPECT_EQ(status, SWD_ERR_MEMORY) << swd_error_detail();
        EXPECT_EQ(r.bytes(), before);
        EXPECT_EQ(r.workspace_bytes(), workspace);
        EXPECT_EQ(values.read_all(), values_before);
      }
    }
  }
}

TEST(HostFaults, NothingElseAllocates) {
  for (uint32_t flags : {0u, uint32_t{SWD_PLAN_LIST} | SWD_PLAN_AMSGRAD}) {
    Runner plain(setup(flags)), starved(setup(flags));
    std::vector<uint8_t> wanted = everything(plain);
    int64_t before = allocations().library;
    fail_all_library_allocations(true);
    std::vector<uint8_t> seen = everything(starved);
    fail_all_library_allocations(false);
    EXPECT_EQ(allocations().library, before);
    EXPECT_TRUE(seen == wanted);
  }
}

// Also of what the library calls: nobody in the process allocates while a step runs. On CUDA the runtime does as it
// likes.
TEST(HostFaults, AStepOnTheCpuAllocatesNothingAnywhere) {
  RunSetup s = setup(SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS);
  s.backend = SWD_BACKEND_CPU;
  s.counts = {600000, 33, 5000};  // enough for several threads
  Runner r(s);
  start(r);
  r.step();  // starts the threads
  swd_step_args& args = r.args();
  int64_t before = allocations().all;
  swd_status status = swd_step(r.plan(), &r.buffers, &args, nullptr);
  int64_t after = allocations().all;
  EXPECT_EQ(status, SWD_OK);
  EXPECT_EQ(after - before, 0);
}

TEST(HostFaults, ManyPlansLeakNothing) {
  Allocations before = allocations();
  for (int i = 0; i < scaled(200, 20); ++i) {
    Runner r(setup(i % 2 ? uint32_t{SWD_PLAN_LIST} : 0u));
    start(r);
    r.step();
  }
  EXPECT_EQ(allocations().live, before.live);
  EXPECT_GT(allocations().library, before.library);
}

}  // namespace
}  // namespace swd::test
