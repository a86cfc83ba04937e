// SPDX-License-Identifier: Apache-2.0
// The harness over the C ABI: layout, buffers, calls. What it reads out is in optimizer_state.cpp.
#include "optimizer.h"

#include <cstring>
#include <stdexcept>

namespace swd::test {

std::vector<SegmentSpec> segments_of(const std::vector<int64_t>& counts) {
  std::vector<SegmentSpec> out;
  for (int64_t n : counts) {
    SegmentSpec segment;
    segment.count = n;
    out.push_back(segment);
  }
  return out;
}

Optimizer::Optimizer(const Spec& spec)
    : groups(spec.decay.size(), swd_group SWD_GROUP_INIT),
      spec_(spec),
      has_grad_(spec.backend, spec.segments.size()) {
  for (const SegmentSpec& segment : spec_.segments) {
    extent_ += spec_.gap;
    offsets_.push_back(extent_);
    extent_ += segment.count;
  }
  extent_ += spec_.gap;
  has_grad_.fill(1);
  create_plan();
  bool present[kBuffers] = {true, true, true, true, (spec_.flags & SWD_PLAN_AMSGRAD) != 0,
                            spec_.copy_dtype != SWD_DTYPE_NONE};
  void* bases[kBuffers] = {};
  for (int b = 0; b < kBuffers; ++b) {
    if (!present[b]) continue;
    uint64_t element = element_bytes(dtype_of(b));
    uint64_t shift = static_cast<uint64_t>(spec_.shift[static_cast<size_t>(b)]) * element;
    memory_[static_cast<size_t>(b)] =
        std::make_unique<DeviceBuffer>(spec_.backend, static_cast<uint64_t>(extent_) * element, shift);
    bases[b] = memory_[static_cast<size_t>(b)]->data();
    for (int64_t k = 0; spec_.list && k < segments(); ++k) {
      set_pointer(b, k, static_cast<uint8_t*>(bases[b]) + at(b, k));
    }
  }
  if (!spec_.list) {
    buffers_.param = bases[SWD_BUFFER_PARAM];
    buffers_.grad = bases[SWD_BUFFER_GRAD];
    buffers_.exp_avg = bases[SWD_BUFFER_EXP_AVG];
    buffers_.exp_avg_sq = bases[SWD_BUFFER_EXP_AVG_SQ];
    buffers_.max_exp_avg_sq = bases[SWD_BUFFER_MAX_EXP_AVG_SQ];
    buffers_.param_copy = bases[SWD_BUFFER_PARAM_COPY];
  }
  for (int64_t k = 0; k < segments(); ++k) {
    std::vector<float> zeros(static_cast<size_t>(count(k)), 0.0f);
    set(SWD_BUFFER_EXP_AVG, k, zeros);
    set(SWD_BUFFER_EXP_AVG_SQ, k, zeros);
    if (present[SWD_BUFFER_MAX_EXP_AVG_SQ]) set(SWD_BUFFER_MAX_EXP_AVG_SQ, k, zeros);
  }
}

Optimizer::~Optimizer() {
  synchronize(spec_.backend);
  EXPECT_EQ(SWD_OK, swd_plan_destroy(plan_));
}

void Optimizer::create_plan() {
  std::vector<swd_segment> segments;
  for (size_t k = 0; k < spec_.segments.size(); ++k) {
    const SegmentSpec& s = spec_.segments[k];
    segments.push_back({spec_.list ? 0 : offsets_[k], s.count, s.index, s.group, s.flags});
  }
  swd_plan_args plan_args = SWD_PLAN_ARGS_INIT;
  plan_args.flags = spec_.flags | (spec_.list ? uint32_t{SWD_PLAN_LIST} : 0u);
  plan_args.backend = spec_.backend;
  plan_args.grad_dtype = spec_.grad_dtype;
  plan_args.copy_dtype = spec_.copy_dtype;
  plan_args.segments = segments.data();
  plan_args.segment_count = static_cast<int64_t>(segments.size());
  plan_args.decay_modes = spec_.decay.data();
  plan_args.group_count = static_cast<uint32_t>(spec_.decay.size());
  plan_args.threads = spec_.threads;
  if (swd_plan_create(&plan_args, &plan_) != SWD_OK) throw std::runtime_error(swd_error_detail());
  uint64_t state_bytes = 0, workspace_bytes = 0;
  expect_ok(swd_state_size(plan_, &state_bytes), "swd_state_size");
  expect_ok(swd_workspace_size(plan_, &workspace_bytes), "swd_workspace_size");
  state_ = std::make_unique<DeviceBuffer>(spec_.backend, state_bytes);
  state_->fill(0);
  workspace_ = std::make_unique<DeviceBuffer>(spec_.backend, workspace_bytes);
  record_ = std::make_unique<DeviceBuffer>(spec_.backend, sizeof(swd_norm_record));
  expect_ok(swd_workspace_init(plan_, workspace_->data(), workspace_bytes, test_stream(spec_.backend)),
            "swd_workspace_init");
  buffers_.state = state_->data();
  buffers_.state_bytes = state_bytes;
  buffers_.workspace = workspace_->data();
  buffers_.workspace_bytes = workspace_bytes;
  args.group_count = plan_args.group_count;
}

swd_dtype Optimizer::dtype_of(int buffer) const {
  if (buffer == SWD_BUFFER_GRAD) return spec_.grad_dtype;
  return buffer == SWD_BUFFER_PARAM_COPY ? spec_.copy_dtype : swd_dtype{SWD_DTYPE_F32};
}

uint64_t Optimizer::at(int buffer, int64_t k) const {
  return static_cast<uint64_t>(offsets_[static_cast<size_t>(k)]) * element_bytes(dtype_of(buffer));
}

void Optimizer::set_pointer(swd_buffer buffer, int64_t k, const void* pointer) {
  expect_ok(swd_set_pointers(plan_, buffers_.workspace, buffer, k, 1, &pointer, test_stream(spec_.backend)),
            "swd_set_pointers");
}

void Optimizer::set_grad(int64_t k, const std::vector<float>& values) {
  set(SWD_BUFFER_GRAD, k, values);
  uint8_t there = 1;
  has_grad_.write(static_cast<uint64_t>(k), &there, 1);
  if (spec_.list && !has_grad_bytes_) {
    set_pointer(SWD_BUFFER_GRAD, k, memory_[SWD_BUFFER_GRAD]->data() + at(SWD_BUFFER_GRAD, k));
  }
}

void Optimizer::clear_grad(int64_t k) {
  if (spec_.list && !has_grad_bytes_) {
    set_pointer(SWD_BUFFER_GRAD, k, nullptr);
    return;
  }
  uint8_t missing = 0;
  has_grad_.write(static_cast<uint64_t>(k), &missing, 1);
  use_has_grad_bytes();
}

void Optimizer::use_has_grad_bytes() {
  has_grad_bytes_ = true;
  args.has_grad = has_grad_.data();
}

const swd_step_args* Optimizer::ready_args() {
  args.groups = args.groups_device ? nullptr : groups.data();
  return &args;
}

void Optimizer::expect_ok(swd_status status, const char* call) const {
  EXPECT_EQ(SWD_OK, status) << call << ": " << swd_status_name(status) << ", " << swd_error_detail();
}

void Optimizer::step() {
  expect_ok(swd_step(plan_, &buffers_, ready_args(), test_stream(spec_.backend)), "swd_step");
  synchronize(spec_.backend);
}

void Optimizer::reduce(swd_phase phase, int64_t first, int64_t segment_count) {
  expect_ok(swd_reduce(plan_, &buffers_, ready_args(), phase, first, segment_count, test_stream(spec_.backend)),
            "swd_reduce");
  synchronize(spec_.backend);
}

void Optimizer::fold(swd_phase phase) {
  auto* record = reinterpret_cast<swd_norm_record*>(record_->data());
  expect_ok(swd_fold(plan_, &buffers_, ready_args(), phase, record, test_stream(spec_.backend)), "swd_fold");
  synchronize(spec_.backend);
}

void Optimizer::finalize(swd_phase phase) {
  const auto* record = reinterpret_cast<const swd_norm_record*>(record_->data());
  expect_ok(swd_finalize(plan_, &buffers_, ready_args(), phase, record, test_stream(spec_.backend)), "swd_finalize");
  synchronize(spec_.backend);
}

void Optimizer::update() {
  expect_ok(swd_update(plan_, &buffers_, ready_args(), test_stream(spec_.backend)), "swd_update");
  synchronize(spec_.backend);
}

void Optimizer::discard() {
  expect_ok(swd_discard(plan_, buffers_.workspace, buffers_.workspace_bytes, test_stream(spec_.backend)),
            "swd_discard");
  synchronize(spec_.backend);
}

void Optimizer::rebuild() {
  expect_ok(swd_state_rebuild(plan_, &buffers_, test_stream(spec_.backend)), "swd_state_rebuild");
  synchronize(spec_.backend);
}

void Optimizer::step_in_pieces(const std::vector<std::pair<int64_t, int64_t>>& ranges) {
  for (swd_phase phase : {SWD_PHASE_GRAD, SWD_PHASE_MAX}) {
    if (phase == SWD_PHASE_MAX && !needs_max()) continue;
    for (const auto& range : ranges) reduce(phase, range.first, range.second);
    fold(phase);
    finalize(phase);
  }
  update();
}

bool Optimizer::needs_max() const {
  bool scheduled = false;
  for (swd_decay mode : spec_.decay) scheduled = scheduled || mode == SWD_DECAY_SCHEDULED;
  return scheduled && (spec_.flags & SWD_PLAN_AMSGRAD);
}

}  // namespace swd::test
