// SPDX-License-Identifier: Apache-2.0
// Holds a CUDA stream until the host has queued all that is to be timed, so that no host time lies between two events.
// Used by machine_cuda.cpp.
#pragma once

namespace swd::bench {

class Gate {
 public:
  Gate();  // throws std::runtime_error

  // What is queued in `stream` (a cudaStream_t) from here on waits for open(), but not for ever: a host that is stuck
  // behind a full queue, or loads a kernel meanwhile, would wait for the device and the device for it. Only after
  // everything behind the last close() has run.
  void close(void* stream);
  void open();
  // Of the last close(), once everything behind it has run: the wait was over before open(), and the times are wrong.
  bool was_late() const;

 private:
  struct Latch;
  volatile Latch* latch_ = nullptr;  // pinned memory, never freed: at exit the runtime may be gone
};

}  // namespace swd::bench
