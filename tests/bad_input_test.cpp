// SPDX-License-Identifier: Apache-2.0
// Bad arguments of a step and of a plan: each gets its own status and a message that names the field, and changes nothing.
#include <cmath>
#include <functional>

#include "support/runner.h"

namespace swd::test {
namespace {

struct StepRow {
  swd_status status;
  const char* field;
  std::function<void(swd_buffers&, swd_step_args&, swd_group&)> spoil;
};

std::vector<StepRow> step_rows() {
  std::vector<StepRow> rows;
  auto add = [&](swd_status status, const char* field, std::function<void(swd_buffers&, swd_step_args&, swd_group&)> spoil) {
    rows.push_back({status, field, std::move(spoil)});
  };
#define ROW(status, field, code) add(status, field, [](swd_buffers& b, swd_step_args& a, swd_group& g) { (void)b, (void)a, (void)g; code; })
  ROW(SWD_ERR_NULL, "param", b.param = nullptr);
  ROW(SWD_ERR_NULL, "grad", b.grad = nullptr);
  ROW(SWD_ERR_NULL, "exp_avg", b.exp_avg = nullptr);
  ROW(SWD_ERR_NULL, "exp_avg_sq", b.exp_avg_sq = nullptr);
  ROW(SWD_ERR_NULL, "state", b.state = nullptr);
  ROW(SWD_ERR_NULL, "workspace", b.workspace = nullptr);
  ROW(SWD_ERR_UNEXPECTED, "max_exp_avg_sq", b.max_exp_avg_sq = b.param);
  ROW(SWD_ERR_UNEXPECTED, "param_copy", b.param_copy = b.param);
  ROW(SWD_ERR_ALIGNMENT, "param", b.param = static_cast<char*>(b.param) + 1);
  ROW(SWD_ERR_ALIGNMENT, "grad", b.grad = static_cast<const char*>(b.grad) + 2);
  ROW(SWD_ERR_ALIGNMENT, "state", b.state = static_cast<char*>(b.state) + 8);
  ROW(SWD_ERR_ALIGNMENT, "workspace", b.workspace = static_cast<char*>(b.workspace) + 4);
  ROW(SWD_ERR_OVERLAP, "exp_avg", b.exp_avg = b.param);
  ROW(SWD_ERR_OVERLAP, "grad", b.grad = static_cast<char*>(b.exp_avg_sq) + 4);
  ROW(SWD_ERR_SIZE, "state_bytes", b.state_bytes -= 16);
  ROW(SWD_ERR_SIZE, "workspace_bytes", b.workspace_bytes -= 1);
  ROW(SWD_ERR_STRUCT_SIZE, "struct_size", b.struct_size = 0);
  ROW(SWD_ERR_STRUCT_SIZE, "struct_size", b.struct_size -= 1);
  ROW(SWD_ERR_FLAGS, "flags", b.flags = 1);
  ROW(SWD_ERR_STRUCT_SIZE, "struct_size", a.struct_size = 4);
  ROW(SWD_ERR_FLAGS, "flags", a.flags = 1u << 20);
  ROW(SWD_ERR_FLAGS, "SKIP_NORM", a.flags = SWD_STEP_SKIP_NORM);
  ROW(SWD_ERR_FLAGS, "SKIP_NORM", a.flags = SWD_STEP_SKIP_NORM | SWD_STEP_PROPAGATE);
  ROW(SWD_ERR_NULL, "groups", a.groups = nullptr);
  ROW(SWD_ERR_UNEXPECTED, "groups_device", a.groups_device = &g);
  ROW(SWD_ERR_SIZE, "group_count", a.group_count = 2);
  ROW(SWD_ERR_STRUCT_SIZE, "group_stride", a.group_stride = 8);
  ROW(SWD_ERR_VALUE, "loss_scale", a.loss_scale = -1.0);
  ROW(SWD_ERR_VALUE, "loss_scale", a.loss_scale = NAN);
  ROW(SWD_ERR_VALUE, "loss_scale", a.loss_scale = INFINITY);
  ROW(SWD_ERR_VALUE, "max_grad_norm", a.max_grad_norm = -1.0);
  ROW(SWD_ERR_VALUE, "max_grad_norm", a.max_grad_norm = NAN);
  ROW(SWD_ERR_VALUE, "max_decay", a.max_decay = -1.0);
  ROW(SWD_ERR_VALUE, "max_decay", a.max_decay = NAN);
  ROW(SWD_ERR_VALUE, "lr", g.lr = -1.0);
  ROW(SWD_ERR_VALUE, "lr", g.lr = NAN);
  ROW(SWD_ERR_VALUE, "lr", g.lr = INFINITY);
  ROW(SWD_ERR_VALUE, "beta1", g.beta1 = 1.0);
  ROW(SWD_ERR_VALUE, "beta1", g.beta1 = -0.1);
  ROW(SWD_ERR_VALUE, "beta1", g.beta1 = NAN);
  ROW(SWD_ERR_VALUE, "beta2", g.beta2 = 1.0);
  ROW(SWD_ERR_VALUE, "beta2", g.beta2 = -0.1);
  ROW(SWD_ERR_VALUE, "eps", g.eps = 0.0);
  ROW(SWD_ERR_VALUE, "eps", g.eps = 1e-40);
  ROW(SWD_ERR_VALUE, "eps", g.eps = NAN);
  ROW(SWD_ERR_VALUE, "weight_decay", g.weight_decay = -1.0);
  ROW(SWD_ERR_VALUE, "weight_decay", g.weight_decay = INFINITY);
#undef ROW
  return rows;
}

TEST(BadInput, StepNamesTheFieldAndChangesNothing) {
  RunSetup s;
  s.backend = backend_under_test();
  s.counts = {100, 50};
  Runner r(s);
  for (size_t k = 0; k < 2; ++k) r.set(SWD_BUFFER_GRAD, k, uniform(1, k, s.counts[k]));
  std::vector<uint8_t> before = r.bytes();
  int number = 0;
  for (const StepRow& row : step_rows()) {
    swd_buffers buffers = r.buffers;
    swd_step_args args = r.args();
    swd_group group = SWD_GROUP_INIT;
    args.groups = &group;
    row.spoil(buffers, args, group);
    EXPECT_EQ(swd_step(r.plan(), &buffers, &args, r.stream()), row.status) << "row " << number << ": " << swd_error_detail();
    EXPECT_NE(std::string(swd_error_detail()).find(row.field), std::string::npos) << row.field << ": " << swd_error_detail();
    EXPECT_EQ(r.bytes(), before) << row.field;
    ++number;
  }
  r.step();  // and the next call succeeds
  EXPECT_EQ(r.stats().status, SWD_STEP_APPLIED);
}

TEST(BadInput, PlanNamesTheField) {
  struct Row {
    swd_status status;
    const char* field;
    std::function<void(swd_plan_args&, swd_segment*)> spoil;
  };
  const std::vector<Row> rows = {
      {SWD_ERR_STRUCT_SIZE, "struct_size", [](swd_plan_args& a, swd_segment*) { a.struct_size = 8; }},
      {SWD_ERR_FLAGS, "flags", [](swd_plan_args& a, swd_segment*) { a.flags = 1u << 30; }},
      {SWD_ERR_ENUM, "backend", [](swd_plan_args& a, swd_segment*) { a.backend = 7; }},
      {SWD_ERR_ENUM, "grad_dtype", [](swd_plan_args& a, swd_segment*) { a.grad_dtype = 99; }},
      {SWD_ERR_UNSUPPORTED, "dtype", [](swd_plan_args& a, swd_segment*) { a.param_dtype = SWD_DTYPE_BF16; }},
      {SWD_ERR_UNSUPPORTED, "dtype", [](swd_plan_args& a, swd_segment*) { a.copy_dtype = SWD_DTYPE_F32; }},
      {SWD_ERR_NULL, "segments", [](swd_plan_args& a, swd_segment*) { a.segments = nullptr; }},
      {SWD_ERR_SIZE, "segment_count", [](swd_plan_args& a, swd_segment*) { a.segment_count = -1; }},
      {SWD_ERR_NULL, "decay_modes", [](swd_plan_args& a, swd_segment*) { a.decay_modes = nullptr; }},
      {SWD_ERR_SIZE, "group_count", [](swd_plan_args& a, swd_segment*) { a.group_count = 0; }},
      {SWD_ERR_VALUE, "threads", [](swd_plan_args& a, swd_segment*) { a.threads = -1; }},
      {SWD_ERR_FLAGS, "reserved", [](swd_plan_args& a, swd_segment*) { a.reserved = 1; }},
      {SWD_ERR_SIZE, "offset", [](swd_plan_args&, swd_segment* s) { s[0].offset = -1; }},
      {SWD_ERR_SIZE, "count", [](swd_plan_args&, swd_segment* s) { s[1].count = -1; }},
      {SWD_ERR_SIZE, "count", [](swd_plan_args&, swd_segment* s) { s[1].count = INT64_MAX; }},
      {SWD_ERR_LAYOUT, "offset", [](swd_plan_args&, swd_segment* s) { s[1].offset = 99; }},
      {SWD_ERR_VALUE, "group", [](swd_plan_args&, swd_segment* s) { s[0].group = 1; }},
      {SWD_ERR_FLAGS, "flags", [](swd_plan_args&, swd_segment* s) { s[0].flags = 8; }},
      {SWD_ERR_UNEXPECTED, "index", [](swd_plan_args&, swd_segment* s) { s[0].index = 5; }},
  };
  for (const Row& row : rows) {
    swd_segment segments[2] = {{0, 100, 0, 0, 0}, {100, 50, 0, 0, 0}};
    swd_decay decay = SWD_DECAY_SCHEDULED;
    swd_plan_args args = SWD_PLAN_ARGS_INIT;
    args.segments = segments;
    args.segment_count = 2;
    args.decay_modes = &decay;
    args.group_count = 1;
    row.spoil(args, segments);
    swd_plan* plan = nullptr;
    EXPECT_EQ(swd_plan_create(&args, &plan), row.status) << row.field << ": " << swd_error_detail();
    EXPECT_EQ(plan, nullptr);
    EXPECT_NE(std::string(swd_error_detail()).find(row.field), std::string::npos) << row.field << ": " << swd_error_detail();
  }
}

}  // namespace
}  // namespace swd::test
