// SPDX-License-Identifier: Apache-2.0
// Counts the host allocations of a program, and makes those of the library fail on demand. A program that is linked
// with this has its own malloc and operator new; under a sanitizer, which needs malloc for itself, only the latter.
#pragma once
#include <cstdint>

namespace swd::test {

struct Allocations {
  int64_t all;      // by anyone in the process, since its start
  int64_t library;  // by code of the library under test
  int64_t live;     // of the library's, not yet freed; negative shifts cancel in differences
};
Allocations allocations();

// The k-th next allocation of the library fails, once. 0: none does.
void fail_library_allocation(int64_t k);
// Every allocation of the library fails until further notice.
void fail_all_library_allocations(bool fail);

}  // namespace swd::test
