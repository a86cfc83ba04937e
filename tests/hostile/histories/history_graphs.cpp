// SPDX-License-Identifier: Apache-2.0
// Steps of a history that are captured into a CUDA graph and replayed with other gradients and numbers.
#include "history_made.h"

namespace swd::histories {

History::~History() = default;

void History::graph(World&) {}

}  // namespace swd::histories
