// SPDX-License-Identifier: Apache-2.0
// Bad inputs of what narrow states brought: dtypes of a plan, block scales, units. The ways from and to fp32:
// convert_rows.cpp.
#include <cmath>

#include "scene.h"

namespace swd::test {
namespace {

void add(Rows& rows, Kind kind, swd_status status, const std::string& field, std::function<swd_status(Scene&)> call) {
  rows.push_back({kind, status, field, std::move(call)});
}

void add_dtype_rows(Rows& rows) {
  auto spoil = [&](swd_status status, const char* field, std::function<void(swd_plan_args&)> f) {
    add(rows, Kind::kPlain, status, std::string("args.") + field, [f](Scene& s) {
      f(s.plan_args);
      return swd_plan_create(&s.plan_args, s.out<swd_plan*>());
    });
  };
  for (swd_dtype bad : {-1, 7, INT32_MAX, INT32_MIN}) {
    spoil(SWD_ERR_ENUM, "moment_dtype", [bad](swd_plan_args& a) { a.moment_dtype = bad; });
    spoil(SWD_ERR_ENUM, "remainder_dtype", [bad](swd_plan_args& a) { a.remainder_dtype = bad; });
  }
  for (swd_dtype bad : {SWD_DTYPE_F16, SWD_DTYPE_I16, SWD_DTYPE_I8}) {
    spoil(SWD_ERR_UNSUPPORTED, "moment_dtype", [bad](swd_plan_args& a) { a.moment_dtype = bad; });
  }
  for (swd_dtype bad = SWD_DTYPE_F32; bad <= SWD_DTYPE_BLOCK8; ++bad) {
    spoil(SWD_ERR_UNEXPECTED, "remainder_dtype", [bad](swd_plan_args& a) { a.remainder_dtype = bad; });
    spoil(SWD_ERR_UNEXPECTED, "copy_dtype", [bad](swd_plan_args& a) {
      a.param_dtype = SWD_DTYPE_BF16;
      a.remainder_dtype = SWD_DTYPE_I16;
      a.copy_dtype = bad;
    });
  }
  for (swd_dtype moment : {SWD_DTYPE_BF16, SWD_DTYPE_BLOCK8}) {
    spoil(SWD_ERR_UNSUPPORTED, "moment_dtype", [moment](swd_plan_args& a) {
      a.flags = SWD_PLAN_AMSGRAD;
      a.moment_dtype = moment;
    });
    spoil(SWD_ERR_UNSUPPORTED, "grad_dtype", [moment](swd_plan_args& a) {
      a.grad_dtype = SWD_DTYPE_F16;
      a.moment_dtype = moment;
    });
  }
}

void add_scale_rows(Rows& rows) {
  add(rows, Kind::kNarrow, SWD_ERR_NULL, "plan", [](Scene& s) { return swd_scale_size(nullptr, s.out<uint64_t>()); });
  add(rows, Kind::kNarrow, SWD_ERR_NULL, "plan",
      [](Scene& s) { return swd_scale_offset(nullptr, 0, s.out<uint64_t>()); });
  add(rows, Kind::kNarrow, SWD_ERR_NULL, "bytes", [](Scene& s) { return swd_scale_size(s.runner.plan(), nullptr); });
  add(rows, Kind::kNarrow, SWD_ERR_NULL, "offset",
      [](Scene& s) { return swd_scale_offset(s.runner.plan(), 0, nullptr); });
  add(rows, Kind::kNarrowList, SWD_ERR_UNEXPECTED, "plan",
      [](Scene& s) { return swd_scale_size(s.runner.plan(), s.out<uint64_t>()); });
  add(rows, Kind::kNarrowList, SWD_ERR_UNEXPECTED, "plan",
      [](Scene& s) { return swd_scale_offset(s.runner.plan(), 0, s.out<uint64_t>()); });
  for (int64_t bad : {INT64_C(-1), INT64_C(2), INT64_MAX, INT64_MIN}) {
    add(rows, Kind::kNarrow, SWD_ERR_SIZE, "segment",
        [bad](Scene& s) { return swd_scale_offset(s.runner.plan(), bad, s.out<uint64_t>()); });
  }
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, Kind::kNarrow, SWD_ERR_ALIGNMENT, "bytes",
        [by](Scene& s) { return swd_scale_size(s.runner.plan(), s.out<uint64_t>(by)); });
    add(rows, Kind::kNarrow, SWD_ERR_ALIGNMENT, "offset",
        [by](Scene& s) { return swd_scale_offset(s.runner.plan(), 0, s.out<uint64_t>(by)); });
  }
}

void add_unit_rows(Rows& rows) {
  auto set = [](Scene& s) {
    return swd_state_set(s.runner.plan(), s.image, s.image_bytes, 0, &s.segment_state, sizeof(swd_segment_state));
  };
  for (Kind kind : {Kind::kPlain, Kind::kNarrow}) {
    for (double unit :
         {-0.5, 5e-324, 0.25, std::nextafter(0.5, 0.0), std::nextafter(1.0, 2.0), 2.0, kInf, -kInf, kNan}) {
      add(rows, kind, SWD_ERR_VALUE, "exp_avg_sq_unit", [=](Scene& s) {
        s.segment_state.exp_avg_sq_unit = unit;
        return set(s);
      });
    }
    for (uint64_t reserved : {uint64_t{1}, UINT64_MAX}) {
      add(rows, kind, SWD_ERR_UNEXPECTED, "reserved", [=](Scene& s) {
        s.segment_state.reserved = reserved;
        return set(s);
      });
    }
  }
  for (double unit : {0.5, 0.999}) {  // of narrow moments
    add(rows, Kind::kPlain, SWD_ERR_VALUE, "exp_avg_sq_unit", [=](Scene& s) {
      s.segment_state.exp_avg_sq_unit = unit;
      return set(s);
    });
  }
}

void add_init_rows(Rows& rows) {
  for (uint64_t bytes : {uint64_t{0}, uint64_t{4}, uint64_t{4097}, UINT64_MAX}) {
    add(rows, Kind::kPlain, SWD_ERR_STRUCT_SIZE, "struct_size",
        [bytes](Scene& s) { return swd_fp32_arrays_init(s.out<swd_fp32_arrays>(), bytes); });
  }
  add(rows, Kind::kPlain, SWD_ERR_NULL, "arrays",
      [](Scene&) { return swd_fp32_arrays_init(nullptr, sizeof(swd_fp32_arrays)); });
  for (uint64_t by = 1; by < kWordAlignment; ++by) {
    add(rows, Kind::kPlain, SWD_ERR_ALIGNMENT, "arrays",
        [by](Scene& s) { return swd_fp32_arrays_init(s.out<swd_fp32_arrays>(by), sizeof(swd_fp32_arrays)); });
  }
}

}  // namespace

void add_narrow_rows(Rows& rows) {
  add_dtype_rows(rows);
  add_scale_rows(rows);
  add_convert_rows(rows);
  add_unit_rows(rows);
  add_init_rows(rows);
}

}  // namespace swd::test
