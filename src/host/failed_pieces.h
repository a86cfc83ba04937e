// SPDX-License-Identifier: Apache-2.0
// The workspaces in which a piece of a step failed to launch: their next swd_reduce starts afresh, so that what was
// reduced before cannot join another batch. The device cannot know, because nothing reached it.
// Owned by a plan, used by the entry points.
#pragma once
#include <cstdint>
#include <mutex>

namespace swd {

// Addresses that are compared, never followed. A fixed table: the step allocates nothing. The oldest gives way, which
// takes more failing workspaces at once than a device that still works has.
class FailedPieces {
 public:
  void add(const void* workspace) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const void* known : table_) {
      if (known == workspace) return;
    }
    table_[next_] = workspace;
    next_ = (next_ + 1) % kEntries;
  }

  // Whether a piece failed there since the last call with this workspace.
  bool take(const void* workspace) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const void*& known : table_) {
      if (known != workspace) continue;
      known = nullptr;
      return true;
    }
    return false;
  }

 private:
  static constexpr uint32_t kEntries = 64;
  std::mutex mutex_;
  const void* table_[kEntries] = {};
  uint32_t next_ = 0;
};

}  // namespace swd
