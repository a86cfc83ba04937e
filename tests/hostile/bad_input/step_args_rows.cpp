// SPDX-License-Identifier: Apache-2.0
// Bad inputs of swd_step_args and swd_group, for each of the five calls that take them.
#include "scene.h"

namespace swd::test {
namespace {

void spoil(Rows& rows, swd_status status, const std::string& field, std::function<void(Scene&)> f) {
  for (StepCall call : step_calls()) {
    rows.push_back({Kind::kPlain, status, "args." + field, [f, call](Scene& s) {
                      f(s);
                      return call(s, &s.buffers, &s.args);
                    }});
  }
}

void numbers(Rows& rows, const char* field, double swd_step_args::*member) {
  for (double bad : {-1.0, -5e-324, kNan, -kNan, kInf, -kInf}) {
    spoil(rows, SWD_ERR_VALUE, field, [member, bad](Scene& s) { s.args.*member = bad; });
  }
}

void group_numbers(Rows& rows, const char* field, double swd_group::*member, std::initializer_list<double> bad) {
  for (double value : bad) {
    for (size_t i : {size_t{0}, size_t{1}}) {
      spoil(rows, SWD_ERR_VALUE, "groups[" + std::to_string(i) + "]." + field,
            [=](Scene& s) { s.groups[i].*member = value; });
    }
  }
}

void add_struct_rows(Rows& rows) {
  for (StepCall call : step_calls()) {
    rows.push_back({Kind::kPlain, SWD_ERR_NULL, "args", [call](Scene& s) { return call(s, &s.buffers, nullptr); }});
    for (uint64_t by = 1; by < kWordAlignment; ++by) {
      rows.push_back({Kind::kPlain, SWD_ERR_ALIGNMENT, "args", [call, by](Scene& s) {
                        memcpy(s.wide.bytes + by, &s.args, sizeof s.args);
                        return call(s, &s.buffers, reinterpret_cast<swd_step_args*>(s.wide.bytes + by));
                      }});
    }
    for (uint32_t bytes : {uint32_t{sizeof(swd_step_args)} + 1, uint32_t{sizeof(swd_step_args)} + 8, 4096u}) {
      rows.push_back({Kind::kPlain, SWD_ERR_STRUCT_SIZE, "args.struct_size",
                      [call, bytes](Scene& s) { return call(s, &s.buffers, s.lengthened(s.args, bytes, 1)); }});
    }
  }
  for (uint32_t bytes : {0u, 1u, 4u, uint32_t{offsetof(swd_step_args, reference_step)} - 1,
                         uint32_t{sizeof(swd_step_args)} - 1, 4097u, UINT32_MAX}) {
    spoil(rows, SWD_ERR_STRUCT_SIZE, "struct_size", [bytes](Scene& s) { s.args.struct_size = bytes; });
  }
  for (uint32_t bit = 2; bit < 32; ++bit) {
    spoil(rows, SWD_ERR_FLAGS, "flags", [bit](Scene& s) { s.args.flags = 1u << bit; });
  }
  spoil(rows, SWD_ERR_FLAGS, "flags", [](Scene& s) { s.args.flags = SWD_STEP_SKIP_NORM; });
  spoil(rows, SWD_ERR_FLAGS, "flags", [](Scene& s) { s.args.flags = SWD_STEP_SKIP_NORM | SWD_STEP_PROPAGATE; });
  spoil(rows, SWD_ERR_FLAGS, "max_grad_norm", [](Scene& s) {
    s.args.flags = SWD_STEP_SKIP_NORM | SWD_STEP_PROPAGATE;
    s.args.max_grad_norm = 1.0;
  });
}

void add_group_array_rows(Rows& rows) {
  spoil(rows, SWD_ERR_NULL, "groups", [](Scene& s) { s.args.groups = nullptr; });
  spoil(rows, SWD_ERR_UNEXPECTED, "groups_device",
        [](Scene& s) { s.args.groups_device = reinterpret_cast<swd_group*>(s.device_groups.data()); });
  for (uint32_t count : {0u, 1u, 3u, UINT32_MAX}) {
    spoil(rows, SWD_ERR_SIZE, "group_count", [count](Scene& s) { s.args.group_count = count; });
  }
  for (uint32_t stride : {1u, 4u, uint32_t{offsetof(swd_group, lr_factor)} - 1, 4097u, UINT32_MAX}) {
    spoil(rows, SWD_ERR_STRUCT_SIZE, "group_stride", [stride](Scene& s) { s.args.group_stride = stride; });
  }
  for (uint32_t stride : {1u, 8u, 4097u, uint32_t{sizeof(swd_group)} + 1, uint32_t{sizeof(swd_group)} + 7}) {
    swd_status status = stride > sizeof(swd_group) && stride < 4096 ? SWD_ERR_ALIGNMENT : SWD_ERR_STRUCT_SIZE;
    spoil(rows, status, "group_stride", [stride](Scene& s) {
      s.args.groups = nullptr;
      s.args.groups_device = reinterpret_cast<swd_group*>(s.device_groups.data());
      s.args.group_stride = stride;
    });
  }
  for (int64_t by = 1; by < kWordAlignment; ++by) {
    spoil(rows, SWD_ERR_ALIGNMENT, "groups", [by](Scene& s) { s.args.groups = moved(s.args.groups, by); });
    spoil(rows, SWD_ERR_ALIGNMENT, "groups_device", [by](Scene& s) {
      s.args.groups = nullptr;
      s.args.groups_device = reinterpret_cast<swd_group*>(s.device_groups.data() + by);
    });
  }
  for (uint32_t k : {0u, 1u}) {  // a longer group, whose last byte is set
    spoil(rows, SWD_ERR_STRUCT_SIZE, "groups[" + std::to_string(k) + "]", [k](Scene& s) {
      uint32_t stride = sizeof(swd_group) + 8;
      for (uint32_t i = 0; i < 2; ++i) memcpy(s.wide.bytes + i * stride, &s.groups[i], sizeof(swd_group));
      s.wide.bytes[(k + 1) * stride - 1] = 1;
      s.args.groups = reinterpret_cast<swd_group*>(s.wide.bytes);
      s.args.group_stride = stride;
    });
  }
}

}  // namespace

void add_step_args_rows(Rows& rows) {
  add_struct_rows(rows);
  add_group_array_rows(rows);
  numbers(rows, "loss_scale", &swd_step_args::loss_scale);
  numbers(rows, "max_grad_norm", &swd_step_args::max_grad_norm);
  numbers(rows, "max_decay", &swd_step_args::max_decay);
  for (int64_t by : {1, 2, 3}) {
    spoil(rows, SWD_ERR_ALIGNMENT, "loss_scale_pointer",
          [by](Scene& s) { s.args.loss_scale_pointer = reinterpret_cast<const float*>(s.device_groups.data() + by); });
    spoil(rows, SWD_ERR_ALIGNMENT, "found_inf",
          [by](Scene& s) { s.args.found_inf = reinterpret_cast<const float*>(s.device_groups.data() + by); });
    for (size_t i : {size_t{0}, size_t{1}}) {
      spoil(rows, SWD_ERR_ALIGNMENT, "groups[" + std::to_string(i) + "].lr_pointer", [by, i](Scene& s) {
        s.groups[i].lr_pointer = reinterpret_cast<const float*>(s.device_groups.data() + by);
      });
    }
  }
  group_numbers(rows, "lr", &swd_group::lr, {-1.0, -5e-324, kNan, kInf, -kInf});
  group_numbers(rows, "beta1", &swd_group::beta1, {1.0, -0.1, -5e-324, 2.0, kNan, kInf, -kInf});
  group_numbers(rows, "beta2", &swd_group::beta2, {1.0, -0.1, -5e-324, 2.0, kNan, kInf, -kInf});
  group_numbers(rows, "eps", &swd_group::eps, {0.0, -1e-8, 1e-40, 1e-300, 1e39, kNan, kInf, -kInf});
  group_numbers(rows, "weight_decay", &swd_group::weight_decay, {-1.0, -5e-324, kNan, kInf, -kInf});
}

}  // namespace swd::test
