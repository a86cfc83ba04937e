// SPDX-License-Identifier: Apache-2.0
// Makes the plan and the memory of a run, and moves values in and out of what is stored.
#include "support/runner.h"

#include "support/buffer_bases.h"

namespace swd::test {
namespace {

bool is_scale(int buffer) { return buffer == SWD_BUFFER_EXP_AVG_SCALE || buffer == SWD_BUFFER_EXP_AVG_SQ_SCALE; }

uint64_t blocks_of(int64_t count) { return (static_cast<uint64_t>(count) + 127) / 128; }

}  // namespace

Runner::Runner(const RunSetup& s) : s_(s) {
  make_plan();
  buffers = SWD_BUFFERS_INIT;
  for (int b = 0; b < kBuffers; ++b) make_array(b);
  uint64_t bytes = 0;
  ok(swd_state_size(plan_, &bytes));
  state_ = std::make_unique<DeviceBuffer>(s.backend, bytes);
  state_->fill(0);
  if (s.seed != 0) {
    std::vector<uint8_t> image = this->image();
    swd_state_header header{0, 0, 0.0, s.seed};
    ok(swd_state_header_set(plan_, image.data(), image.size(), &header, sizeof header));
    set_image(image);
  }
  ok(swd_workspace_size(plan_, &bytes));
  workspace_ = std::make_unique<DeviceBuffer>(s.backend, bytes);
  ok(swd_workspace_init(plan_, workspace_->data(), bytes, stream()));
  for (int b = 0; !is_list() && b < kBuffers; ++b) set_base(buffers, b, base(b));
  buffers.state = state_->data();
  buffers.state_bytes = state_->bytes();
  buffers.workspace = workspace_->data();
  buffers.workspace_bytes = bytes;
  missing.assign(s.counts.size(), 0);
  for (int b = 0; is_list() && b < kBuffers; ++b) point(b);
  args_ = SWD_STEP_ARGS_INIT;
}

Runner::~Runner() {
  synchronize(s_.backend);
  EXPECT_TRUE(canaries_intact());
  EXPECT_EQ(swd_plan_destroy(plan_), SWD_OK);
}

void Runner::make_plan() {
  std::vector<swd_segment> segments;
  for (size_t k = 0; k < s_.counts.size(); ++k) {
    offsets_.push_back(extent_);
    uint32_t group = s_.group_of.empty() ? 0 : s_.group_of[k];
    int64_t index = s_.flags & SWD_PLAN_INDEXED ? s_.index_of[k] : 0;
    segments.push_back({is_list() ? 0 : extent_, s_.counts[k], index, group, s_.flags_of.empty() ? 0 : s_.flags_of[k]});
    extent_ += s_.counts[k] + s_.gap;
  }
  swd_plan_args args = SWD_PLAN_ARGS_INIT;
  args.flags = s_.flags;
  args.backend = s_.backend;
  args.param_dtype = s_.param;
  args.grad_dtype = s_.grad;
  args.copy_dtype = s_.copy;
  args.moment_dtype = s_.moment;
  args.remainder_dtype = s_.remainder;
  args.threads = s_.threads;
  args.segments = segments.data();
  args.segment_count = static_cast<int64_t>(segments.size());
  args.decay_modes = s_.decay.data();
  args.group_count = static_cast<uint32_t>(s_.decay.size());
  ok(swd_plan_create(&args, &plan_));
}

uint64_t Runner::width(int buffer) const {
  const uint64_t scale = s_.moment == SWD_DTYPE_BLOCK8 ? 1 : 0, moment = element_bytes(s_.moment);
  const uint64_t widths[kBuffers] = {element_bytes(s_.param),
                                     element_bytes(s_.grad),
                                     moment,
                                     moment,
                                     s_.flags & SWD_PLAN_AMSGRAD ? uint64_t{4} : 0,
                                     element_bytes(s_.copy),
                                     element_bytes(s_.remainder),
                                     scale,
                                     scale};
  return widths[buffer];
}

bool Runner::is_narrow(int buffer) const {
  if (buffer == SWD_BUFFER_PARAM) return s_.param != SWD_DTYPE_F32;
  return (buffer == SWD_BUFFER_EXP_AVG || buffer == SWD_BUFFER_EXP_AVG_SQ) && s_.moment != SWD_DTYPE_F32;
}

uint64_t Runner::stored_bytes(int buffer, size_t k) const {
  return is_scale(buffer) ? blocks_of(s_.counts[k]) : static_cast<uint64_t>(s_.counts[k]) * width(buffer);
}

uint64_t Runner::position(int buffer, size_t k) const {
  return is_scale(buffer) ? scale_offsets_[k] : static_cast<uint64_t>(offsets_[k]) * width(buffer);
}

void Runner::make_array(int buffer) {
  if (width(buffer) == 0) return;
  uint64_t bytes = static_cast<uint64_t>(extent_) * width(buffer);
  if (is_scale(buffer)) {
    bytes = 0;
    scale_offsets_.assign(s_.counts.size(), 0);
    for (size_t k = 0; k < s_.counts.size(); ++k) {
      scale_offsets_[k] = bytes;
      bytes += blocks_of(s_.counts[k]) + s_.gap;
      if (!is_list()) ok(swd_scale_offset(plan_, static_cast<int64_t>(k), &scale_offsets_[k]));
    }
    if (!is_list()) ok(swd_scale_size(plan_, &bytes));
  }
  uint64_t shift = static_cast<uint64_t>(buffer + 1) * s_.shift * width(buffer);
  arrays_[buffer] = std::make_unique<DeviceBuffer>(s_.backend, bytes, shift);
  if (buffer == SWD_BUFFER_PARAM_COPY || buffer == SWD_BUFFER_GRAD) return;
  for (size_t k = 0; k < s_.counts.size(); ++k) set_stored(buffer, k, std::vector<uint8_t>(stored_bytes(buffer, k)));
}

void Runner::point(int buffer) {
  if (!arrays_[buffer]) return;
  std::vector<const void*> pointers;
  for (size_t k = 0; k < s_.counts.size(); ++k) {
    pointers.push_back(buffer == SWD_BUFFER_GRAD && missing[k] ? nullptr : at(buffer, k));
  }
  ok(swd_set_pointers(plan_, workspace_->data(), buffer, 0, static_cast<int64_t>(pointers.size()), pointers.data(),
                      stream()));
}

// Calls f(arrays) with fp32 memory for one array, of a list for segment k alone.
template <class F>
void Runner::convert(int buffer, size_t k, const F& f) {
  if (!fp32_) fp32_ = std::make_unique<DeviceBuffer>(s_.backend, 4 * static_cast<uint64_t>(extent_));
  std::vector<const void*> tensors(s_.counts.size(), nullptr);
  tensors[k] = fp32_->data() + 4 * offsets_[k];
  const void* base = is_list() ? static_cast<const void*>(tensors.data()) : fp32_->data();
  swd_fp32_arrays arrays = SWD_FP32_ARRAYS_INIT;
  (buffer == SWD_BUFFER_PARAM     ? arrays.param
   : buffer == SWD_BUFFER_EXP_AVG ? arrays.exp_avg
                                  : arrays.exp_avg_sq) = base;
  f(arrays);
}

void Runner::set(int buffer, size_t k, const std::vector<float>& x) {
  if (x.empty()) return;
  if (is_narrow(buffer)) {
    return convert(buffer, k, [&](const swd_fp32_arrays& arrays) {
      if (!is_list()) ok(swd_state_store(plan_, &buffers, &arrays, stream()));
      synchronize(s_.backend);
      fp32_->write(4 * static_cast<uint64_t>(offsets_[k]), x.data(), 4 * x.size());
      ok(swd_state_load(plan_, &buffers, &arrays, stream()));
    });
  }
  if (width(buffer) == 4) return arrays_[buffer]->write(position(buffer, k), x.data(), 4 * x.size());
  std::vector<uint16_t> codes;
  for (float value : x) codes.push_back(nearest_code(s_.grad, value));
  set_codes(buffer, k, codes);
}

std::vector<float> Runner::get(int buffer, size_t k) {
  std::vector<float> x(static_cast<size_t>(s_.counts[k]));
  if (x.empty()) return x;
  if (!is_narrow(buffer)) {
    arrays_[buffer]->read(position(buffer, k), x.data(), 4 * x.size());
    return x;
  }
  convert(buffer, k, [&](const swd_fp32_arrays& arrays) {
    ok(swd_state_store(plan_, &buffers, &arrays, stream()));
    synchronize(s_.backend);
    fp32_->read(4 * static_cast<uint64_t>(offsets_[k]), x.data(), 4 * x.size());
  });
  return x;
}

std::vector<uint8_t> Runner::stored(int buffer, size_t k) {
  std::vector<uint8_t> out(stored_bytes(buffer, k));
  if (!out.empty()) arrays_[buffer]->read(position(buffer, k), out.data(), out.size());
  return out;
}

void Runner::set_stored(int buffer, size_t k, const std::vector<uint8_t>& bytes) {
  if (!bytes.empty()) arrays_[buffer]->write(position(buffer, k), bytes.data(), bytes.size());
}

swd_stats Runner::stats(std::vector<double>* lambda_eff) {
  swd_stats out{};
  if (lambda_eff) lambda_eff->resize(s_.decay.size());
  ok(swd_stats_fetch(plan_, workspace_->data(), &out, sizeof out, lambda_eff ? lambda_eff->data() : nullptr, stream()));
  synchronize(s_.backend);
  return out;
}

std::vector<uint8_t> Runner::bytes() {
  std::vector<uint8_t> out = state_->read_all();
  for (auto& array : arrays_) {
    if (!array) continue;
    std::vector<uint8_t> more = array->read_all();
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

bool Runner::canaries_intact() const {
  for (auto& array : arrays_) {
    if (array && !array->canaries_intact()) return false;
  }
  return state_->canaries_intact() && workspace_->canaries_intact() && (!fp32_ || fp32_->canaries_intact());
}

}  // namespace swd::test
