// SPDX-License-Identifier: Apache-2.0
// Replaces malloc and operator new of a test program. Whose allocation it is tells the return address. An allocation of
// the library is remembered by its address, so that a leak of it shows, whoever else allocates meanwhile.
#include "host_faults.h"

#include <link.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SWD_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SWD_TEST_SANITIZED 1
#endif
#endif

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace swd::test {
namespace {

std::atomic<int64_t> all{0}, library{0}, countdown{0};
std::atomic<bool> fail_all{false};

// A plan takes a dozen allocations; a table that is full would only hide a leak, so it aborts.
constexpr int kRemembered = 512;
std::atomic<void*> remembered[kRemembered];
std::atomic<int64_t> live{0};

struct Range {
  uintptr_t begin, end;
};

int find_library(dl_phdr_info* info, size_t, void* out) {
  if (!strstr(info->dlpi_name, "libswd.so")) return 0;
  Range& range = *static_cast<Range*>(out);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X)) continue;
    range.begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    range.end = range.begin + info->dlpi_phdr[i].p_memsz;
  }
  return 1;
}

const Range kNowhere{0, 0};
std::atomic<const Range*> library_code{&kNowhere};

// Before main, so that no allocator has to look while it is called.
const bool looked_up = [] {
  static Range range{0, 0};
  dl_iterate_phdr(find_library, &range);
  library_code = &range;
  return range.end != 0;
}();

bool is_library(const void* caller) {
  const Range& range = *library_code.load(std::memory_order_relaxed);
  uintptr_t at = reinterpret_cast<uintptr_t>(caller);
  return at >= range.begin && at < range.end;
}

// Counts an allocation; true if it has to fail.
bool fails(const void* caller) {
  all.fetch_add(1, std::memory_order_relaxed);
  if (!is_library(caller)) return false;
  library.fetch_add(1, std::memory_order_relaxed);
  if (fail_all) return true;
  return countdown.load() > 0 && countdown.fetch_sub(1) == 1;
}

void* remember(const void* caller, void* memory) {
  if (!memory || !is_library(caller)) return memory;
  for (std::atomic<void*>& slot : remembered) {
    void* empty = nullptr;
    if (slot.compare_exchange_strong(empty, memory)) {
      live.fetch_add(1);
      return memory;
    }
  }
  abort();
}

void forget(void* memory) {
  if (!memory || live.load(std::memory_order_relaxed) == 0) return;
  for (std::atomic<void*>& slot : remembered) {
    if (slot.load(std::memory_order_relaxed) != memory) continue;
    void* expected = memory;
    if (slot.compare_exchange_strong(expected, nullptr)) {
      live.fetch_sub(1);
      return;
    }
  }
}

#ifdef SWD_TEST_SANITIZED
void* raw_allocate(size_t bytes, size_t alignment) {
  return alignment > 16 ? aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment) : malloc(bytes);
}
void raw_free(void* memory) { free(memory); }
#else
void* raw_allocate(size_t bytes, size_t alignment) {
  return alignment > 16 ? __libc_memalign(alignment, bytes) : __libc_malloc(bytes);
}
void raw_free(void* memory) { __libc_free(memory); }
#endif

void* new_for(const void* caller, size_t bytes, size_t alignment) {
  void* memory = fails(caller) ? nullptr : raw_allocate(bytes ? bytes : 1, alignment);
  if (!memory) throw std::bad_alloc();
  return remember(caller, memory);
}

void release(void* memory) {
  forget(memory);
  raw_free(memory);
}

}  // namespace

Allocations allocations() {
  if (!looked_up) abort();  // the library is linked statically: it could not be told from the program
  return {all.load(), library.load(), live.load()};
}
void fail_library_allocation(int64_t k) { countdown = k; }
void fail_all_library_allocations(bool fail) { fail_all = fail; }

}  // namespace swd::test

using namespace swd::test;

void* operator new(size_t bytes) { return new_for(__builtin_return_address(0), bytes, 16); }
void* operator new[](size_t bytes) { return new_for(__builtin_return_address(0), bytes, 16); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return new_for(__builtin_return_address(0), bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { release(memory); }

#ifndef SWD_TEST_SANITIZED
extern "C" {

void* malloc(size_t bytes) {
  const void* caller = __builtin_return_address(0);
  return fails(caller) ? nullptr : remember(caller, __libc_malloc(bytes));
}
void* calloc(size_t count, size_t bytes) {
  const void* caller = __builtin_return_address(0);
  return fails(caller) ? nullptr : remember(caller, __libc_calloc(count, bytes));
}
void* realloc(void* memory, size_t bytes) {
  const void* caller = __builtin_return_address(0);
  if (fails(caller)) return nullptr;
  forget(memory);
  return remember(caller, __libc_realloc(memory, bytes));
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  const void* caller = __builtin_return_address(0);
  return fails(caller) ? nullptr : remember(caller, __libc_memalign(alignment, bytes));
}
void* memalign(size_t alignment, size_t bytes) { return aligned_alloc(alignment, bytes); }
int posix_memalign(void** out, size_t alignment, size_t bytes) {
  const void* caller = __builtin_return_address(0);
  void* memory = fails(caller) ? nullptr : remember(caller, __libc_memalign(alignment, bytes));
  if (!memory) return ENOMEM;
  *out = memory;
  return 0;
}
void free(void* memory) { release(memory); }

}  // extern "C"
#endif
