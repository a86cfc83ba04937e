// SPDX-License-Identifier: Apache-2.0
// Makes a call of a history that must succeed unless a runtime call is made to fail. Used by the history_*.cpp.
#pragma once
#include <cstdlib>

#include "history.h"

namespace swd::histories {

// True: done. False: it failed as it was made to, and so nothing may have changed.
template <class F>
bool History::made(World& w, const std::string& name, const F& call) {
  uint32_t k = faults_.runtime && in_.below(10) == 9 ? 1 + in_.below(6) : 0;
  if (k != 0) setenv("CUDASIM_FAIL", ("any:" + std::to_string(k)).c_str(), 1);
  swd_status status = call();
  if (k != 0) unsetenv("CUDASIM_FAIL");
  note(w, name + (k == 0 ? "" : ", runtime call " + std::to_string(k) + " fails") + ": " + swd_status_name(status));
  if (status == SWD_OK) return true;
  if (k != 0 && status == SWD_ERR_CUDA) return false;
  throw Finding(name + " gave " + swd_status_name(status) + ": " + swd_error_detail());
}

}  // namespace swd::histories
