// SPDX-License-Identifier: Apache-2.0
// Bad inputs of swd_state_load and swd_state_store: each row holds for both.
#include "scene.h"

namespace swd::test {
namespace {

void add(Rows& rows, Kind kind, swd_status status, const std::string& field, std::function<swd_status(Scene&)> call) {
  rows.push_back({kind, status, field, std::move(call)});
}

struct Converter {
  std::string name;  // of its argument
  swd_status (*call)(const swd_plan*, const swd_buffers*, const swd_fp32_arrays*, void* stream);
};
const Converter kConverters[] = {{"from", swd_state_load}, {"to", swd_state_store}};

using Array = const void* swd_fp32_arrays::*;
struct Member {
  const char* name;
  Array array;
  std::vector<std::pair<const char*, void * swd_buffers::*>> buffers;  // that it needs
};
const std::vector<Member>& members() {
  static const std::vector<Member> all = {
      {"param",
       &swd_fp32_arrays::param,
       {{"param", &swd_buffers::param},
        {"remainder", &swd_buffers::remainder},
        {"workspace", &swd_buffers::workspace}}},
      {"exp_avg",
       &swd_fp32_arrays::exp_avg,
       {{"exp_avg", &swd_buffers::exp_avg}, {"exp_avg_scale", &swd_buffers::exp_avg_scale}}},
      {"exp_avg_sq",
       &swd_fp32_arrays::exp_avg_sq,
       {{"exp_avg_sq", &swd_buffers::exp_avg_sq},
        {"exp_avg_sq_scale", &swd_buffers::exp_avg_sq_scale},
        {"state", &swd_buffers::state}}}};
  return all;
}

// f spoils the arrays, which are right, or the buffers.
void spoil(Rows& rows, Kind kind, const Converter& c, swd_status status, const std::string& field,
           std::function<void(Scene&)> f) {
  add(rows, kind, status, field, [f, call = c.call](Scene& s) {
    f(s);
    return call(s.runner.plan(), &s.buffers, &s.arrays, s.runner.stream());
  });
}

void add_struct_rows(Rows& rows, const Converter& c) {
  add(rows, Kind::kNarrow, SWD_ERR_NULL, "plan",
      [=](Scene& s) { return c.call(nullptr, &s.buffers, &s.arrays, s.runner.stream()); });
  add(rows, Kind::kNarrow, SWD_ERR_NULL, "buffers",
      [=](Scene& s) { return c.call(s.runner.plan(), nullptr, &s.arrays, s.runner.stream()); });
  add(rows, Kind::kNarrow, SWD_ERR_NULL, c.name,
      [=](Scene& s) { return c.call(s.runner.plan(), &s.buffers, nullptr, s.runner.stream()); });
  for (uint32_t bytes : {0u, 1u, 8u, uint32_t{sizeof(swd_fp32_arrays)} - 1, 4097u, UINT32_MAX}) {
    spoil(rows, Kind::kNarrow, c, SWD_ERR_STRUCT_SIZE, c.name + ".struct_size",
          [bytes](Scene& s) { s.arrays.struct_size = bytes; });
  }
  for (uint32_t more : {1u, 8u}) {
    add(rows, Kind::kNarrow, SWD_ERR_STRUCT_SIZE, c.name + ".struct_size", [=](Scene& s) {
      return c.call(s.runner.plan(), &s.buffers, s.lengthened(s.arrays, sizeof(swd_fp32_arrays) + more, 1),
                    s.runner.stream());
    });
  }
  for (uint32_t bit = 0; bit < 32; bit += 5) {
    spoil(rows, Kind::kNarrow, c, SWD_ERR_FLAGS, c.name + ".flags", [bit](Scene& s) { s.arrays.flags = 1u << bit; });
  }
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, Kind::kNarrow, SWD_ERR_ALIGNMENT, c.name, [=](Scene& s) {
      memcpy(s.wide.bytes + by, &s.arrays, sizeof s.arrays);
      return c.call(s.runner.plan(), &s.buffers, reinterpret_cast<swd_fp32_arrays*>(s.wide.bytes + by),
                    s.runner.stream());
    });
  }
  bool cpu = backend_under_test() == SWD_BACKEND_CPU;
  if (cpu) {
    static char not_null;
    add(rows, Kind::kNarrow, SWD_ERR_UNEXPECTED, "stream",
        [=](Scene& s) { return c.call(s.runner.plan(), &s.buffers, &s.arrays, &not_null); });
  }
  for (Kind kind : {Kind::kNarrow, Kind::kNarrowList}) {
    if (!cpu && kind == Kind::kNarrowList) continue;  // carries its pointers there
    spoil(rows, kind, c, cpu ? SWD_ERR_WORKSPACE : SWD_OK, "workspace",
          [](Scene& s) { s.buffers.workspace = s.foreign->buffers.workspace; });
  }
}

