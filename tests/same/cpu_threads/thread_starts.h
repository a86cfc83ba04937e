// SPDX-License-Identifier: Apache-2.0
// Threads that this program started, and how many more may start. Used by cpu_threads_test.cpp.
#pragma once
#include <atomic>
#include <cstddef>

extern std::atomic<int> threads_started;
extern std::atomic<int> threads_allowed;  // further ones fail to start
extern std::atomic<size_t> largest_stack;
