// SPDX-License-Identifier: Apache-2.0
// What the harness writes into and reads out of an optimizer's buffers.
#include <cmath>
#include <cstring>

#include "optimizer.h"

namespace swd::test {
namespace {

constexpr uint32_t kNan = 0x7FC00000u;

void append_double(std::vector<uint32_t>& out, double x) {
  uint64_t bits = 0x7FF8000000000000u;
  if (!std::isnan(x)) memcpy(&bits, &x, sizeof bits);
  out.push_back(static_cast<uint32_t>(bits));
  out.push_back(static_cast<uint32_t>(bits >> 32));
}

}  // namespace

void Optimizer::set(swd_buffer buffer, int64_t k, const std::vector<float>& values) {
  ASSERT_EQ(static_cast<size_t>(count(k)), values.size());
  DeviceBuffer& memory = *memory_[static_cast<size_t>(buffer)];
  swd_dtype dtype = dtype_of(buffer);
  if (dtype == SWD_DTYPE_F32) {
    memory.write(at(buffer, k), values.data(), values.size() * sizeof(float));
    return;
  }
  std::vector<uint16_t> codes(values.size());
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = nearest_code(dtype, values[i]);
  memory.write(at(buffer, k), codes.data(), codes.size() * sizeof(uint16_t));
}

std::vector<float> Optimizer::get(swd_buffer buffer, int64_t k) const {
  const DeviceBuffer& memory = *memory_[static_cast<size_t>(buffer)];
  std::vector<float> values(static_cast<size_t>(count(k)));
  swd_dtype dtype = dtype_of(buffer);
  if (dtype == SWD_DTYPE_F32) {
    memory.read(at(buffer, k), values.data(), values.size() * sizeof(float));
    return values;
  }
  std::vector<uint16_t> codes(values.size());
  memory.read(at(buffer, k), codes.data(), codes.size() * sizeof(uint16_t));
  for (size_t i = 0; i < codes.size(); ++i) values[i] = code_value(dtype, codes[i]);
  return values;
}

std::vector<uint16_t> Optimizer::copy_codes(int64_t k) const {
  std::vector<uint16_t> codes(static_cast<size_t>(count(k)));
  memory_[SWD_BUFFER_PARAM_COPY]->read(at(SWD_BUFFER_PARAM_COPY, k), codes.data(), codes.size() * sizeof(uint16_t));
  return codes;
}

void Optimizer::set_grad_codes(int64_t k, const std::vector<uint16_t>& codes) {
  memory_[SWD_BUFFER_GRAD]->write(at(SWD_BUFFER_GRAD, k), codes.data(), codes.size() * sizeof(uint16_t));
}

void Optimizer::fill_random(uint64_t seed) {
  for (int64_t k = 0; k < segments(); ++k) set_param(k, uniform(seed, 1000003u * static_cast<uint64_t>(k + 1), count(k)));
  random_grads(seed, 1);
}

void Optimizer::random_grads(uint64_t seed, int64_t step, float scale) {
  for (int64_t k = 0; k < segments(); ++k) {
    std::vector<float> g = uniform(seed, static_cast<uint64_t>(7919 * step + k), count(k));
    for (float& x : g) x *= scale;
    set(SWD_BUFFER_GRAD, k, g);
  }
}

swd_norm_record Optimizer::record() const {
  swd_norm_record out;
  record_->read(0, &out, sizeof out);
  return out;
}

void Optimizer::set_record(const swd_norm_record& record) { record_->write(0, &record, sizeof record); }

swd_stats Optimizer::stats() const {
  swd_stats out;
  memset(&out, 0xFF, sizeof out);
  expect_ok(swd_stats_fetch(plan_, buffers_.workspace, &out, sizeof out, nullptr, test_stream(spec_.backend)),
            "swd_stats_fetch");
  synchronize(spec_.backend);
  return out;
}

std::vector<double> Optimizer::lambda_eff() const {
  swd_stats stats;
  std::vector<double> out(spec_.decay.size(), -1.0);
  expect_ok(swd_stats_fetch(plan_, buffers_.workspace, &stats, sizeof stats, out.data(), test_stream(spec_.backend)),
            "swd_stats_fetch");
  synchronize(spec_.backend);
  return out;
}

swd_segment_state Optimizer::segment_state(int64_t k) const {
  swd_segment_state out;
  state_->read(sizeof(swd_state_header) + static_cast<uint64_t>(k) * sizeof out, &out, sizeof out);
  return out;
}

void Optimizer::set_segment_state(int64_t k, int64_t step, double sum) {
  swd_segment_state in{step, sum};
  state_->write(sizeof(swd_state_header) + static_cast<uint64_t>(k) * sizeof in, &in, sizeof in);
}

std::vector<uint8_t> Optimizer::state_image() const { return state_->read_all(); }

void Optimizer::set_state_image(const std::vector<uint8_t>& image) { state_->write(0, image.data(), image.size()); }

std::vector<uint32_t> Optimizer::bits() const {
  std::vector<uint32_t> out;
  for (int b = 0; b < kBuffers; ++b) {
    if (b == SWD_BUFFER_GRAD || !memory_[static_cast<size_t>(b)]) continue;
    for (int64_t k = 0; k < segments(); ++k) {
      for (float x : get(b, k)) out.push_back(std::isnan(x) ? kNan : bits_of(x));
    }
  }
  swd_state_header header;
  state_->read(0, &header, sizeof header);
  for (uint64_t n : {header.steps_applied, header.steps_skipped}) out.push_back(static_cast<uint32_t>(n));
  for (int64_t k = 0; k < segments(); ++k) {
    swd_segment_state state = segment_state(k);
    out.push_back(static_cast<uint32_t>(state.step));
    append_double(out, state.exp_avg_sq_sum);
  }
  return out;
}

std::vector<uint8_t> Optimizer::bytes_outside() const {
  std::vector<uint8_t> out;
  for (int b = 0; b < kBuffers; ++b) {
    if (!memory_[static_cast<size_t>(b)]) continue;
    std::vector<uint8_t> bytes = memory_[static_cast<size_t>(b)]->read_all();
    uint64_t element = element_bytes(dtype_of(b));
    for (int64_t k = 0; b != SWD_BUFFER_GRAD && k < segments(); ++k) {
      uint64_t first = at(b, k);
      memset(bytes.data() + first, 0, static_cast<uint64_t>(count(k)) * element);
    }
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

bool Optimizer::canaries_intact() const {
  bool intact = state_->canaries_intact() && workspace_->canaries_intact() && record_->canaries_intact();
  for (const auto& memory : memory_) intact = intact && (!memory || memory->canaries_intact());
  return intact && has_grad_.canaries_intact();
}

::testing::AssertionResult same_bits(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  if (a.size() != b.size()) {
    return ::testing::AssertionFailure() << "sizes differ: " << a.size() << " and " << b.size();
  }
  size_t different = 0, first = 0;
  for (size_t i = a.size(); i-- > 0;) {
    if (a[i] != b[i]) ++different, first = i;
  }
  if (different == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << different << " of " << a.size() << " words differ, first word " << first << ": "
                                       << std::hex << a[first] << " and " << b[first] << " ("
                                       << float_of(a[first]) << " and " << float_of(b[first]) << ")";
}

}  // namespace swd::test
