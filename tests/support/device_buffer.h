// SPDX-License-Identifier: Apache-2.0
// The backend under test and guarded memory where it computes. Used by every test.
#pragma once
#include <cstdint>
#include <vector>

#include "swd/swd.h"

namespace swd::test {

// What SWD_TEST_BACKEND says: cpu (default) or cuda. Throws where that backend cannot run: a test that was asked for
// must not pass by doing nothing.
swd_backend backend_under_test();

// The backend under test is CUDA, and its runtime a simulator: an interpreter of PTX.
bool backend_is_simulated();

// One of two sizes: the CUDA suite also has to run under that interpreter. A real device takes the whole one.
template <class T>
T scaled(T whole, T simulated) {
  return backend_is_simulated() ? simulated : whole;
}

// The stream of all calls and copies of the tests: a non-blocking one for CUDA, NULL for the CPU.
void* test_stream(swd_backend backend);

// Waits for test_stream and reports a failure where the device has met an error.
void synchronize(swd_backend backend);

// What a new buffer is filled with. The canary zones alone: for sizes that the host should not hold.
enum class Poison { kAll, kCanaries };

// Memory where the backend computes, filled with a poison that is NaN in every dtype, between two canary zones.
class DeviceBuffer {
 public:
  static constexpr uint64_t kGuardBytes = 256;

  // data() is 256-byte aligned plus `shift_bytes`.
  DeviceBuffer(swd_backend backend, uint64_t bytes, uint64_t shift_bytes = 0, Poison poison = Poison::kAll);
  ~DeviceBuffer();
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

  void write(uint64_t offset, const void* source, uint64_t bytes);
  void read(uint64_t offset, void* target, uint64_t bytes) const;
  void fill(uint8_t value);  // the whole of it, the canary zones left out
  std::vector<uint8_t> read_all() const;

  bool canaries_intact() const;

  // What a byte `offset` bytes behind data() holds as long as nobody writes it.
  static uint8_t poison(uint64_t offset) { return offset % 2 == 0 ? 0xFE : 0xFF; }

 private:
  swd_backend backend_;
  uint64_t bytes_;
  uint8_t* allocation_;
  uint8_t* data_;
};

// One value where the backend computes: a learning rate, a loss scale, found_inf.
template <class T>
class DeviceValue {
 public:
  DeviceValue(swd_backend backend, const T& value) : buffer_(backend, sizeof(T)) { set(value); }
  void set(const T& value) { buffer_.write(0, &value, sizeof value); }
  T get() const {
    T value;
    buffer_.read(0, &value, sizeof value);
    return value;
  }
  T* pointer() const { return reinterpret_cast<T*>(buffer_.data()); }
  bool canaries_intact() const { return buffer_.canaries_intact(); }

 private:
  DeviceBuffer buffer_;
};

constexpr uint64_t kRecordDoubles = 16;  // swd_record_size

// A norm record where the backend computes. What it holds before a fold is not zero.
class DeviceRecord {
 public:
  explicit DeviceRecord(swd_backend backend) : buffer_(backend, kRecordDoubles * sizeof(double)) {}
  double* pointer() const { return reinterpret_cast<double*>(buffer_.data()); }
  swd_norm_record get() const {
    swd_norm_record terms;
    buffer_.read(0, &terms, sizeof terms);
    return terms;
  }
  void set(const swd_norm_record& terms) { buffer_.write(0, &terms, sizeof terms); }
  std::vector<uint8_t> bytes() const { return buffer_.read_all(); }
  bool canaries_intact() const { return buffer_.canaries_intact(); }

 private:
  DeviceBuffer buffer_;
};

}  // namespace swd::test
