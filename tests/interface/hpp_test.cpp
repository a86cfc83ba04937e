// SPDX-License-Identifier: Apache-2.0
// The owners of swd.hpp: what they own they release once, also when moved, replaced or refused; errors come as statuses
// and as exceptions; memory is the allocator's, where the backend computes.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/device_buffer.h"
#include "swd/swd.hpp"

namespace swd::test {
namespace {

static_assert(std::is_nothrow_move_constructible_v<Plan> && std::is_nothrow_move_assignable_v<Plan>);
static_assert(std::is_nothrow_move_constructible_v<Memory> && std::is_nothrow_move_assignable_v<Memory>);
static_assert(std::is_nothrow_move_constructible_v<Workspace> && std::is_nothrow_move_assignable_v<State>);
static_assert(!std::is_copy_constructible_v<Plan> && !std::is_copy_constructible_v<Memory>);
static_assert(!std::is_copy_assignable_v<State> && !std::is_convertible_v<uint64_t, Memory>);
static_assert(noexcept(Plan().create({})) && noexcept(State().create(nullptr)) && noexcept(Memory().create(1)));

constexpr int64_t kCount = 5000;

// Zeroed memory where the backend under test computes, and what became of it.
struct Heap {
  std::vector<std::unique_ptr<DeviceBuffer>> live;
  int left = 1 << 30;  // allocations until there is no memory any more
  int wrong = 0;       // releases of what was not given, or of another size

  Allocator allocator() {
    return {[](void* heap, uint64_t bytes) { return static_cast<Heap*>(heap)->allocate(bytes); },
            [](void* heap, void* memory, uint64_t bytes) { static_cast<Heap*>(heap)->release(memory, bytes); }, this};
  }
  void* allocate(uint64_t bytes) {
    if (left-- <= 0) return nullptr;
    live.push_back(std::make_unique<DeviceBuffer>(backend_under_test(), bytes));
    live.back()->fill(0);
    synchronize(backend_under_test());
    return live.back()->data();
  }
  void release(void* memory, uint64_t bytes) {
    for (auto at = live.begin(); at != live.end(); ++at) {
      if ((*at)->data() != memory || (*at)->bytes() != bytes) continue;
      EXPECT_TRUE((*at)->canaries_intact());
      live.erase(at);
      return;
    }
    ++wrong;
  }
  DeviceBuffer& of(const Memory& memory) {
    return **std::find_if(live.begin(), live.end(), [&](const auto& b) { return b->data() == memory.data(); });
  }
};

struct Description {
  swd_segment segment = {0, kCount, 0, 0, 0};
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  Description() { args.backend = backend_under_test(), args.segments = &segment, args.segment_count = 1; }
};

// One plan with everything that a step needs from one heap; gradients are 1.
struct Model {
  Plan plan;
  State state;
  Workspace workspace;
  Memory param, grad, exp_avg, exp_avg_sq;
  swd_group group = SWD_GROUP_INIT;
  swd_step_args args = SWD_STEP_ARGS_INIT;

