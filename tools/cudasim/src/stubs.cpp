// SPDX-License-Identifier: Apache-2.0
// Weak stubs for every exported function that has no implementation.
#include <cstdio>

#define STUB(name)                                                     \
  extern "C" __attribute__((weak, visibility("default"))) int name() { \
    fprintf(stderr, "cudasim: " #name " is not implemented\n");        \
    return 801; /* cudaErrorNotSupported */                            \
  }
#include "stubs.inc"
#undef STUB
