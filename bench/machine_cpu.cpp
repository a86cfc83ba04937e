// SPDX-License-Identifier: Apache-2.0
// The host as a Machine. Its roof loops are in roof_cpu.cpp.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <vector>

#include "machine.h"
#include "roof_cpu.h"

namespace swd::bench {
namespace {

// The value behind "key : " in a file of /proc.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    size_t colon = line.find(':');
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) continue;
    size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

class CpuMachine final : public Machine {
 public:
  std::string name() override {
    std::string model = proc_value("/proc/cpuinfo", "model name");
    return (model.empty() ? "CPU" : model) + " " + std::to_string(core_count()) + " cores";
  }
  uint64_t available_bytes() override {
    return std::strtoull(proc_value("/proc/meminfo", "MemAvailable").c_str(), nullptr, 10) * 1024;
  }
  double peak_bytes_per_second() override { return 0.0; }

  void* allocate(uint64_t bytes) override {
    void* memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
    if (!memory) throw std::bad_alloc();
    return memory;
  }
  void release(void* memory) override { std::free(memory); }
  void fill(void* target, uint64_t bytes, const void* pattern, uint64_t pattern_bytes) override {
    for (uint64_t at = 0; at < bytes; at += pattern_bytes) {
      std::memcpy(static_cast<uint8_t*>(target) + at, pattern, std::min(pattern_bytes, bytes - at));
    }
  }
  void zero(void* target, uint64_t bytes) override { std::memset(target, 0, bytes); }

  void* stream() override { return nullptr; }
  void synchronize() override {}
  // Writes through four times what the last cache holds.
  void empty_caches() override {
    if (flood_.empty()) {
      long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
      flood_.resize(4 * (bytes > 0 ? static_cast<size_t>(bytes) : size_t{32} << 20));
    }
    std::memset(flood_.data(), ++flood_value_, flood_.size());
  }
  double seconds_of(const std::function<void()>& work) override {
    auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  std::function<void()> captured(const std::function<void()>& work) override { return work; }

  int variants(RoofKind kind) override { return roof_variants_cpu(kind); }
  std::string variant_name(RoofKind, int variant) override { return "variant " + std::to_string(variant); }
  bool run_roof(RoofKind kind, int variant, const RoofArrays& arrays) override {
    run_roof_cpu(kind, variant, arrays);
    return true;
  }

 private:
  static constexpr uint64_t kPage = 4096;
  std::vector<uint8_t> flood_;
  uint8_t flood_value_ = 0;
};

}  // namespace

Machine& cpu_machine() {
  static CpuMachine machine;
  return machine;
}

}  // namespace swd::bench
