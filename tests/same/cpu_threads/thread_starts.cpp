// SPDX-License-Identifier: Apache-2.0
// Stands in for pthread_create.
#include "thread_starts.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

std::atomic<int> threads_started{0};
std::atomic<int> threads_allowed{1 << 30};
std::atomic<size_t> largest_stack{0};

extern "C" {
using CreateThread = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __interceptor_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) __attribute__((weak));

// Stands in for the C library's function in this program and in the library under test.
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*),
                   void* argument) noexcept {
  static CreateThread real = __interceptor_pthread_create  // a sanitizer that is linked into the program
                                 ? __interceptor_pthread_create
                                 : reinterpret_cast<CreateThread>(dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_allowed.fetch_sub(1) <= 0) return EAGAIN;
  threads_started.fetch_add(1);
  size_t stack = size_t{1} << 30;
  if (attributes) pthread_attr_getstacksize(attributes, &stack);
  if (stack > largest_stack) largest_stack = stack;
  return real(thread, attributes, entry, argument);
}
}
