// SPDX-License-Identifier: Apache-2.0
// The table of operations that are one function of their operands, by name ("add.b32").
#include "exec.h"

namespace cs {

const OpTable& opTable() {
  static const OpTable* t = [] {
    auto* x = new OpTable;
    registerInt(*x);
    registerFloat(*x);
    registerHalf(*x);
    return x;
  }();
  return *t;
}

}  // namespace cs
