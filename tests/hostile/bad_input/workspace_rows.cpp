// SPDX-License-Identifier: Apache-2.0
// Bad inputs of the calls that take a workspace by itself, and of the size queries.
#include "scene.h"

namespace swd::test {
namespace {

void add(Rows& rows, Kind kind, swd_status status, const char* field, std::function<swd_status(Scene&)> call) {
  rows.push_back({kind, status, field, std::move(call)});
}

// The five calls, with everything but plan, workspace and stream in order.
using WorkspaceCall = swd_status (*)(Scene&, const swd_plan*, void* workspace, void* stream);
const WorkspaceCall kCalls[] = {
    [](Scene& s, const swd_plan* plan, void* workspace, void* stream) {
      return swd_workspace_init(plan, workspace, s.buffers.workspace_bytes, stream);
    },
    [](Scene& s, const swd_plan* plan, void* workspace, void* stream) {
      return swd_set_pointers(plan, workspace, SWD_BUFFER_PARAM, 0, 2, s.pointers.data(), stream);
    },
    [](Scene& s, const swd_plan* plan, void* workspace, void* stream) {
      return swd_discard(plan, workspace, s.buffers.workspace_bytes, stream);
    },
    [](Scene& s, const swd_plan* plan, void* workspace, void* stream) {
      return swd_stats_fetch(plan, workspace, s.out<swd_stats>(), sizeof(swd_stats), s.out<double>(512), stream);
    },
    [](Scene& s, const swd_plan* plan, void* workspace, void*) {
      return swd_stats_pointer(plan, workspace, s.out<const swd_stats*>());
    },
};

void add_shared_rows(Rows& rows) {
  static char not_null;
  for (WorkspaceCall call : kCalls) {
    add(rows, Kind::kList, SWD_ERR_NULL, "plan",
        [call](Scene& s) { return call(s, nullptr, s.buffers.workspace, s.runner.stream()); });
    add(rows, Kind::kList, SWD_ERR_NULL, "workspace",
        [call](Scene& s) { return call(s, s.runner.plan(), nullptr, s.runner.stream()); });
    for (int64_t by = 1; by < 16; ++by) {
      add(rows, Kind::kList, SWD_ERR_ALIGNMENT, "workspace", [call, by](Scene& s) {
        return call(s, s.runner.plan(), moved(static_cast<char*>(s.buffers.workspace), by), s.runner.stream());
      });
    }
    if (backend_under_test() == SWD_BACKEND_CPU && call != kCalls[4]) {
      add(rows, Kind::kList, SWD_ERR_UNEXPECTED, "stream",
          [call](Scene& s) { return call(s, s.runner.plan(), s.buffers.workspace, &not_null); });
    }
  }
  // Another plan's workspace: refused where the host can look into it, else without effect.
  bool cpu = backend_under_test() == SWD_BACKEND_CPU;
  for (WorkspaceCall call : {kCalls[1], kCalls[2]}) {
    add(rows, Kind::kList, cpu ? SWD_ERR_WORKSPACE : SWD_OK, "workspace",
        [call](Scene& s) { return call(s, s.runner.plan(), s.foreign->buffers.workspace, s.runner.stream()); });
  }
  if (cpu) {
    add(rows, Kind::kList, SWD_ERR_WORKSPACE, "workspace",
        [](Scene& s) { return kCalls[3](s, s.runner.plan(), s.foreign->buffers.workspace, nullptr); });
  }
}

void add_size_rows(Rows& rows) {
  using SizeCall = swd_status (*)(const swd_plan*, uint64_t*);
  for (SizeCall call : {swd_workspace_size, swd_state_size, swd_state_blob_size}) {
    add(rows, Kind::kPlain, SWD_ERR_NULL, "plan", [call](Scene& s) { return call(nullptr, s.out<uint64_t>()); });
    add(rows, Kind::kPlain, SWD_ERR_NULL, "bytes", [call](Scene& s) { return call(s.runner.plan(), nullptr); });
    for (uint64_t by = 1; by < kWordAlignment; ++by) {
      add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "bytes",
          [call, by](Scene& s) { return call(s.runner.plan(), s.out<uint64_t>(by)); });
    }
  }
  for (bool all : {false, true}) {
    add(rows, Kind::kPlain, SWD_ERR_SIZE, "workspace_bytes", [all](Scene& s) {
      return swd_workspace_init(s.runner.plan(), s.buffers.workspace, all ? 0 : s.buffers.workspace_bytes - 1,
                                s.runner.stream());
    });
    add(rows, Kind::kPlain, SWD_ERR_SIZE, "workspace_bytes", [all](Scene& s) {
      return swd_discard(s.runner.plan(), s.buffers.workspace, all ? 0 : s.buffers.workspace_bytes - 1,
                         s.runner.stream());
    });
  }
}

swd_status set(Scene& s, swd_buffer_kind buffer, int64_t first, int64_t count) {
  return swd_set_pointers(s.runner.plan(), s.buffers.workspace, buffer, first, count, s.pointers.data(),
                          s.runner.stream());
}

void add_pointer_rows(Rows& rows) {
  for (swd_buffer_kind bad : {-1, kBuffers, 99, INT32_MAX, INT32_MIN}) {
    add(rows, Kind::kList, SWD_ERR_ENUM, "buffer", [bad](Scene& s) { return set(s, bad, 0, 2); });
  }
  for (swd_buffer_kind b = 0; b < 6; ++b) {
    add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "buffer", [b](Scene& s) { return set(s, b, 0, 2); });
    add(rows, Kind::kFull, SWD_ERR_UNEXPECTED, "buffer", [b](Scene& s) { return set(s, b, 0, 2); });
    for (int64_t by = 1; by < 16; ++by) {
      if (by % (b == SWD_BUFFER_PARAM_COPY ? 2 : 4) == 0) continue;
      for (size_t i : {size_t{0}, size_t{1}}) {
        rows.push_back({Kind::kList, SWD_ERR_ALIGNMENT, "pointers[" + std::to_string(i) + "]", [=](Scene& s) {
                          s.pointers[i] = moved(static_cast<const char*>(s.pointers[i]), by);
                          return set(s, b, 0, 2);
                        }});
      }
    }
  }
  for (swd_buffer_kind b : {SWD_BUFFER_REMAINDER, SWD_BUFFER_EXP_AVG_SCALE, SWD_BUFFER_EXP_AVG_SQ_SCALE}) {
    add(rows, Kind::kList, SWD_ERR_UNEXPECTED, "buffer", [b](Scene& s) { return set(s, b, 0, 2); });
    add(rows, Kind::kNarrow, SWD_ERR_UNEXPECTED, "buffer", [b](Scene& s) { return set(s, b, 0, 2); });
    add(rows, Kind::kNarrowList, SWD_ERR_OVERLAP, "pointers[0]", [b](Scene& s) {
      s.pointers[1] = s.pointers[0];
      return set(s, b, 0, 2);
    });
  }
  for (int64_t first : {INT64_C(-1), INT64_C(3), INT64_MAX, INT64_MIN}) {
    add(rows, Kind::kList, SWD_ERR_SIZE, "first", [first](Scene& s) { return set(s, 0, first, 0); });
  }
  for (int64_t count : {INT64_C(-1), INT64_C(3), INT64_MAX, INT64_MIN}) {
    add(rows, Kind::kList, SWD_ERR_SIZE, "count", [count](Scene& s) { return set(s, 0, 0, count); });
  }
  add(rows, Kind::kList, SWD_ERR_SIZE, "count", [](Scene& s) { return set(s, 0, 1, INT64_MAX); });
  add(rows, Kind::kList, SWD_ERR_NULL, "pointers", [](Scene& s) {
    return swd_set_pointers(s.runner.plan(), s.buffers.workspace, 0, 0, 2, nullptr, s.runner.stream());
  });
  for (int64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, Kind::kList, SWD_ERR_ALIGNMENT, "pointers", [by](Scene& s) {
      return swd_set_pointers(s.runner.plan(), s.buffers.workspace, 0, 0, 1, moved(s.pointers.data(), by),
                              s.runner.stream());
    });
  }
}

