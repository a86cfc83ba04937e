// SPDX-License-Identifier: Apache-2.0
// Bad inputs of the five calls of a step besides their structs: plan, stream, phase, segments, record.
#include "scene.h"

namespace swd::test {
namespace {

void add(Rows& rows, Kind kind, swd_status status, const char* field, std::function<swd_status(Scene&)> call) {
  rows.push_back({kind, status, field, std::move(call)});
}

void add_plan_and_stream_rows(Rows& rows) {
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_step(nullptr, &s.buffers, &s.args, s.runner.stream()); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_update(nullptr, &s.buffers, &s.args, s.runner.stream()); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_reduce(nullptr, &s.buffers, &s.args, SWD_PHASE_GRAD, 0, 2, s.runner.stream()); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_fold(nullptr, &s.buffers, &s.args, SWD_PHASE_GRAD, nullptr, 0, s.runner.stream()); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_decide(nullptr, &s.buffers, &s.args, SWD_PHASE_GRAD, nullptr, 0, s.runner.stream()); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_state_rebuild(nullptr, &s.buffers, s.runner.stream()); });
  if (backend_under_test() != SWD_BACKEND_CPU) return;
  static char not_null;
  void* stream = &not_null;
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "stream",
      [=](Scene& s) { return swd_step(s.runner.plan(), &s.buffers, &s.args, stream); });
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "stream",
      [=](Scene& s) { return swd_update(s.runner.plan(), &s.buffers, &s.args, stream); });
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "stream",
      [=](Scene& s) { return swd_reduce(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, 0, 2, stream); });
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "stream",
      [=](Scene& s) { return swd_fold(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, nullptr, 0, stream); });
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "stream",
      [=](Scene& s) { return swd_decide(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, nullptr, 0, stream); });
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "stream",
      [=](Scene& s) { return swd_state_rebuild(s.runner.plan(), &s.buffers, stream); });
}

using PhaseCall = swd_status (*)(Scene&, swd_phase);
const PhaseCall kPhaseCalls[] = {
    [](Scene& s, swd_phase phase) {
      return swd_reduce(s.runner.plan(), &s.buffers, &s.args, phase, 0, 2, s.runner.stream());
    },
    [](Scene& s, swd_phase phase) {
      return swd_fold(s.runner.plan(), &s.buffers, &s.args, phase, nullptr, 0, s.runner.stream());
    },
    [](Scene& s, swd_phase phase) {
      return swd_decide(s.runner.plan(), &s.buffers, &s.args, phase, nullptr, 0, s.runner.stream());
    },
};

using RecordCall = swd_status (*)(Scene&, double*);
const RecordCall kRecordCalls[] = {
    [](Scene& s, double* record) {
      return swd_fold(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, record, kRecordDoubles, s.runner.stream());
    },
    [](Scene& s, double* record) {
      return swd_decide(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, record, kRecordDoubles,
                        s.runner.stream());
    },
};

void reduce_range(Rows& rows, const char* field, int64_t first, int64_t count) {
  add(rows, Kind::kPlain, SWD_ERR_SIZE, field, [first, count](Scene& s) {
    return swd_reduce(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, first, count, s.runner.stream());
  });
}

swd_status add_records(Scene& s, const swd_plan* plan, double* to, const double* from) {
  return swd_record_add(plan, to, from, kRecordDoubles, s.runner.stream());
}

void add_record_add_rows(Rows& rows) {
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan",
      [](Scene& s) { return add_records(s, nullptr, s.out<double>(), s.out<double>(512)); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "to",
      [](Scene& s) { return add_records(s, s.runner.plan(), nullptr, s.out<double>(512)); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "from",
      [](Scene& s) { return add_records(s, s.runner.plan(), s.out<double>(), nullptr); });
  for (uint64_t at : {uint64_t{0}, uint64_t{8}, uint64_t{120}}) {
    add(rows, Kind::kPlain, SWD_ERR_OVERLAP, "from",
        [at](Scene& s) { return add_records(s, s.runner.plan(), s.out<double>(), s.out<double>(at)); });
  }
  for (uint64_t by = 1; by < uint64_t{kWordAlignment}; ++by) {
    add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "to",
        [by](Scene& s) { return add_records(s, s.runner.plan(), s.out<double>(by), s.out<double>(512)); });
    add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "from",
        [by](Scene& s) { return add_records(s, s.runner.plan(), s.out<double>(), s.out<double>(512 + by)); });
  }
  add(rows, Kind::kPlain, SWD_ERR_NULL, "plan", [](Scene& s) { return swd_record_size(nullptr, s.out<uint64_t>()); });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "doubles", [](Scene& s) { return swd_record_size(s.runner.plan(), nullptr); });
  add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "doubles",
      [](Scene& s) { return swd_record_size(s.runner.plan(), s.out<uint64_t>(kWordAlignment / 2)); });
}

