// SPDX-License-Identifier: Apache-2.0
// A captured step replays with what lies in device memory by then: learning rate, loss scale, missing gradients. Its
// replays are the eager steps, to the bit. CUDA only.
#include <cuda_runtime_api.h>

#include "support/small_model.h"

namespace swd::test {
namespace {

constexpr int kSteps = 6;
constexpr uint64_t kReference = 4;  // of relative decay; the third step is skipped

// The hyper-parameters of a step, all in device memory, so that a graph follows them.
struct Scalars {
  explicit Scalars(const Runner& r, swd_backend backend, size_t segments)
      : groups(backend, {}),
        lr(backend, 0.0f),
        loss_scale(backend, 1.0f),
        found_inf(backend, 0.0f),
        has_grad(backend, segments),
        stream(r.stream()) {}

  void set(int t) {
    swd_group g = SWD_GROUP_INIT;
    g.beta1 = t % 2 == 0 ? 0.9 : 0.8;
    g.weight_decay = 1e-2 * t;
    g.lr_pointer = lr.pointer();
    groups.set(g);
    lr.set(1e-3f / static_cast<float>(t));
    loss_scale.set(t < 4 ? 8.0f : 2.0f);
    found_inf.set(t == 3 ? 1.0f : 0.0f);
    for (uint64_t k = 0; k < has_grad.bytes(); ++k) {
      uint8_t present = (k + static_cast<uint64_t>(t)) % 3 != 0;
      has_grad.write(k, &present, 1);
    }
  }
  swd_step_args args() {
    swd_step_args a = SWD_STEP_ARGS_INIT;
    a.groups_device = groups.pointer();
    a.group_count = 1;
    a.loss_scale_pointer = loss_scale.pointer();
    a.found_inf = found_inf.pointer();
    a.has_grad = has_grad.data();
    a.max_grad_norm = 0.7;
    return a;
  }

