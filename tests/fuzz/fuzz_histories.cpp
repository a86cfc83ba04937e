// SPDX-License-Identifier: Apache-2.0
// Histories of public calls on the CPU backend, chosen by the fuzzer's bytes and checked against the model of
// tests/hostile/histories, which says what is looked at. A finding prints the calls that led to it.
#include <string>

#include "hostile/histories/history.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string finding;
  if (swd::histories::run_history(data, size, SWD_BACKEND_CPU, swd::histories::Faults{}, finding)) return 0;
  fprintf(stderr, "%s\n", finding.c_str());
  abort();
}
