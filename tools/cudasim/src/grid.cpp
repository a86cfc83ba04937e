// SPDX-License-Identifier: Apache-2.0
// Grids: their blocks in the order that is asked for, time slices, admission, progress, deadlock and livelock.
#include <time.h>

#include <algorithm>

#include "exec.h"

namespace cs {

static double nowSec() {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t g_gridCounter = 0;
static constexpr uint64_t kLargeGrid = 16384;  // blocks, from which on CUDASIM_ENDS counts

GridRun::GridRun(LaunchParams p) : lp(std::move(p)) {
  k = lp.kernel.get();
  totalBlocks = (uint64_t)lp.grid[0] * lp.grid[1] * lp.grid[2];
  bool clustered = lp.cluster[0] * lp.cluster[1] * lp.cluster[2] > 1;
  if (config().ends > 0 && totalBlocks > kLargeGrid && 2 * config().ends < totalBlocks && !clustered &&
      !lp.cooperative) {
    leftOut = totalBlocks - 2 * config().ends;
    totalBlocks -= leftOut;
  }
  gridId = ++g_gridCounter;
  st.opThreads.assign(k->code.size() + 1, 0);
  st.opWarps.assign(k->code.size() + 1, 0);
  rng = Rng(config().seed * 1000003 + gridId);
  targetResident =
      lp.cooperative ? (uint32_t)totalBlocks : (uint32_t)std::min<uint64_t>(totalBlocks, (uint64_t)config().resident);
  if (config().blockOrder == 2 && totalBlocks < (1ull << 31)) {
    uint32_t csize = lp.cluster[0] * lp.cluster[1] * lp.cluster[2];
    order.resize(totalBlocks / csize);
    for (size_t i = 0; i < order.size(); i++) order[i] = i;
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[rng.below((uint32_t)i)]);
  }
  if (lp.cooperative) {
    workspace = Memory::get().allocate(64, AllocKind::Internal, lp.device, "cooperative workspace");
    memset((void*)(workspace->start + workspace->delta), 0, 64);
    *(uint32_t*)(workspace->start + workspace->delta) = 64;
    Memory::get().markInit(workspace->start, 64);
  }
  startTime = nowSec();
}

GridRun::~GridRun() {
  for (auto& b : resident)
    for (auto& w : b->warps) {
      free(w->regs);
      free(w->local);
    }
  for (char* p : freeRegs) free(p);
  for (char* p : freeLocal) free(p);
  if (workspace) Memory::get().release(workspace);
}

uint64_t GridRun::mapBlock(uint64_t i) {
  uint64_t n = totalBlocks / (lp.cluster[0] * lp.cluster[1] * lp.cluster[2]);
  if (!order.empty()) {
    i = order[i];
  } else if (config().blockOrder == 1) {
    i = n - 1 - i;
  }
  return i < n / 2 ? i : i + leftOut;
}

void GridRun::initBlock(Block& b, uint64_t linear) {
  b.grid = this;
  b.linear = linear;
  b.threads = (int)(lp.block[0] * lp.block[1] * lp.block[2]);
  b.aliveThreads = b.threads;
  b.sharedSize = k->staticShared + lp.dynShared;
  b.shared.assign(b.sharedSize, (char)(config().poison ? 0xFF : 0));
  if (k->reservedShared) memset(b.shared.data(), 0, k->reservedShared);
  b.smid = (uint32_t)(linear % (uint64_t)config().sms);
  int nw = (b.threads + 31) / 32;
  if (config().racecheck) {
    SharedRace z;
    memset(&z, 0, sizeof z);
    b.race.assign(b.sharedSize, z);
  }
  for (int i = 0; i < nw; i++) {
    auto w = std::make_unique<Warp>();
    w->id = i;
    w->sleepUntil = 1u << 20;
    if (!freeRegs.empty()) {
      w->regs = freeRegs.back();
      freeRegs.pop_back();
    } else {
      w->regs = (char*)aligned_alloc(64, alignUp(k->regBytes + 64, 64));
      memset(w->regs, 0, k->regBytes);
    }
    memset(w->regs, 0, 128);  // local stack pointer of each lane
    if (k->localBytes) {
      if (!freeLocal.empty()) {
        w->local = freeLocal.back();
        freeLocal.pop_back();
      } else {
        w->local = (char*)malloc((size_t)k->localBytes * 32 + 64);
      }
    }
    memset(w->asyncGroup, 0, sizeof w->asyncGroup);
    memset(w->clTarget, 0, sizeof w->clTarget);
    uint32_t mask = 0;
    for (int l = 0; l < 32; l++) {
      uint32_t t = (uint32_t)(i * 32 + l);
      w->tid[0][l] = t % lp.block[0];
      w->tid[1][l] = t / lp.block[0] % lp.block[1];
      w->tid[2][l] = t / (lp.block[0] * lp.block[1]);
      if ((int)t < b.threads) mask |= 1u << l;
    }
    w->alive = w->exists = mask;
    Group g;
    g.mask = mask;
    w->groups.push_back(g);
    if (config().racecheck) {
      w->vc.assign((size_t)nw, 0);
      w->vc[(size_t)i] = 1;
    }
    if (config().strict) {
      w->known.resize(32);
      w->observed.resize(32);
    }
    b.warps.push_back(std::move(w));
  }
}

// Makes the next block (or cluster) resident.
bool GridRun::admit() {
  uint32_t csize = lp.cluster[0] * lp.cluster[1] * lp.cluster[2];
  if (nextBlock * csize >= totalBlocks) return false;
  uint64_t u = mapBlock(nextBlock++);
  if (csize == 1) {
    auto b = std::make_unique<Block>();
    b->ctaid[0] = (uint32_t)(u % lp.grid[0]);
    b->ctaid[1] = (uint32_t)(u / lp.grid[0] % lp.grid[1]);
    b->ctaid[2] = (uint32_t)(u / ((uint64_t)lp.grid[0] * lp.grid[1]));
    initBlock(*b, u);
    resident.push_back(std::move(b));
    return true;
  }
  uint32_t nx = lp.grid[0] / lp.cluster[0], ny = lp.grid[1] / lp.cluster[1];
  uint32_t cx = (uint32_t)(u % nx), cy = (uint32_t)(u / nx % ny), cz = (uint32_t)(u / ((uint64_t)nx * ny));
  auto cl = std::make_unique<Cluster>();
  int ci = (int)clusters.size();
  for (uint32_t r = 0; r < csize; r++) {
    auto b = std::make_unique<Block>();
    b->ctaid[0] = cx * lp.cluster[0] + r % lp.cluster[0];
    b->ctaid[1] = cy * lp.cluster[1] + r / lp.cluster[0] % lp.cluster[1];
    b->ctaid[2] = cz * lp.cluster[2] + r / (lp.cluster[0] * lp.cluster[1]);
    initBlock(*b, b->ctaid[0] + (uint64_t)lp.grid[0] * (b->ctaid[1] + (uint64_t)lp.grid[1] * b->ctaid[2]));
    b->cluster = ci;
    b->clusterRank = r;
    cl->blocks.push_back(b.get());
    cl->expected += b->threads;
    resident.push_back(std::move(b));
  }
  clusters.push_back(std::move(cl));
  return true;
}

// One time slice of a block. Returns true if any instruction was executed.
bool GridRun::runBlock(Block& b) {
  Ctx c{};
  c.blk = &b;
  c.g = this;
  c.lo = 1;
  c.hi = 0;
  c.stats = statsEnabled();
  c.race = config().racecheck;
  c.init = config().initcheck;
  bool any = false;
  int64_t slice = 60000;
  size_t n = b.warps.size();
  int ord = config().blockOrder;
  try {
    while (slice > 0 && !b.finished() && !b.parked) {  // step() lets parked blocks go
      bool ran = false;
      uint64_t before = progress;
      size_t offset = ord == 2 ? rng.below((uint32_t)n) : 0;
      for (size_t i = 0; i < n; i++) {
        size_t wi = ord == 1 ? n - 1 - i : (i + offset) % n;
        Warp& w = *b.warps[wi];
        if (w.finished()) continue;
        bool runnable = false;
        for (auto& g : w.groups) {
          if (g.state == G_GDWAIT && prior) g.state = G_RUN;
          if (g.state == G_CLUSTER) g.state = G_RUN;  // re-evaluates the phase
          if (g.state == G_RUN) runnable = true;
        }
        if (!runnable) continue;
        if (b.parked) break;
        c.w = &w;
        int done = runWarp(c, 4000);
        if (done) {
          slice -= done;
          warpInstrs += (uint64_t)done;
          // A cluster wait that only re-evaluates its phase does not count as running.
          bool waiting = done == 1 && !w.finished();
          if (waiting)
            for (auto& g : w.groups)
              if (g.state != G_CLUSTER) waiting = false;
          if (!waiting) ran = true;
        }
      }
      if (!ran) break;
      any = true;
      if (progress == before) break;  // everybody spins: let other blocks run
    }
  } catch (SimError& e) {
    int pc =
        c.op && c.op >= k->code.data() && c.op < k->code.data() + k->code.size() ? (int)(c.op - k->code.data()) : -1;
    std::string where = strf("in kernel %s (grid %u,%u,%u block %u,%u,%u)", k->pretty.c_str(), lp.grid[0], lp.grid[1],
                             lp.grid[2], lp.block[0], lp.block[1], lp.block[2]);
    if (pc >= 0) where += "\n" + k->where(pc);
    throw SimError{e.code, e.msg + "\n" + where};
  }
  return any;
}

bool GridRun::step() {
  if (stalled) {
    if (!prior) return false;
    stalled = false;
  }
  size_t parked = 0;
  for (auto& b : resident) parked += b->parked;
  if (allTriggered() || parked > maxParked) {
    pauseOnTrigger = false;
    for (auto& b : resident) b->parked = false;
    parked = 0;
  }
  while (resident.size() - parked < targetResident && admit()) {
  }
  bool any = false;
  uint64_t before = progress;
  size_t start = config().blockOrder == 2 && !resident.empty() ? rng.below((uint32_t)resident.size()) : 0;
  for (size_t i = 0; i < resident.size(); i++) {
    Block& b = *resident[(start + i) % resident.size()];
    if (b.finished()) continue;
    if (runBlock(b)) any = true;
  }
  // retire finished blocks
  for (size_t i = 0; i < resident.size();) {
    Block& b = *resident[i];
    if (!b.finished()) {
      i++;
      continue;
    }
    bulkFlushStores(b);
    bool clusterDone = true;
    if (b.cluster >= 0)
      for (Block* o : clusters[(size_t)b.cluster]->blocks)
        if (o && !o->finished()) clusterDone = false;
    if (!clusterDone) {  // shared memory stays accessible until the cluster ends
      i++;
      continue;
    }
    if (b.cluster >= 0)
      for (auto*& o : clusters[(size_t)b.cluster]->blocks)
        if (o == &b) o = nullptr;
    for (auto& w : b.warps) {
      freeRegs.push_back(w->regs);
      if (w->local) freeLocal.push_back(w->local);
      w->regs = w->local = nullptr;
    }
    if (!b.triggered) triggeredBlocks++;
    finishedBlocks++;
    progress++;
    resident.erase(resident.begin() + (long)i);
  }
  if (done()) return true;
  if (config().timeoutSec > 0 && nowSec() - startTime > config().timeoutSec)
    throw SimError{702, "launch exceeded CUDASIM_TIMEOUT\n" + blockedReport()};
  if (progress != before) {
    idleRounds = 0;
    return true;
  }
  // No visible progress: perform pending bulk copies, then admit more blocks.
  for (auto& b : resident)
    if (bulkProgress(*b)) return true;
  if (++idleRounds == 1) idleSince = nowSec();
  if (parked) {  // somebody may wait for a block that is held back
    pauseOnTrigger = false;
    for (auto& b : resident) b->parked = false;
    return true;
  }
  if (!prior) {
    // Waiting for the prior grids. Further blocks may run up to their wait, but like on
    // hardware only a limited number is resident; the others start when blocks finish.
    // While every thread waits nothing changes before the prior grids are complete.
    size_t before = resident.size();
    size_t want = std::min<size_t>(maxEarly, any ? before + 1 : before * 2);
    while (resident.size() < want && admit()) {
    }
    if (resident.size() > before) {
      targetResident = std::max(targetResident, (uint32_t)resident.size());
      return true;
    }
    stalled = !any;
    idleRounds = 0;  // waiting for other grids is no livelock
    return false;
  }
  if (admit()) {
    targetResident++;
    return true;
  }
  if (!any) throw SimError{702, "deadlock: no thread can run\n" + blockedReport()};
  // Memory shared with the host may be changed by another host thread: wait longer.
  if (idleRounds > 3000 && (!touchesHost || nowSec() - idleSince > 10))
    throw SimError{702, "livelock: all resident threads spin without any visible progress\n" + blockedReport()};
  return true;
}

std::string GridRun::blockedReport() {
  std::string s = "in kernel " + k->pretty;
  int lines = 0;
  for (auto& b : resident) {
    if (b->finished()) continue;
    for (auto& w : b->warps) {
      for (auto& g : w->groups) {
        if (++lines > 24) return s + "\n...";
        const char* st = g.state == G_BAR       ? "waits at barrier"
                         : g.state == G_WSYNC   ? "waits for other lanes of the warp"
                         : g.state == G_GDWAIT  ? "waits in griddepcontrol.wait"
                         : g.state == G_CLUSTER ? "waits at the cluster barrier"
                                                : "is running/spinning";
        s += strf("\nblock (%u,%u,%u) warp %d lanes 0x%08x %s", b->ctaid[0], b->ctaid[1], b->ctaid[2], w->id, g.mask,
                  st);
        if (g.state == G_BAR) {
          Barrier& bar = b->bars[g.bar];
          s += strf(" %d (%d arrived, %d expected)", g.bar, bar.expected ? bar.arrivedRounded : bar.arrivedLanes,
                    bar.expected ? bar.expected : b->aliveThreads);
        }
        s += ": " + k->where(g.pc);
      }
      if (w->finished() && lines < 24 && b->warps.size() <= 8) {
        lines++;
        s += strf("\nblock (%u,%u,%u) warp %d has exited", b->ctaid[0], b->ctaid[1], b->ctaid[2], w->id);
      }
    }
  }
  return s;
}

std::string Kernel::opText(int pc) const {
  if (pc < 0 || pc >= (int)code.size() || !code[(size_t)pc].src) return "";
  return std::string(code[(size_t)pc].src->text);
}

}  // namespace cs
