// SPDX-License-Identifier: Apache-2.0
// The strict half of the race detector (CUDASIM_RACECHECK=strict): which writes of other blocks each thread may read.
// Called by racecheck.cpp and by the barriers of the interpreter.
//
// Without it a block knows what any of its threads observed. Here a thread that reads a location with an atomic or
// relaxed access has observed what the location publishes, and acquires it by a fence of gpu scope after that, or at
// once by an operation with .acquire. Others learn of it from bar.warp.sync, barriers of block or cluster, mbarriers
// and atomics in shared memory; not from shfl, vote and the like, which order no memory. Only reads are held to this: a
// store does not run before the atomic it depends on.
#include "exec.h"

namespace cs {

namespace {

using Clocks = std::unordered_map<uint32_t, uint32_t>;

bool covers(const Clocks& have, const Clocks& more) {
  for (auto& kv : more) {
    auto it = have.find(kv.first);
    if (it == have.end() || it->second < kv.second) return false;
  }
  return true;
}

void join(Known& to, const Clocks& more) {
  if (to && covers(*to, more)) return;
  auto sum = std::make_shared<Clocks>(to ? *to : Clocks());
  for (auto& kv : more) {
    uint32_t& clock = (*sum)[kv.first];
    clock = std::max(clock, kv.second);
  }
  to = std::move(sum);
}

void join(Known& to, const Known& more) {
  if (!more || to == more) return;
  if (!to || covers(*more, *to))  // the common case: threads end up sharing one
    to = more;
  else
    join(to, *more);
}

}  // namespace

void acquireObserve(Ctx& c, int lane, const Clocks& clocks, bool acquires) {
  if (!config().strict || clocks.empty()) return;
  join((acquires ? c.w->known : c.w->observed)[(size_t)lane], clocks);
}

void acquireFence(Ctx& c, uint32_t mask) {
  if (!config().strict) return;
  for (uint32_t q = mask; q; q &= q - 1) {
    size_t lane = (size_t)firstLane(q);
    join(c.w->known[lane], c.w->observed[lane]);
    c.w->observed[lane] = nullptr;
  }
}

void acquireGive(const Warp& w, uint32_t mask, Known& to) {
  if (!config().strict) return;
  for (uint32_t q = mask; q; q &= q - 1) join(to, w.known[(size_t)firstLane(q)]);
}

void acquireTake(Warp& w, uint32_t mask, const Known& from) {
  if (!config().strict) return;
  for (uint32_t q = mask; q; q &= q - 1) join(w.known[(size_t)firstLane(q)], from);
}

void acquireWarp(Ctx& c, uint32_t mask) {
  Known all;
  acquireGive(*c.w, mask, all);
  acquireTake(*c.w, mask, all);
}

bool acquired(const Warp& w, int lane, uint32_t block, uint32_t clock) {
  if (!config().strict) return true;
  const Known& known = w.known[(size_t)lane];
  if (!known) return false;
  auto it = known->find(block);
  return it != known->end() && it->second >= clock;
}

}  // namespace cs