  DeviceValue<swd_group> groups;
  DeviceValue<float> lr, loss_scale, found_inf;
  DeviceBuffer has_grad;
  void* stream;
};

class Graph {
 public:
  // Captures what `enqueue` launches; nothing runs.
  template <class F>
  Graph(void* stream, F enqueue) : stream_(static_cast<cudaStream_t>(stream)) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaSuccess, cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    enqueue();
    EXPECT_EQ(cudaSuccess, cudaStreamEndCapture(stream_, &graph));
    EXPECT_EQ(cudaSuccess, cudaGraphInstantiate(&graph_, graph, 0));
    EXPECT_EQ(cudaSuccess, cudaGraphDestroy(graph));
  }
  ~Graph() { EXPECT_EQ(cudaSuccess, cudaGraphExecDestroy(graph_)); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void replay() { EXPECT_EQ(cudaSuccess, cudaGraphLaunch(graph_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

void in_pieces(Runner& r, const swd_step_args& args) {
  int64_t n = static_cast<int64_t>(r.setup().counts.size());
  bool max_round = (r.setup().flags & SWD_PLAN_AMSGRAD) != 0;
  for (swd_phase phase = SWD_PHASE_GRAD; phase <= (max_round ? SWD_PHASE_MAX : SWD_PHASE_GRAD); ++phase) {
    r.ok(swd_reduce(r.plan(), &r.buffers, &args, phase, 2, n - 2, r.stream()));
    r.ok(swd_reduce(r.plan(), &r.buffers, &args, phase, 0, 2, r.stream()));
    r.ok(swd_fold(r.plan(), &r.buffers, &args, phase, nullptr, 0, r.stream()));
    r.ok(swd_decide(r.plan(), &r.buffers, &args, phase, nullptr, 0, r.stream()));
  }
  r.ok(swd_update(r.plan(), &r.buffers, &args, r.stream()));
}

// One byte string per step: every array, the state and the statistics.
std::vector<std::vector<uint8_t>> train(uint32_t flags, bool pieces, bool graph,
                                        swd_decay decay = SWD_DECAY_SCHEDULED) {
  RunSetup s = small(flags);
  s.decay = {decay};
  Runner r(s);
  Scalars scalars(r, s.backend, s.counts.size());
  start(r);
  swd_step_args args = scalars.args();
  args.reference_step = kReference;
  auto enqueue = [&] {
    if (pieces) return in_pieces(r, args);
    r.ok(swd_step(r.plan(), &r.buffers, &args, r.stream()));
  };
  std::unique_ptr<Graph> captured = graph ? std::make_unique<Graph>(r.stream(), enqueue) : nullptr;
  std::vector<std::vector<uint8_t>> trace;
  for (int t = 1; t <= kSteps; ++t) {
    fill(r, t, 4.0);
    scalars.set(t);
    if (graph) captured->replay();
    if (!graph) enqueue();
    swd_stats stats = r.stats();
    EXPECT_EQ(stats.result, t == 3 ? SWD_RESULT_SKIPPED_NONFINITE : SWD_RESULT_APPLIED) << "step " << t;
    bool has_reference = decay == SWD_DECAY_RELATIVE && stats.steps_applied >= kReference;
    EXPECT_EQ(stats.vbar_reference > 0.0, has_reference) << "step " << t;
    trace.push_back(r.bytes());
    const uint8_t* at = reinterpret_cast<const uint8_t*>(&stats);
    trace.back().insert(trace.back().end(), at, at + sizeof stats);
  }
  return trace;
}

TEST(Graph, ReplayIsEager) {
  for (uint32_t flags : std::vector<uint32_t>{0, SWD_PLAN_LIST, SWD_PLAN_AMSGRAD | SWD_PLAN_UPDATE_NORMS}) {
    EXPECT_EQ(train(flags, false, true), train(flags, false, false)) << "flags " << flags;
  }
}

TEST(Graph, PiecesReplayLikeTheWhole) {
  for (uint32_t flags : std::vector<uint32_t>{0, SWD_PLAN_AMSGRAD}) {
    EXPECT_EQ(train(flags, true, true), train(flags, false, false)) << "flags " << flags;
  }
}

// The reference step comes between two replays; from then on the strength follows vbar.
TEST(Graph, ReplayOfRelativeDecayIsEager) {
  for (uint32_t flags : std::vector<uint32_t>{0, SWD_PLAN_LIST, SWD_PLAN_AMSGRAD}) {
    std::vector<std::vector<uint8_t>> eager = train(flags, false, false, SWD_DECAY_RELATIVE);
    EXPECT_EQ(train(flags, false, true, SWD_DECAY_RELATIVE), eager) << "flags " << flags;
    EXPECT_EQ(train(flags, true, true, SWD_DECAY_RELATIVE), eager) << "flags " << flags << ", in pieces";
  }
}

// Pointers travel as kernel arguments: a captured table update replays what it was given, long after the host array is
// gone.
TEST(Graph, PointerTablesAreFrozen) {
  RunSetup s = small(SWD_PLAN_LIST);
  std::vector<std::vector<uint8_t>> trace;
  for (bool graph : {false, true}) {
    Runner r(s);
    start(r);
    r.args();
    auto enqueue = [&] { r.step(); };  // sets the gradient pointers, then steps
    std::unique_ptr<Graph> captured = graph ? std::make_unique<Graph>(r.stream(), enqueue) : nullptr;
    for (int t = 1; t <= kSteps; ++t) {
      fill(r, t);
      if (graph) {
        r.ok(swd_set_pointers(r.plan(), r.buffers.workspace, SWD_BUFFER_GRAD, 0, 4,
                              std::vector<const void*>(4, nullptr).data(), r.stream()));
        captured->replay();
      } else {
        enqueue();
      }
    }
    trace.push_back(r.bytes());
  }
  EXPECT_EQ(trace[0], trace[1]);
}

}  // namespace
}  // namespace swd::test
