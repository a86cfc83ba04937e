// SPDX-License-Identifier: Apache-2.0
// Bad inputs of swd_buffers, for every call that takes it: each row holds for the five of a step, and, where it is
// about what they share, for swd_state_rebuild.
#include "scene.h"

namespace swd::test {
namespace {

swd_status rebuild(Scene& s, const swd_buffers* b, const swd_step_args*) {
  return swd_state_rebuild(s.runner.plan(), b, s.runner.stream());
}

// f spoils the buffers.
void spoil(Rows& rows, Kind kind, swd_status status, const std::string& field, std::function<void(Scene&)> f,
           bool for_rebuild) {
  std::vector<StepCall> calls = step_calls();
  if (for_rebuild) calls.push_back(rebuild);
  for (StepCall call : calls) {
    rows.push_back({kind, status, "buffers." + field, [f, call](Scene& s) {
                      f(s);
                      return call(s, &s.buffers, &s.args);
                    }});
  }
}

struct Field {
  const char* name;
  uint64_t alignment;
  bool in_rebuild;
  void* (*get)(const swd_buffers&);
  void (*set)(swd_buffers&, void*);
};

#define FIELD(name, alignment, in_rebuild)                                                                           \
  {                                                                                                                  \
#name, alignment, in_rebuild,                                                                                    \
        [](const swd_buffers& b) { return const_cast<void*>(b.name); }, [](swd_buffers & b, void* p) { b.name = p; } \
  }
const Field kFields[] = {
    FIELD(param, 4, false),          FIELD(grad, 4, false),       FIELD(exp_avg, 4, false), FIELD(exp_avg_sq, 4, true),
    FIELD(max_exp_avg_sq, 4, false), FIELD(param_copy, 2, false), FIELD(state, 16, true),   FIELD(workspace, 16, true),
};
// Of compact8.
const Field kNarrowFields[] = {
    FIELD(param, 2, false),           FIELD(grad, 4, false),      FIELD(exp_avg, 1, false),
    FIELD(exp_avg_sq, 1, true),       FIELD(remainder, 1, false), FIELD(exp_avg_scale, 1, false),
    FIELD(exp_avg_sq_scale, 1, true), FIELD(state, 16, true),     FIELD(workspace, 16, true),
};
#undef FIELD

void add_struct_rows(Rows& rows) {
  std::vector<StepCall> calls = step_calls();
  calls.push_back(rebuild);
  for (StepCall call : calls) {
    rows.push_back({Kind::kPlain, SWD_ERR_NULL, "buffers", [call](Scene& s) { return call(s, nullptr, &s.args); }});
    for (uint64_t by = 1; by < kWordAlignment; ++by) {
      rows.push_back({Kind::kPlain, SWD_ERR_ALIGNMENT, "buffers", [call, by](Scene& s) {
                        memcpy(s.wide.bytes + by, &s.buffers, sizeof s.buffers);
                        return call(s, reinterpret_cast<swd_buffers*>(s.wide.bytes + by), &s.args);
                      }});
    }
    for (uint32_t bytes : {uint32_t{sizeof(swd_buffers)} + 1, uint32_t{sizeof(swd_buffers)} + 8, 4096u}) {
      rows.push_back({Kind::kPlain, SWD_ERR_STRUCT_SIZE, "buffers.struct_size",
                      [call, bytes](Scene& s) { return call(s, s.lengthened(s.buffers, bytes, 1), &s.args); }});
    }
  }
  for (uint32_t bytes :
       {0u, 1u, 8u, uint32_t{offsetof(swd_buffers, remainder)} - 1, uint32_t{offsetof(swd_buffers, remainder)} + 1,
        uint32_t{sizeof(swd_buffers)} - 1, 4097u, UINT32_MAX}) {
    spoil(
        rows, Kind::kPlain, SWD_ERR_STRUCT_SIZE, "struct_size", [bytes](Scene& s) { s.buffers.struct_size = bytes; },
        true);
  }
  for (uint32_t bit = 0; bit < 32; bit += 5) {
    spoil(
        rows, Kind::kPlain, SWD_ERR_FLAGS, "flags", [bit](Scene& s) { s.buffers.flags = 1u << bit; }, true);
  }
  for (uint64_t less : {uint64_t{1}, uint64_t{16}, uint64_t{48}}) {
    spoil(
        rows, Kind::kPlain, SWD_ERR_SIZE, "state_bytes", [less](Scene& s) { s.buffers.state_bytes -= less; }, true);
    spoil(
        rows, Kind::kPlain, SWD_ERR_SIZE, "workspace_bytes", [less](Scene& s) { s.buffers.workspace_bytes -= less; },
        true);
  }
  spoil(
      rows, Kind::kPlain, SWD_ERR_SIZE, "state_bytes", [](Scene& s) { s.buffers.state_bytes = 0; }, true);
  spoil(
      rows, Kind::kPlain, SWD_ERR_SIZE, "workspace_bytes", [](Scene& s) { s.buffers.workspace_bytes = 0; }, true);
}

template <size_t kCount>
void add_field_rows(Rows& rows, Kind kind, const Field (&fields)[kCount]) {
  for (const Field& field : fields) {
    spoil(
        rows, kind, SWD_ERR_NULL, field.name, [&field](Scene& s) { field.set(s.buffers, nullptr); }, field.in_rebuild);
    for (int64_t by = 1; by < 16; ++by) {
      if (static_cast<uint64_t>(by) % field.alignment == 0) continue;
      spoil(
          rows, kind, SWD_ERR_ALIGNMENT, field.name,
          [&field, by](Scene& s) { field.set(s.buffers, moved(static_cast<char*>(field.get(s.buffers)), by)); },
          field.in_rebuild);
    }
    // The first byte of one in the first, or in the last block of 16 bytes, of the other.
    for (const Field& other : fields) {
      if (&field == &other) continue;
      for (int64_t at : {0, 32}) {
        spoil(
            rows, kind, SWD_ERR_OVERLAP, field.name,
            [&field, &other, at](Scene& s) {
              field.set(s.buffers, moved(static_cast<char*>(other.get(s.buffers)), at));
            },
            field.in_rebuild && other.in_rebuild);
      }
    }
  }
}

}  // namespace

void add_buffer_rows(Rows& rows) {
  add_struct_rows(rows);
  add_field_rows(rows, Kind::kFull, kFields);
  add_field_rows(rows, Kind::kNarrow, kNarrowFields);
  auto set_any = [](Scene& s) { return s.runner.at(SWD_BUFFER_PARAM, 0); };
  for (int b = 0; b < 6; ++b) {  // a list has no bases
    const Field& field = kFields[b];
    spoil(
        rows, Kind::kList, SWD_ERR_UNEXPECTED, field.name,
        [&field, set_any](Scene& s) { field.set(s.buffers, set_any(s)); }, field.in_rebuild);
    if (b < 4) continue;  // and a plan without amsgrad or copy has no such buffers
    spoil(
        rows, Kind::kPlain, SWD_ERR_UNEXPECTED, field.name,
        [&field, set_any](Scene& s) { field.set(s.buffers, set_any(s)); }, false);
  }
  for (size_t i = 4; i < 7; ++i) {  // remainder and scales belong to what is narrow
    const Field& field = kNarrowFields[i];
    for (Kind kind : {Kind::kPlain, Kind::kNarrowList}) {
      spoil(
          rows, kind, SWD_ERR_UNEXPECTED, field.name, [&field, set_any](Scene& s) { field.set(s.buffers, set_any(s)); },
          field.in_rebuild);
    }
  }
  // A workspace of another plan: the host can look into it on the CPU; on the device the kernels do, and do nothing.
  bool cpu = backend_under_test() == SWD_BACKEND_CPU;
  for (Kind kind : {Kind::kPlain, Kind::kFull, Kind::kList}) {
    for (StepCall call : step_calls()) {
      rows.push_back({kind, cpu ? SWD_ERR_WORKSPACE : SWD_OK, "workspace", [call](Scene& s) {
                        s.buffers.workspace = s.foreign->buffers.workspace;
                        return call(s, &s.buffers, &s.args);
                      }});
    }
    rows.push_back({kind, cpu ? SWD_ERR_WORKSPACE : SWD_OK, "workspace", [](Scene& s) {
                      s.buffers.workspace = s.foreign->buffers.workspace;
                      return rebuild(s, &s.buffers, nullptr);
                    }});
  }
}

}  // namespace swd::test
