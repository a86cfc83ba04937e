// SPDX-License-Identifier: Apache-2.0
// Bad inputs of swd_plan_create, but for the segments; of the init functions; of swd_backend_available.
#include "scene.h"

namespace swd::test {
namespace {

swd_status create(Scene& s, const swd_plan_args* args) { return swd_plan_create(args, s.out<swd_plan*>()); }

void spoil(Rows& rows, swd_status status, const char* field, std::function<void(swd_plan_args&)> f) {
  rows.push_back({Kind::kPlain, status, std::string("args.") + field, [f](Scene& s) {
                    f(s.plan_args);
                    return create(s, &s.plan_args);
                  }});
}

template <class T>
void values(Rows& rows, swd_status status, const char* field, T swd_plan_args::*member, std::initializer_list<T> bad) {
  for (T value : bad) spoil(rows, status, field, [member, value](swd_plan_args& a) { a.*member = value; });
}

void add_init_rows(Rows& rows) {
  auto add = [&](swd_status status, const char* field, std::function<swd_status(Scene&)> call) {
    rows.push_back({Kind::kPlain, status, field, std::move(call)});
  };
  for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{4}, uint64_t{4097}, uint64_t{1} << 32, UINT64_MAX}) {
    add(SWD_ERR_STRUCT_SIZE, "struct_size",
        [bytes](Scene& s) { return swd_plan_args_init(s.out<swd_plan_args>(), bytes); });
    add(SWD_ERR_STRUCT_SIZE, "struct_size",
        [bytes](Scene& s) { return swd_buffers_init(s.out<swd_buffers>(), bytes); });
    add(SWD_ERR_STRUCT_SIZE, "struct_size",
        [bytes](Scene& s) { return swd_step_args_init(s.out<swd_step_args>(), bytes); });
  }
  add(SWD_ERR_NULL, "args", [](Scene&) { return swd_plan_args_init(nullptr, sizeof(swd_plan_args)); });
  add(SWD_ERR_NULL, "buffers", [](Scene&) { return swd_buffers_init(nullptr, sizeof(swd_buffers)); });
  add(SWD_ERR_NULL, "args", [](Scene&) { return swd_step_args_init(nullptr, sizeof(swd_step_args)); });
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(SWD_ERR_ALIGNMENT, "args",
        [by](Scene& s) { return swd_plan_args_init(s.out<swd_plan_args>(by), sizeof(swd_plan_args)); });
    add(SWD_ERR_ALIGNMENT, "buffers",
        [by](Scene& s) { return swd_buffers_init(s.out<swd_buffers>(by), sizeof(swd_buffers)); });
    add(SWD_ERR_ALIGNMENT, "args",
        [by](Scene& s) { return swd_step_args_init(s.out<swd_step_args>(by), sizeof(swd_step_args)); });
  }
  for (swd_backend bad : {-1, 0, 3, 99, INT32_MAX, INT32_MIN}) {
    add(SWD_ERR_ENUM, "backend", [bad](Scene&) { return swd_backend_available(bad); });
  }
}

}  // namespace

