// SPDX-License-Identifier: Apache-2.0
// How often a function of the simulated CUDA runtime was called; "any" for all. Used by the tests with label simulator.
#pragma once
#include <dlfcn.h>

#include <cstdint>
#include <stdexcept>

namespace swd::test {

inline uint64_t calls(const char* name) {
  using Count = unsigned long long (*)(const char*);
  static Count count = reinterpret_cast<Count>(dlsym(RTLD_DEFAULT, "cudasimCallCount"));
  if (!count) throw std::runtime_error("this runtime is not a simulated one");
  return count(name);
}

}  // namespace swd::test