  explicit Model(Heap& heap)
      : plan(Description().args),
        state(plan, heap.allocator()),
        workspace(plan, heap.allocator(), test_stream(backend_under_test())),
        param(kCount * sizeof(float), heap.allocator()),
        grad(kCount * sizeof(float), heap.allocator()),
        exp_avg(kCount * sizeof(float), heap.allocator()),
        exp_avg_sq(kCount * sizeof(float), heap.allocator()) {
    std::vector<float> ones(kCount, 1.0f);
    heap.of(grad).write(0, ones.data(), grad.bytes());
  }
  swd_status step() {
    swd_buffers b = buffers(state, workspace);
    b.param = param.data(), b.grad = grad.data();
    b.exp_avg = exp_avg.data(), b.exp_avg_sq = exp_avg_sq.data();
    args.groups = &group, args.group_count = 1;
    return swd_step(plan, &b, &args, test_stream(backend_under_test()));
  }
};

TEST(Hpp, AStepInOwnedMemory) {
  Heap heap;
  {
    Model model(heap);
    EXPECT_EQ(heap.live.size(), 6u);
    check(model.step());
    float p = 0.0f;
    heap.of(model.param).read(0, &p, sizeof p);
    EXPECT_NEAR(p, -1e-3f, 1e-8f);  // lr, as at every first step of Adam
  }
  EXPECT_TRUE(heap.live.empty());
  EXPECT_EQ(heap.wrong, 0);
}

TEST(Hpp, MovesLeaveEmptyOwnersBehind) {
  Heap heap;
  Memory a(48, heap.allocator());
  void* data = a.data();
  Memory b = std::move(a);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT(bugprone-use-after-move): that it is empty is the promise
  EXPECT_EQ(a.bytes(), 0u);
  EXPECT_TRUE(b.data() == data && b.bytes() == 48);
  Memory c(16, heap.allocator());
  c = std::move(b);  // what c had is released, once
  EXPECT_EQ(heap.live.size(), 1u);
  EXPECT_TRUE(c.data() == data && b.data() == nullptr);
  Memory& same = c;
  c = std::move(same);
  EXPECT_EQ(c.data(), data);
  c = Memory();
  EXPECT_TRUE(heap.live.empty());
  Plan plan(Description().args);
  const swd_plan* handle = plan;
  Workspace workspace(plan, heap.allocator(), test_stream(backend_under_test()));
  Plan moved = std::move(plan);
  EXPECT_TRUE(plan == nullptr && moved == handle);
  Workspace elsewhere;
  elsewhere = std::move(workspace);
  swd_stats stats;
  check(swd_stats_fetch(moved, elsewhere.data(), &stats, sizeof stats, nullptr, test_stream(backend_under_test())));
  synchronize(backend_under_test());
  EXPECT_EQ(stats.result, SWD_RESULT_NONE);
  EXPECT_EQ(heap.wrong, 0);
}

TEST(Hpp, RefusalsAsStatusesLeaveOwnersAsTheyWere) {
  Heap heap;
  Description good, bad;
  bad.segment.count = -1;
  Plan plan;
  EXPECT_EQ(plan.create(bad.args), SWD_ERR_SIZE);
  EXPECT_EQ(plan, nullptr);
  EXPECT_EQ(plan.create(good.args), SWD_OK);
  const swd_plan* handle = plan;
  EXPECT_EQ(plan.create(bad.args), SWD_ERR_SIZE);
  EXPECT_EQ(plan, handle);

  void* stream = test_stream(backend_under_test());
  State state;
  Workspace workspace;
  EXPECT_EQ(state.create(nullptr), SWD_ERR_NULL);
  EXPECT_EQ(workspace.create(Plan(), heap.allocator(), stream), SWD_ERR_NULL);
  EXPECT_EQ(state.create(plan, heap.allocator()), SWD_OK);
  EXPECT_EQ(workspace.create(plan, heap.allocator(), stream), SWD_OK);
  void *state_data = state.data(), *workspace_data = workspace.data();
  heap.left = 0;
  EXPECT_EQ(state.create(plan, heap.allocator()), SWD_ERR_MEMORY);
  EXPECT_EQ(workspace.create(plan, heap.allocator(), stream), SWD_ERR_MEMORY);
  EXPECT_TRUE(state.data() == state_data && workspace.data() == workspace_data);
  EXPECT_EQ(heap.live.size(), 2u);
}

TEST(Hpp, AWorkspaceThatIsRefusedIsReleased) {
  Heap heap;
  Plan plan(Description().args);
  struct Crooked {
    static void* allocate(void* heap, uint64_t bytes) { return add(static_cast<Heap*>(heap)->allocate(bytes + 8), 8); }
    static void release(void* heap, void* memory, uint64_t bytes) {
      static_cast<Heap*>(heap)->release(add(memory, -8), bytes + 8);
    }
    static void* add(void* memory, int bytes) { return static_cast<uint8_t*>(memory) + bytes; }
  };
  Allocator crooked = {Crooked::allocate, Crooked::release, &heap};
  Workspace workspace;
  EXPECT_EQ(workspace.create(plan, crooked, test_stream(backend_under_test())), SWD_ERR_ALIGNMENT);
  EXPECT_TRUE(heap.live.empty() && heap.wrong == 0 && workspace.data() == nullptr);
}

TEST(Hpp, RefusalsAsExceptionsReleaseWhatWasThere) {
  Heap heap;
  Description bad;
  bad.segment.group = 7;
  try {
    Plan plan(bad.args);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.status, SWD_ERR_VALUE);
    EXPECT_EQ(error.cuda, 0);
    EXPECT_EQ(std::string(error.what()), std::string("SWD_ERR_VALUE: ") + swd_error_detail());
    EXPECT_NE(std::string(error.what()).find("group"), std::string::npos);
  }
  // Every allocation of a model fails once; what was there before it is given back.
  for (int k = 0; k < 6; ++k) {
    heap.left = k;
    try {
      Model model(heap);
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(std::string(error.what()).find("SWD_ERR_MEMORY: "), 0u) << error.what();
    }
    EXPECT_TRUE(heap.live.empty()) << k;
  }
  heap.left = 6;
  Model model(heap);
  model.args.max_grad_norm = -1.0;
  EXPECT_THROW(check(model.step()), Error);
  EXPECT_EQ(heap.wrong, 0);
}

TEST(Hpp, MemoryOfTheHost) {
  Memory empty(0);
  EXPECT_TRUE(empty.data() == nullptr && empty.bytes() == 0);
  Memory memory(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 64, 0u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(static_cast<uint8_t*>(memory.data())[i], 0);
  EXPECT_EQ(memory.create(UINT64_MAX), SWD_ERR_MEMORY);
  EXPECT_EQ(memory.bytes(), 100u);
  EXPECT_THROW(Memory(UINT64_MAX - 63), Error);
}

}  // namespace
}  // namespace swd::test
