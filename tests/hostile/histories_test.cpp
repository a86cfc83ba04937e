// SPDX-License-Identifier: Apache-2.0
// Random histories: sequences of public calls on up to three worlds (plan, state, workspace, buffers), whole steps and
// pieces, right and refused, with failures of runtime and allocation between. After each call
// - every byte of every world is what the model says: nothing changed by a call that failed, was refused or not armed;
// - a step that came about, in however many calls, is the whole swd_step over the segments that it reduced, made on a
//   workspace in which nothing else has ever happened: equal bits of buffers, state and statistics;
// - and where parameters and moments are fp32 it is the long-double oracle's, within the bounds of oracle_test.
// Faults of 0.1 that are such sequences: a failed launch whose sums join the next step; statistics that say APPLIED
// before a step is; an update that is not armed and discards what was reduced; a rebuild before pointers are set; a
// damaged second moment that is applied; another plan's workspace; flags of groups without elements; found_inf ignored
// under SKIP_NORM; loss_scale dropped beside its pointer. Mutants that had lived: MAX decided without the first round,
// or over other segments; SKIP_NORM folded twice with a gradient withdrawn between.
//
//   SWD_HISTORIES=N     so many instead of the default; SWD_HISTORIES_SEED=S: the first seed
//   SWD_HISTORY=HEX     only this one, as a failure prints it
#include <gtest/gtest.h>

#include "histories/history.h"
#include "support/device_buffer.h"
#include "support/interpose/host_faults.h"
#include "support/numbers.h"
#include "support/shortened.h"

namespace swd::test {
namespace {

std::string hex(const std::vector<uint8_t>& bytes) {
  std::string out;
  for (uint8_t byte : bytes) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte));
    out += digits;
  }
  return out;
}

std::vector<uint8_t> drawn(uint64_t seed) {
  Dice dice(seed);
  std::vector<uint8_t> out(static_cast<size_t>(100 + dice.below(300)));
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(dice.bits());
  return out;
}

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text ? strtoull(text, nullptr, 10) : otherwise;
}

TEST(Histories, DoWhatTheModelSays) {
  histories::Faults faults;
  faults.fail_allocation = fail_library_allocation;
  faults.runtime = backend_is_simulated();
  const char* one = getenv("SWD_HISTORY");
  uint64_t first = number("SWD_HISTORIES_SEED", 1),
           count = one ? 1 : number("SWD_HISTORIES", static_cast<uint64_t>(shortened(scaled(9500, 500), 20)));
  for (uint64_t seed = first; seed < first + count; ++seed) {
    std::vector<uint8_t> bytes = drawn(seed);
    if (one) bytes.clear();
    for (const char* at = one; at && at[0] && at[1]; at += 2) {
      bytes.push_back(static_cast<uint8_t>(std::stoul(std::string(at, 2), nullptr, 16)));
    }
    std::string finding;
    if (histories::run_history(bytes.data(), bytes.size(), backend_under_test(), faults, finding)) continue;
    FAIL() << "seed " << seed << ":\n" << finding << "\nSWD_HISTORY=" << hex(bytes);
  }
  printf("%llu histories\n", static_cast<unsigned long long>(count));
}

}  // namespace
}  // namespace swd::test