void add_plan_rows(Rows& rows) {
  add_init_rows(rows);
  rows.push_back({Kind::kPlain, SWD_ERR_NULL, "args", [](Scene& s) { return create(s, nullptr); }});
  rows.push_back({Kind::kPlain, SWD_ERR_NULL, "plan", [](Scene& s) { return swd_plan_create(&s.plan_args, nullptr); }});
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    rows.push_back({Kind::kPlain, SWD_ERR_ALIGNMENT, "args", [by](Scene& s) {
                      memcpy(s.wide.bytes + by, &s.plan_args, sizeof s.plan_args);
                      return create(s, reinterpret_cast<swd_plan_args*>(s.wide.bytes + by));
                    }});
    rows.push_back({Kind::kPlain, SWD_ERR_ALIGNMENT, "plan",
                    [by](Scene& s) { return swd_plan_create(&s.plan_args, s.out<swd_plan*>(by)); }});
  }
  values<uint32_t>(rows, SWD_ERR_STRUCT_SIZE, "struct_size", &swd_plan_args::struct_size,
                   {0, 1, 8, offsetof(swd_plan_args, model_key) - 1, offsetof(swd_plan_args, model_key) + 1,
                    sizeof(swd_plan_args) - 1, 4097, UINT32_MAX});
  for (uint32_t bytes : {uint32_t{sizeof(swd_plan_args)} + 1, uint32_t{sizeof(swd_plan_args)} + 8, 4096u}) {
    rows.push_back({Kind::kPlain, SWD_ERR_STRUCT_SIZE, "args.struct_size",
                    [bytes](Scene& s) { return create(s, s.lengthened(s.plan_args, bytes, 1)); }});
  }
  spoil(rows, SWD_ERR_UNEXPECTED, "flags", [](swd_plan_args& a) { a.flags |= SWD_PLAN_TAKE_COPY; });
  for (uint32_t bit = 6; bit < 32; ++bit) {
    spoil(rows, SWD_ERR_FLAGS, "flags", [bit](swd_plan_args& a) { a.flags = 1u << bit; });
  }
  values<swd_backend>(rows, SWD_ERR_ENUM, "backend", &swd_plan_args::backend, {-1, 0, 3, INT32_MAX, INT32_MIN});
  values<swd_dtype>(rows, SWD_ERR_ENUM, "param_dtype", &swd_plan_args::param_dtype, {-1, 7, INT32_MAX, INT32_MIN});
  values<swd_dtype>(rows, SWD_ERR_ENUM, "grad_dtype", &swd_plan_args::grad_dtype, {-1, 7, INT32_MAX, INT32_MIN});
  values<swd_dtype>(rows, SWD_ERR_ENUM, "copy_dtype", &swd_plan_args::copy_dtype, {-1, 7, INT32_MAX, INT32_MIN});
  values<swd_dtype>(rows, SWD_ERR_UNSUPPORTED, "param_dtype", &swd_plan_args::param_dtype,
                    {SWD_DTYPE_NONE, SWD_DTYPE_BF16, SWD_DTYPE_F16, SWD_DTYPE_I16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8});
  values<swd_dtype>(rows, SWD_ERR_UNSUPPORTED, "grad_dtype", &swd_plan_args::grad_dtype,
                    {SWD_DTYPE_NONE, SWD_DTYPE_I16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8});
  values<swd_dtype>(rows, SWD_ERR_UNSUPPORTED, "copy_dtype", &swd_plan_args::copy_dtype,
                    {SWD_DTYPE_F32, SWD_DTYPE_I16, SWD_DTYPE_I8, SWD_DTYPE_BLOCK8});
  values<const swd_segment*>(rows, SWD_ERR_NULL, "segments", &swd_plan_args::segments, {nullptr});
  values<int64_t>(rows, SWD_ERR_SIZE, "segment_count", &swd_plan_args::segment_count,
                  {-1, INT64_C(1) << 31, INT64_C(1) << 32, INT64_MAX, INT64_MIN});
  for (int64_t by : {1, 2, 3}) {
    spoil(rows, SWD_ERR_ALIGNMENT, "decay_modes", [by](swd_plan_args& a) { a.decay_modes = moved(a.decay_modes, by); });
  }
  for (int64_t by = 1; by < kWordAlignment; ++by) {
    spoil(rows, SWD_ERR_ALIGNMENT, "segments", [by](swd_plan_args& a) { a.segments = moved(a.segments, by); });
  }
  for (swd_decay bad : {-1, 5, INT32_MAX, INT32_MIN}) {
    for (size_t i : {size_t{0}, size_t{1}}) {
      rows.push_back({Kind::kPlain, SWD_ERR_ENUM, "args.decay_modes[" + std::to_string(i) + "]", [bad, i](Scene& s) {
                        s.decay_modes[i] = bad;
                        return create(s, &s.plan_args);
                      }});
    }
  }
  values<uint32_t>(rows, SWD_ERR_STRUCT_SIZE, "segment_stride", &swd_plan_args::segment_stride,
                   {1, sizeof(swd_segment) - 1, 4097, UINT32_MAX});
  values<uint32_t>(rows, SWD_ERR_SIZE, "group_count", &swd_plan_args::group_count, {0, (1u << 20) + 1, UINT32_MAX});
  values<int32_t>(rows, SWD_ERR_VALUE, "threads", &swd_plan_args::threads, {-1, 1025, INT32_MAX, INT32_MIN});
  if (backend_under_test() == SWD_BACKEND_CUDA) {
    values<int32_t>(rows, SWD_ERR_VALUE, "threads", &swd_plan_args::threads, {1, 1024});
  }
  values<uint32_t>(rows, SWD_ERR_FLAGS, "reserved", &swd_plan_args::reserved, {1, 1u << 31, UINT32_MAX});
}

}  // namespace swd::test
