/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Owners for C++17 of what swd.h, the manual, works on: plan, state, workspace, and memory from an allocator of yours.
 * The calls are those of swd.h; a swd::Plan stands wherever they want a plan. Header only, standard library only.
 *
 *     swd::Plan plan(plan_args);
 *     swd::State state(plan);          // or (plan, allocator) for device memory
 *     swd::Workspace workspace(plan);  // likewise, and the stream
 *     swd_buffers buffers = swd::buffers(state, workspace);  // then param, grad, exp_avg, exp_avg_sq
 *     swd::check(swd_step(plan, &buffers, &args, nullptr));
 *
 * Errors: constructors and swd::check throw swd::Error. Or make an empty owner and call create(), which returns the
 * status and on failure leaves the owner as it was. Compiled without exceptions, only create() is there. Owners move
 * and do not copy; one moved from is empty. One thread at a time changes an owner. Teardown: wait for the stream
 * before, as owners release at once; plan and memory in any order.
 */
#ifndef SWD_SWD_HPP
#define SWD_SWD_HPP
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "swd/swd.h"

namespace swd {
inline namespace owners_0_2 {  // for the linker: the library's archive has names of its own in swd
#if defined(__cpp_exceptions)
/** A call that failed; what() is the name of its status and one line about it. */
struct Error : std::runtime_error {
  /** Of the latest failed call of this thread, or with a line of your own. */
  explicit Error(swd_status code, const std::string& detail = swd_error_detail())
      : std::runtime_error(std::string(swd_status_name(code)) + ": " + detail), status(code) {
    if (code == SWD_ERR_CUDA || code == SWD_ERR_NO_DEVICE) cuda = swd_error_cuda();
  }
  swd_status status; /**< what the call returned */
  int32_t cuda = 0;  /**< the cudaError_t behind it, or 0 */
};

/** Throws what is not SWD_OK. To be called right after the call, on its thread. */
inline void check(swd_status status) {
  if (status == SWD_ERR_MEMORY) throw Error(status, "none is left where it was asked for");  // by an allocator, too
  if (status != SWD_OK) throw Error(status);
}
#else
void check(swd_status status);  // nowhere: without exceptions what would throw does not link
#endif

/** Where memory comes from. Its functions do not throw. */
struct Allocator {
  void* (*allocate)(void* context, uint64_t bytes); /**< 16-byte aligned, and all zero by its return; NULL: none left */
  void (*release)(void* context, void* memory, uint64_t bytes); /**< takes back what allocate gave */
  void* context;                                                /**< passed to both; outlives the memory */
};

/** Memory of the host, at cache lines of 64 bytes. */
inline Allocator host_memory() noexcept {
  struct Host {
    static void* allocate(void*, uint64_t bytes) {
      void* memory = bytes < SIZE_MAX / 2 ? ::operator new (bytes, std::align_val_t{64}, std::nothrow) : nullptr;
      return memory ? std::memset(memory, 0, bytes) : nullptr;
    }
    static void release(void*, void* memory, uint64_t) { ::operator delete (memory, std::align_val_t{64}); }
  };
  return {Host::allocate, Host::release, nullptr};
}

/** Owns memory, all zero at first: so are fresh moments. */
class Memory {
 public:
  Memory() noexcept = default;                     /**< empty */
  Memory(Memory&& other) noexcept { swap(other); } /**< takes what the other has, which is empty then */
  /** Releases what it has and takes what the other has, which is empty then. */
  Memory& operator=(Memory&& other) noexcept { return Memory(std::move(other)).swap(*this); }
  ~Memory() {
    if (data_) allocator_.release(allocator_.context, data_, bytes_);
  }
  /** Holds so many bytes from now on; 0: empty, and the allocator is not asked. Errors: MEMORY, without a detail. */
  swd_status create(uint64_t bytes, const Allocator& allocator = host_memory()) noexcept {
    Memory made;
    if (bytes > 0 && !(made.data_ = allocator.allocate(allocator.context, bytes))) return SWD_ERR_MEMORY;
    made.bytes_ = bytes, made.allocator_ = allocator;
    return swap(made), SWD_OK;
  }
  void* data() const noexcept { return data_; }      /**< NULL: empty */
  uint64_t bytes() const noexcept { return bytes_; } /**< as asked for */
  /** create() that throws. */
  explicit Memory(uint64_t bytes, const Allocator& allocator = host_memory()) { check(create(bytes, allocator)); }

 private:
  Memory& swap(Memory& other) noexcept {
    std::swap(data_, other.data_), std::swap(bytes_, other.bytes_);
    return std::swap(allocator_, other.allocator_), other;
  }
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
  Allocator allocator_{};
};

/** Owns a plan, and is one for the calls of swd.h. Empty it is NULL, which they refuse. */
class Plan {
 public:
  Plan() noexcept = default; /**< empty */
  /** Holds a plan of that description from now on. Errors: those of swd_plan_create. */
  swd_status create(const swd_plan_args& args) noexcept {
    swd_plan* made = nullptr;
    swd_status status = swd_plan_create(&args, &made);
    if (status == SWD_OK) plan_.reset(made);
    return status;
  }
  operator const swd_plan*() const noexcept { return plan_.get(); } /**< valid as long as this holds it */
  explicit Plan(const swd_plan_args& args) { check(create(args)); } /**< create() that throws */

 private:
  std::unique_ptr<swd_plan, std::integral_constant<decltype(&swd_plan_destroy), swd_plan_destroy>> plan_;
};

/** Owns what a plan needs besides tensors: a fresh state, or a workspace, initialised. */
template <bool kIsWorkspace>
struct PlanMemory : Memory {
  PlanMemory() noexcept = default; /**< empty */
  /** Holds a new one from now on; a workspace waits for the stream. Errors: MEMORY, those of swd_workspace_init. */
  swd_status create(const swd_plan* plan, const Allocator& allocator = host_memory(), void* stream = nullptr) noexcept {
    uint64_t bytes = 0;
    Memory made;
    swd_status status = kIsWorkspace ? swd_workspace_size(plan, &bytes) : swd_state_size(plan, &bytes);
    if (status == SWD_OK) status = made.create(bytes, allocator);
    if (status == SWD_OK && kIsWorkspace) status = swd_workspace_init(plan, made.data(), bytes, stream);
    if (status == SWD_OK) Memory::operator=(std::move(made));
    return status;
  }
  /** create() that throws. */
  explicit PlanMemory(const swd_plan* plan, const Allocator& allocator = host_memory(), void* stream = nullptr) {
    check(create(plan, allocator, stream));
  }
};
using State = PlanMemory<false>;    /**< see PlanMemory */
using Workspace = PlanMemory<true>; /**< see PlanMemory */

/** SWD_BUFFERS_INIT with these two, which must outlive its use. */
inline swd_buffers buffers(const State& state, const Workspace& workspace) noexcept {
  swd_buffers out = SWD_BUFFERS_INIT;
  out.state = state.data(), out.state_bytes = state.bytes();
  out.workspace = workspace.data(), out.workspace_bytes = workspace.bytes();
  return out;
}

}  // namespace owners_0_2
}  // namespace swd
#endif
