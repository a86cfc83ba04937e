// SPDX-License-Identifier: Apache-2.0
// Simulated device memory.
//
// One large sparse memfd backs all allocations. It is mapped twice:
//  * the "device" view gives the addresses the program sees; plain device
//    memory is PROT_NONE there, so host code that dereferences a device
//    pointer faults exactly as it would on a real system. Pinned and managed
//    allocations are readable and writable in this view;
//  * the "alias" view (device address + delta) is what the simulator uses.
// Every allocation owns whole pages and is surrounded by unmapped guard pages,
// and address ranges are not reused until the arena is exhausted, so off-by-one
// accesses and use after free are caught.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common.h"

namespace cs {

enum class AllocKind : uint8_t { Device, Managed, Pinned, Symbol, ConstSymbol, Registered, Internal };

struct Alloc {
  uint64_t start = 0, size = 0;
  int64_t delta = 0;  // access pointer = address + delta
  AllocKind kind = AllocKind::Device;
  bool live = true;
  bool async = false;  // from cudaMallocAsync
  int device = 0;
  uint64_t id = 0;    // allocation counter
  std::string label;  // symbol name
  unsigned hostFlags = 0;
  // statistics: sectors touched by launch number statGrid (a cache of GridRun::touched)
  uint64_t statGrid = 0;
  struct Touched* stat = nullptr;
  // racecheck: per 4-byte word access record (allocated on demand)
  std::vector<struct RaceWord> race;
};

struct Touched {  // one bit per 32-byte sector of an allocation used by a launch
  std::vector<uint64_t> read, write;
};

struct RaceWord {           // global-memory race detector state of one 32-bit word
  uint32_t wBlock, wClock;  // last plain writer (block + 1; 0 = none)
  uint32_t rBlock, rClock;  // last plain reader
  uint32_t launch;          // launch number these fields belong to
  uint32_t flags;           // 1: read by several blocks, 2: last write was atomic
  int32_t wPc, rPc;
};

const char* kindName(AllocKind k);

class Memory {
 public:
  static Memory& get();
  // Returns nullptr when the simulated device memory is exhausted.
  Alloc* allocate(uint64_t size, AllocKind kind, int device, const std::string& label = "");
  void release(Alloc* a);
  Alloc* registerHost(void* p, uint64_t size, unsigned flags);
  // Live or dead allocation owning this page (nullptr: guard or foreign address).
  Alloc* page(uint64_t addr) {
    uint64_t off = addr - base_;
    if (off < size_) {
      uint32_t i = shadow_[off >> 12];
      return i ? table_[i].get() : nullptr;
    }
    return foreign(addr);
  }
  // Live allocation containing [addr, addr+len), else nullptr.
  Alloc* find(uint64_t addr, uint64_t len = 1) {
    Alloc* a = page(addr);
    return a && a->live && addr >= a->start && addr + len <= a->start + a->size ? a : nullptr;
  }
  bool inArena(uint64_t addr) const { return addr - base_ < size_; }
  char* ptr(uint64_t addr) { return (char*)(addr + aliasDelta_); }
  // "in / N bytes past allocation ..." text for diagnostics
  std::string describe(uint64_t addr);
  uint64_t used() const { return used_; }
  uint64_t limit() const { return limit_; }
  uint64_t totalMem() const { return 143771ull << 20; }
  void leakReport();
  void releaseAll();  // cudaDeviceReset
  // init-check shadow (1 byte per byte); nullptr when disabled
  uint8_t* initShadow(uint64_t addr) { return init_ ? init_ + (addr - base_) : nullptr; }
  void markInit(uint64_t addr, uint64_t len);
  std::vector<std::unique_ptr<Alloc>>& all() { return table_; }

 private:
  Memory();
  Alloc* foreign(uint64_t addr);
  uint64_t base_ = 0, size_ = 0, next_ = 0, used_ = 0, limit_ = 0, counter_ = 0;
  int64_t aliasDelta_ = 0;
  int fd_ = -1;
  uint32_t* shadow_ = nullptr;
  uint8_t* init_ = nullptr;
  std::vector<std::unique_ptr<Alloc>> table_;
  std::map<uint64_t, uint32_t> byStart_;  // live and dead arena allocations
  std::map<uint64_t, std::unique_ptr<Alloc>> registered_;
};

}  // namespace cs