void add_array_rows(Rows& rows, const Converter& c) {
  for (const Member& member : members()) {
    const std::string field = c.name + "." + member.name;
    for (int64_t by = 1; by < 4; ++by) {
      spoil(rows, Kind::kNarrow, c, SWD_ERR_ALIGNMENT, field,
            [=](Scene& s) { s.arrays.*member.array = moved(static_cast<const char*>(s.arrays.*member.array), by); });
    }
    for (const auto& [name, buffer] : member.buffers) {
      spoil(rows, Kind::kNarrow, c, SWD_ERR_NULL, std::string("buffers.") + name,
            [buffer = buffer](Scene& s) { s.buffers.*buffer = nullptr; });
    }
    for (void* swd_buffers::*buffer : {&swd_buffers::workspace, &swd_buffers::state}) {
      spoil(rows, Kind::kNarrow, c, SWD_ERR_OVERLAP, field,
            [=](Scene& s) { s.arrays.*member.array = moved(static_cast<const char*>(s.buffers.*buffer), 16); });
    }
    for (void* swd_buffers::*buffer : {&swd_buffers::param, &swd_buffers::exp_avg, &swd_buffers::exp_avg_sq}) {
      spoil(rows, Kind::kNarrow, c, SWD_ERR_OVERLAP, field,
            [=](Scene& s) { s.arrays.*member.array = s.buffers.*buffer; });
    }
    for (const Member& other : members()) {
      if (other.array == member.array) continue;
      spoil(rows, Kind::kNarrow, c, SWD_ERR_OVERLAP, c.name + ".", [=](Scene& s) {
        s.arrays.*member.array = moved(static_cast<const char*>(s.arrays.*other.array), 4 * 149);
      });
    }
  }
}

// A list: tables of pointers in host memory.
void add_list_rows(Rows& rows, const Converter& c) {
  for (size_t a = 0; a < 3; ++a) {
    const Member& member = members()[a];
    const std::string field = c.name + "." + member.name;
    for (int64_t by = 1; by < static_cast<int64_t>(alignof(void*)); ++by) {
      spoil(rows, Kind::kNarrowList, c, SWD_ERR_ALIGNMENT, field,
            [=](Scene& s) { s.arrays.*member.array = moved(static_cast<const char*>(s.arrays.*member.array), by); });
    }
    for (size_t k : {size_t{0}, size_t{1}}) {
      const std::string tensor = field + "[" + std::to_string(k) + "]";
      for (int64_t by = 1; by < 4; ++by) {
        spoil(rows, Kind::kNarrowList, c, SWD_ERR_ALIGNMENT, tensor,
              [=](Scene& s) { s.tensors[a][k] = moved(static_cast<const char*>(s.tensors[a][k]), by); });
      }
      // Another tensor of the same call.
      spoil(rows, Kind::kNarrowList, c, SWD_ERR_OVERLAP, c.name + ".",
            [=](Scene& s) { s.tensors[a][k] = moved(static_cast<const char*>(s.tensors[(a + 1) % 3][1]), 4); });
      if (backend_under_test() != SWD_BACKEND_CPU) continue;  // on CUDA the tables are out of sight
      spoil(rows, Kind::kNarrowList, c, SWD_ERR_OVERLAP, tensor,
            [=](Scene& s) { s.tensors[a][k] = s.runner.at(SWD_BUFFER_EXP_AVG, 0); });
    }
  }
}

}  // namespace

void add_convert_rows(Rows& rows) {
  for (const Converter& c : kConverters) {
    add_struct_rows(rows, c);
    add_array_rows(rows, c);
    add_list_rows(rows, c);
  }
}

}  // namespace swd::test