void add_copy_rows(Rows& rows) {
  add(rows, Kind::kFull, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_copy_params(nullptr, &s.buffers, s.runner.stream()); });
  add(rows, Kind::kFull, SWD_ERR_NULL, "buffers",
      [](Scene& s) { return swd_copy_params(s.runner.plan(), nullptr, s.runner.stream()); });
  add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "copy_dtype",
      [](Scene& s) { return swd_copy_params(s.runner.plan(), &s.buffers, s.runner.stream()); });
  const std::pair<const char*, void * swd_buffers::*> members[] = {{"buffers.param", &swd_buffers::param},
                                                                   {"buffers.param_copy", &swd_buffers::param_copy},
                                                                   {"buffers.workspace", &swd_buffers::workspace}};
  for (const auto& [name, buffer] : members) {
    add(rows, Kind::kFull, SWD_ERR_NULL, name, [member = buffer](Scene& s) {
      s.buffers.*member = nullptr;
      return swd_copy_params(s.runner.plan(), &s.buffers, s.runner.stream());
    });
  }
  add(rows, Kind::kFull, SWD_ERR_OVERLAP, "param_copy", [](Scene& s) {
    s.buffers.param_copy = s.buffers.param;
    return swd_copy_params(s.runner.plan(), &s.buffers, s.runner.stream());
  });
}

}  // namespace

void add_piece_rows(Rows& rows) {
  add_plan_and_stream_rows(rows);
  for (PhaseCall call : kPhaseCalls) {
    for (swd_phase bad : {-1, 2, 99, INT32_MAX, INT32_MIN}) {
      for (Kind kind : {Kind::kPlain, Kind::kFull}) {
        add(rows, kind, SWD_ERR_ENUM, "phase", [call, bad](Scene& s) { return call(s, bad); });
      }
    }
    add(rows, Kind::kPlain, SWD_ERR_UNEXPECTED, "phase", [call](Scene& s) { return call(s, SWD_PHASE_MAX); });
  }
  for (int64_t first : {INT64_C(-1), INT64_C(3), INT64_MAX, INT64_MIN}) reduce_range(rows, "first_segment", first, 0);
  for (int64_t count : {INT64_C(-1), INT64_C(3), INT64_MAX, INT64_MIN}) reduce_range(rows, "segment_count", 0, count);
  for (int64_t count : {INT64_C(2), INT64_MAX}) reduce_range(rows, "segment_count", 1, count);
  reduce_range(rows, "segment_count", 2, 1);
  using Place = void* (*)(Scene&);
  const Place places[] = {
      [](Scene& s) { return s.buffers.param; },          [](Scene& s) { return const_cast<void*>(s.buffers.grad); },
      [](Scene& s) { return s.buffers.exp_avg; },        [](Scene& s) { return s.buffers.exp_avg_sq; },
      [](Scene& s) { return s.buffers.max_exp_avg_sq; }, [](Scene& s) { return s.buffers.param_copy; },
      [](Scene& s) { return s.buffers.state; },          [](Scene& s) { return s.buffers.workspace; },
  };
  for (uint64_t doubles : {uint64_t{0}, uint64_t{8}, kRecordDoubles - 1}) {
    add(rows, Kind::kPlain, SWD_ERR_SIZE, "record_doubles", [doubles](Scene& s) {
      return swd_fold(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, s.out<double>(), doubles,
                      s.runner.stream());
    });
    add(rows, Kind::kPlain, SWD_ERR_SIZE, "record_doubles", [doubles](Scene& s) {
      return swd_decide(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, s.out<double>(), doubles,
                        s.runner.stream());
    });
    add(rows, Kind::kPlain, SWD_ERR_SIZE, "record_doubles", [doubles](Scene& s) {
      return swd_record_add(s.runner.plan(), s.out<double>(), s.out<double>(512), doubles, s.runner.stream());
    });
  }
  add(rows, Kind::kPlain, SWD_ERR_NULL, "record", [](Scene& s) {
    return swd_fold(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, nullptr, kRecordDoubles, s.runner.stream());
  });
  add(rows, Kind::kPlain, SWD_ERR_NULL, "record", [](Scene& s) {
    return swd_decide(s.runner.plan(), &s.buffers, &s.args, SWD_PHASE_GRAD, nullptr, 1, s.runner.stream());
  });
  add_record_add_rows(rows);
  add_copy_rows(rows);
  for (RecordCall call : kRecordCalls) {
    for (int64_t by = 1; by < kWordAlignment; ++by) {
      add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "record",
          [call, by](Scene& s) { return call(s, moved(reinterpret_cast<double*>(s.device_groups.data()), by)); });
    }
    for (Place place : places) {
      for (int64_t at : {-120, 0, 40}) {  // its last, its first bytes inside
        add(rows, Kind::kFull, SWD_ERR_OVERLAP, "record", [call, place, at](Scene& s) {
          return call(s, reinterpret_cast<double*>(moved(static_cast<char*>(place(s)), at)));
        });
      }
    }
  }
}

}  // namespace swd::test