swd_status fetch(Scene& s, swd_stats* stats, uint64_t bytes, double* lambda_eff) {
  return swd_stats_fetch(s.runner.plan(), s.buffers.workspace, stats, bytes, lambda_eff, s.runner.stream());
}

void add_stats_rows(Rows& rows) {
  add(rows, Kind::kPlain, SWD_ERR_SIZE, "stats_size",
      [](Scene& s) { return fetch(s, s.out<swd_stats>(), 0, nullptr); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "stats",
      [](Scene& s) { return fetch(s, nullptr, sizeof(swd_stats), nullptr); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "stats",
      [](Scene& s) { return swd_stats_pointer(s.runner.plan(), s.buffers.workspace, nullptr); });
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "stats",
        [by](Scene& s) { return fetch(s, s.out<swd_stats>(by), sizeof(swd_stats), nullptr); });
    add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "lambda_eff",
        [by](Scene& s) { return fetch(s, s.out<swd_stats>(), sizeof(swd_stats), s.out<double>(512 + by)); });
    add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "stats", [by](Scene& s) {
      return swd_stats_pointer(s.runner.plan(), s.buffers.workspace, s.out<const swd_stats*>(by));
    });
  }
  for (int64_t at : {-8, 0, 64}) {
    add(rows, Kind::kPlain, SWD_ERR_OVERLAP, "stats", [at](Scene& s) {
      return fetch(s, reinterpret_cast<swd_stats*>(moved(static_cast<char*>(s.buffers.workspace), at)),
                   sizeof(swd_stats), nullptr);
    });
    add(rows, Kind::kPlain, SWD_ERR_OVERLAP, "lambda_eff", [at](Scene& s) {
      return fetch(s, s.out<swd_stats>(), sizeof(swd_stats),
                   reinterpret_cast<double*>(moved(static_cast<char*>(s.buffers.workspace), at)));
    });
  }
  for (uint64_t at : std::initializer_list<uint64_t>{0, sizeof(swd_stats) - 8}) {
    add(rows, Kind::kPlain, SWD_ERR_OVERLAP, "lambda_eff",
        [at](Scene& s) { return fetch(s, s.out<swd_stats>(), sizeof(swd_stats), s.out<double>(at)); });
  }
}

}  // namespace

void add_workspace_rows(Rows& rows) {
  add_shared_rows(rows);
  add_size_rows(rows);
  add_pointer_rows(rows);
  add_stats_rows(rows);
}

}  // namespace swd::test
