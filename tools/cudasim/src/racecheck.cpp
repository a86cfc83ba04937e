// SPDX-License-Identifier: Apache-2.0
// Race detection.
//
// Shared memory: happens-before at warp granularity. Each warp of a block has
// a vector clock; barriers, mbarriers and atomics with release/acquire
// semantics (or fences around them) join clocks. Inside one warp, two
// conflicting accesses by different lanes must be separated by a
// warp-synchronous instruction (shfl, vote, bar.warp.sync, ...), unless they
// belong to the same instruction (only store/store of one instruction to the
// same byte by different lanes is then reported).
//
// Global memory: happens-before at block granularity within one launch. A
// block publishes its writes by a gpu-scope fence followed by an atomic (or
// release store); any later atomic or acquire/volatile load of that location
// by another block observes them. Missing consumer-side fences are
// reported in the strict mode (acquire.cpp), missing producer-side fences are always. Loads need no fence: their value
// has arrived before a later atomic of the same block.
#include <algorithm>
#include <set>

#include "exec.h"

namespace cs {

namespace {

[[noreturn]] void raceError(Ctx& c, const Op& op, int lane, const std::string& what) {
  c.op = &op;
  throw SimError{719, "data race: " + what + "\nby " + threadName(*c.blk, *c.w, lane)};
}

const char* acc(bool write) { return write ? "write" : "read"; }

}  // namespace

void raceShared(Ctx& c, const Op& op, int lane, uint32_t off, uint32_t bytes, bool write, bool atomic) {
  Block& b = *c.blk;
  Warp& w = *c.w;
  if ((size_t)off + bytes > b.race.size()) return;
  if (op.flags & F_STRONG) atomic = true;
  int pc = (int)(&op - c.g->k->code.data());
  if (pc < 0 || pc >= (int)c.g->k->code.size()) pc = -2;  // temporary op (cp.async)
  uint8_t me = (uint8_t)(w.id + 1);
  uint32_t clk = w.vc[(size_t)w.id];
  for (uint32_t k = 0; k < bytes; k++) {
    SharedRace& r = b.race[off + k];
    auto conflict = [&](bool otherWrite, uint8_t ow, uint8_t ol, uint32_t oclk, uint32_t oep, int opc) {
      if (ow != me) {
        if (w.vc[(size_t)(ow - 1)] > oclk) return;  // ordered by a barrier
      } else {
        if (ol == lane) return;
        if (oep < w.wepoch) return;                       // ordered inside the warp
        if (opc == pc && !(otherWrite && write)) return;  // one instruction
        if (opc == pc && atomic) return;
        // lanes that write the same byte in one instruction: undefined winner
      }
      raceError(c, op, lane,
                strf("shared memory byte at offset %u: %s conflicts with an earlier %s by warp %d lane %d "
                     "(%s)\nearlier access: %s",
                     off + k, acc(write), acc(otherWrite), ow - 1, ol,
                     ow == me ? "same warp, no warp synchronization between" : "no barrier between",
                     c.g->k->where(opc).c_str()));
    };
    if (r.wWarp && !(atomic && r.wAtomic)) conflict(true, r.wWarp, r.wLane, r.wClock, r.wEpoch, r.wPc);
    if (write && r.rWarp && !(atomic && r.rAtomic)) conflict(false, r.rWarp, r.rLane, r.rClock, r.rEpoch, r.rPc);
    if (write) {
      r.wWarp = me;
      r.wLane = (uint8_t)lane;
      r.wClock = clk;
      r.wEpoch = w.wepoch;
      r.wPc = pc;
      r.wAtomic = atomic;
      if (!atomic) r.rWarp = 0;
    } else {
      r.rWarp = me;
      r.rLane = (uint8_t)lane;
      r.rClock = clk;
      r.rEpoch = w.wepoch;
      r.rPc = pc;
      r.rAtomic = atomic;
    }
  }
}

// All warps in `warps` leave the barrier with the joined clock.
void raceBarrier(Block& b, Barrier& bar, const std::vector<int>& warps) {
  for (int wi : warps) {
    Warp& w = *b.warps[(size_t)wi];
    for (size_t i = 0; i < w.vc.size() && i < bar.vc.size(); i++) {
      if ((int)i != wi) w.vc[i] = std::max(w.vc[i], bar.vc[i]);
    }
    w.wepoch++;
  }
  for (int wi : warps) {
    Warp& w = *b.warps[(size_t)wi];
    w.vc[(size_t)wi]++;
  }
  bar.vc.clear();
}

void raceWarpSync(Ctx& c, uint32_t mask, bool ordersMemory) {
  if (config().strict && !ordersMemory) return;
  c.w->wepoch++;
  acquireWarp(c, mask);
}

static void joinVc(std::vector<uint32_t>& to, const std::vector<uint32_t>& from, int skip = -1) {
  if (to.size() < from.size()) to.resize(from.size(), 0);
  for (size_t i = 0; i < from.size(); i++)
    if ((int)i != skip) to[i] = std::max(to[i], from[i]);
}

// Atomic, relaxed, acquire or release access of a shared-memory location.
// release/acquire take effect at once; relaxed accesses only together with a
// fence before (publishing) or after (observing) them.
void raceSharedSync(Ctx& c, int lane, uint32_t addr, bool publishes, bool release, bool observes, bool acquire) {
  Warp& w = *c.w;
  auto& loc = c.blk->mbarVc[addr];
  if (observes) joinVc(acquire ? w.vc : w.pending, loc, w.id);
  if (config().strict) {  // the fences that this needs are those of the check above
    Known& known = c.blk->sharedKnown[addr];
    if (observes) acquireTake(w, 1u << lane, known);
    if (publishes) acquireGive(w, 1u << lane, known);
  }
  if (!publishes) return;
  if (release) {
    std::vector<uint32_t> now = w.vc;
    now[(size_t)w.id]++;
    joinVc(loc, now);
    w.vc[(size_t)w.id]++;
  } else {
    joinVc(loc, w.fenced);
  }
}

// ---- global memory

// A non-coherent load may return the value from before a write of the same launch.
static void ncLoad(Ctx& c, const Op& op, int lane, uint64_t addr, const RaceWord& r, int pc) {
  if (!op.src || std::find(op.src->mods.begin(), op.src->mods.end(), "nc") == op.src->mods.end()) return;
  static std::set<std::string> seen;
  if (!seen.insert(c.g->k->name).second) return;  // once per kernel: loops are unrolled
  report(
      strf("warning: non-coherent load (ld.global.nc: __ldg or const __restrict__) of memory that block number %u "
           "wrote in the same launch\n"
           "global address 0x%llx (%s)\nby %s in kernel %s\n%s\nearlier write: %s",
           r.wBlock - 1, (unsigned long long)addr, Memory::get().describe(addr).c_str(),
           threadName(*c.blk, *c.w, lane).c_str(), c.g->k->pretty.c_str(), c.g->k->where(pc).c_str(),
           c.g->k->where(r.wPc).c_str()));
}

void raceGlobal(Ctx& c, const Op& op, int lane, Alloc* a, uint64_t addr, uint32_t bytes, bool write, bool atomic) {
  if (!a || a->kind == AllocKind::ConstSymbol || a->kind == AllocKind::Internal) return;
  uint32_t launch = (uint32_t)c.g->gridId;
  if (op.flags & F_VOLATILE) atomic = true;
  size_t words = (a->size + 3) / 4 + 1;
  if (a->race.size() < words) {
    RaceWord z;
    memset(&z, 0, sizeof z);
    a->race.resize(words, z);
  }
  Block& b = *c.blk;
  uint32_t me = (uint32_t)b.linear + 1;
  int pc = (int)(&op - c.g->k->code.data());
  if (pc < 0 || pc >= (int)c.g->k->code.size()) pc = -2;
  for (uint64_t k = (addr - a->start) / 4; k <= (addr + bytes - 1 - a->start) / 4; k++) {
    RaceWord& r = a->race[k];
    if (r.launch != launch) {
      memset(&r, 0, sizeof r);
      r.launch = launch;
    }
    bool sub = bytes < 4;  // neighbouring sub-word accesses by other blocks are not conflicts we can see
    auto ordered = [&](uint32_t ob, uint32_t oclk) {
      auto it = b.gvc.find(ob);
      return it != b.gvc.end() && it->second >= oclk;
    };
    auto readOrdered = [&](uint32_t ob, uint32_t oclk) {  // loads complete before a later atomic
      auto it = b.grvc.find(ob);
      return it != b.grvc.end() && it->second >= oclk;
    };
    bool prevAtomic = r.flags & 2;
    if (!sub && r.wBlock && r.wBlock != me && !(atomic && prevAtomic) && !ordered(r.wBlock, r.wClock)) {
      raceError(
          c, op, lane,
          strf(
              "global address 0x%llx (%s): %s conflicts with an earlier %swrite by block number %u of the same launch, "
              "not ordered by a fence and an atomic\nearlier access: %s",
              (unsigned long long)(a->start + k * 4), Memory::get().describe(a->start + k * 4).c_str(), acc(write),
              prevAtomic ? "atomic " : "", r.wBlock - 1, c.g->k->where(r.wPc).c_str()));
    }
    if (!sub && !write && r.wBlock && r.wBlock != me && !(atomic && prevAtomic) &&
        !acquired(*c.w, lane, r.wBlock, r.wClock)) {
      raceError(
          c, op, lane,
          strf("global address 0x%llx (%s): read of what block number %u of the same launch wrote, which this thread "
               "has not acquired\nits block has seen the write published: the thread that read the atomic needs a "
               "fence of gpu scope after it, other threads a __syncwarp or __syncthreads after that\n"
               "earlier write: %s",
               (unsigned long long)(a->start + k * 4), Memory::get().describe(a->start + k * 4).c_str(), r.wBlock - 1,
               c.g->k->where(r.wPc).c_str()));
    }
    if (!sub && write && !atomic && r.rBlock && r.rBlock != me && !readOrdered(r.rBlock, r.rClock)) {
      raceError(
          c, op, lane,
          strf(
              "global address 0x%llx (%s): write conflicts with an earlier read by block number %u of the same launch, "
              "not ordered by a fence and an atomic\nearlier access: %s",
              (unsigned long long)(a->start + k * 4), Memory::get().describe(a->start + k * 4).c_str(), r.rBlock - 1,
              c.g->k->where(r.rPc).c_str()));
    }
    if (!write && r.wBlock) ncLoad(c, op, lane, a->start + k * 4, r, pc);
    if (sub) continue;
    if (write) {
      r.wBlock = me;
      r.wClock = b.gclock;
      r.wPc = pc;
      r.flags = atomic ? 2 : 0;
    } else if (!atomic) {
      r.rBlock = me;
      r.rClock = b.gclock;
      r.rPc = pc;
    }
  }
}

void raceFence(Ctx& c, uint32_t mask, bool gpuScope) {
  Warp& w = *c.w;
  joinVc(w.vc, w.pending, w.id);
  w.pending.clear();
  w.fenced = w.vc;
  w.fenced[(size_t)w.id]++;
  w.vc[(size_t)w.id]++;
  if (!gpuScope) return;
  acquireFence(c, mask);
  Block& b = *c.blk;
  // everything done or observed so far becomes publishable
  for (auto& kv : b.gvc) {
    auto& f = b.gfenced[kv.first];
    f = std::max(f, kv.second);
  }
  b.gfenced[(uint32_t)b.linear + 1] = b.gclock;
  b.gclock++;
}

void raceAtomic(Ctx& c, const Op& op, int lane, uint64_t addr, bool publishes, bool observes) {
  Block& b = *c.blk;
  auto& loc = c.g->atomVc[addr];
  auto& locR = c.g->atomReadVc[addr];
  bool releases = op.src && (op.src->has("release") || op.src->has("acq_rel"));
  bool acquires = op.src && (op.src->has("acquire") || op.src->has("acq_rel"));
  // An operation with release semantics carries its own fence.
  if (publishes && releases) raceFence(c, 0, true);
  auto join = [](std::unordered_map<uint32_t, uint32_t>& to, const std::unordered_map<uint32_t, uint32_t>& from) {
    for (auto& kv : from) {
      auto& v = to[kv.first];
      v = std::max(v, kv.second);
    }
  };
  if (observes) {
    join(b.gvc, loc);
    join(b.grvc, locR);
    acquireObserve(c, lane, loc, acquires);
  }
  if (publishes) {
    join(loc, b.gfenced);
    b.grvc[(uint32_t)b.linear + 1] = b.gclock++;
    join(locR, b.grvc);
  }
}

}  // namespace cs
