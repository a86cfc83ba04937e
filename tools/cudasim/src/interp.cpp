// SPDX-License-Identifier: Apache-2.0
// Interpreter: warp execution with per-lane program counters (min-PC
// scheduling), barriers, block and grid scheduling.
#include <time.h>

#include <algorithm>

#include "exec.h"

namespace cs {

void bulkFlushStores(Block& b);

static double nowSec() {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

// ---------------------------------------------------------------- barriers

static bool barrierComplete(const Block& b, const Barrier& bar) {
  if (bar.expected > 0) return bar.arrivedRounded >= bar.expected;
  return bar.arrivedLanes > 0 && bar.arrivedLanes >= b.aliveThreads;
}

static void releaseBarrier(Block& b, int id) {
  Barrier& bar = b.bars[id];
  std::vector<int> warps;
  for (auto& wp : b.warps) {
    bool any = false;
    for (auto& g : wp->groups) {
      if (g.state != G_BAR || g.bar != id) continue;
      any = true;
      const Op& op = b.grid->k->code[(size_t)g.pc];
      const BarInfo& bi = *(const BarInfo*)op.info;
      if (bi.mode >= 2) {
        bool v = bi.mode == 3 ? bar.andAll : bar.orAny;
        if (bi.mode == 2) {
          uint32_t* d = (uint32_t*)(wp->regs + op.d);
          for (uint32_t q = g.mask; q; q &= q - 1) d[firstLane(q)] = (uint32_t)bar.popc;
        } else {
          uint32_t* d = (uint32_t*)(wp->regs + op.d);
          *d = (*d & ~g.mask) | (v ? g.mask : 0);
        }
      }
      g.pc++;
      g.state = G_RUN;
      acquireTake(*wp, g.mask, bar.known);
    }
    if (any) warps.push_back(wp->id);
  }
  if (config().racecheck) raceBarrier(b, bar, warps);
  bar.arrivedLanes = bar.arrivedRounded = bar.expected = bar.popc = 0;
  bar.andAll = true;
  bar.orAny = false;
  bar.known = nullptr;
  bar.phase++;
  b.grid->progress++;
}

static void checkBarriers(Block& b) {
  for (int i = 0; i < 16; i++)
    if (b.bars[i].arrivedLanes > 0 && barrierComplete(b, b.bars[i])) releaseBarrier(b, i);
}

// ---------------------------------------------------------------- warp execution

namespace {

// Index of the group to run: deepest call first, then lowest pc. Merges groups
// that reached the same place. -1 when every group waits.
int pickGroup(Warp& w, bool rotate, int& limit) {
  auto& gs = w.groups;
  limit = -1;
  if (gs.size() == 1) return gs[0].state == G_RUN ? 0 : -1;
  // merge
  for (size_t i = 0; i < gs.size(); i++) {
    if (gs[i].state != G_RUN && gs[i].state != G_WSYNC) continue;
    for (size_t j = i + 1; j < gs.size();) {
      if ((gs[j].state == G_RUN || gs[j].state == G_WSYNC) && gs[j].pc == gs[i].pc && gs[j].depth == gs[i].depth &&
          gs[j].frame == gs[i].frame) {
        gs[i].mask |= gs[j].mask;
        gs[i].state = G_RUN;
        gs[i].skipped = std::min(gs[i].skipped, gs[j].skipped);
        gs.erase(gs.begin() + (long)j);
      } else {
        j++;
      }
    }
  }
  int best = -1;
  for (size_t i = 0; i < gs.size(); i++) {
    if (gs[i].state != G_RUN) continue;
    if (best < 0) {
      best = (int)i;
      continue;
    }
    Group &a = gs[i], &b = gs[(size_t)best];
    bool better = rotate ? a.skipped < b.skipped : (a.depth > b.depth || (a.depth == b.depth && a.pc < b.pc));
    if (better) best = (int)i;
  }
  if (best < 0) return -1;
  Group& g = gs[(size_t)best];
  g.skipped = ++w.stamp;
  for (size_t i = 0; i < gs.size(); i++) {
    if ((int)i == best || gs[i].depth != g.depth) continue;
    if (gs[i].state != G_RUN && gs[i].state != G_WSYNC) continue;
    if (gs[i].pc > g.pc && (limit < 0 || gs[i].pc < limit)) limit = gs[i].pc;
  }
  return best;
}

void exitLanes(Ctx& c, uint32_t m) {
  Warp& w = *c.w;
  Block& b = *c.blk;
  if (!w.async.empty()) {
    for (uint32_t q = m; q; q &= q - 1) w.asyncGroup[firstLane(q)]++;
    asyncFlush(c, m, 0);
  }
  w.alive &= ~m;
  b.aliveThreads -= __builtin_popcount(m);
  c.g->progress++;
  for (auto& g : w.groups)
    if (g.state == G_WSYNC) g.state = G_RUN;  // re-evaluate member masks
  if (b.cluster >= 0) {
    Cluster& cl = *c.g->clusters[(size_t)b.cluster];
    cl.expected -= __builtin_popcount(m);
    if (cl.expected > 0 && cl.arrived >= cl.expected) {
      cl.arrived = 0;
      cl.phase++;
    }
  }
}

void copyArgs(Warp& w, const std::vector<CallInfo::Copy>& v, uint32_t m, const char* pool) {
  for (auto& a : v) {
    const char* s = (a.src & 1 ? pool : w.regs) + (a.src & ~1u);
    char* d = w.regs + a.dst;
    for (uint32_t q = m; q; q &= q - 1) {
      int i = firstLane(q);
      memcpy(d + (size_t)i * a.dstStride, s + (size_t)i * a.srcStride, a.bytes);
    }
  }
}

void saveFrames(Warp& w, const CallInfo& ci, Frame& f) {
  size_t n = 0;
  for (auto& r : ci.saveRanges) n += r.second;
  f.saved.resize(n);
  n = 0;
  for (auto& r : ci.saveRanges) {
    memcpy(f.saved.data() + n, w.regs + r.first, r.second);
    n += r.second;
  }
}

}  // namespace

// Executes the current warp for at most `budget` instructions; returns the
// number executed.
int runWarp(Ctx& c, int budget) {
  Warp& w = *c.w;
  GridRun& grid = *c.g;
  Kernel& k = *grid.k;
  const Op* code = k.code.data();
  c.base[0] = w.regs;
  c.base[1] = k.constPool;
  uint64_t* cntT = grid.st.opThreads.data();
  uint64_t* cntW = grid.st.opWarps.data();
  int start = budget;
  bool rotate = false;

  while (budget > 0) {
    int limit;
    int gi = pickGroup(w, rotate, limit);
    rotate = false;
    if (gi < 0) break;
    Group* g = &w.groups[(size_t)gi];
    uint32_t mask = g->mask;
    int pc = g->pc;
    for (;;) {
      if (--budget < 0) {
        budget = 0;
        g->pc = pc;
        goto out;
      }
      const Op& op = code[pc];
      uint32_t m = mask;
      if (op.guard != kNoRef) {
        uint32_t p = *(const uint32_t*)(w.regs + op.guard);
        m &= op.guardNeg ? ~p : p;
      }
      cntT[pc] += (uint64_t)__builtin_popcount(m);
      cntW[pc]++;
      switch (op.kind) {
        case K_SPIN:
          w.spinCount++;
          // fallthrough
        case K_SIMPLE:
          if (m) {
            c.op = &op;
            op.fn(c, op, m);
          }
          pc++;
          break;

        case K_BRA: {
          if (m == 0) {
            pc++;
            break;
          }
          bool back = op.target <= pc;
          if (m == mask) {
            pc = op.target;
            if (back && (w.spinCount >= 32 || --w.sleepUntil == 0)) {
              // possible spin wait: let other lanes and warps run
              g->pc = pc;
              rotate = w.lastProgress == grid.progress && w.groups.size() > 1;
              w.lastProgress = grid.progress;
              w.spinCount = 0;
              w.sleepUntil = 1u << 20;
              if (rotate) goto resched;
              goto out;
            }
            if (w.groups.size() > 1) {
              g->pc = pc;
              goto resched;
            }
            break;
          }
          Group n = *g;
          n.mask = m;
          n.pc = op.target;
          g->mask = mask & ~m;
          g->pc = pc + 1;
          w.groups.push_back(n);
          goto resched;
        }

        case K_BRX: {
          if (m == 0) {
            pc++;
            break;
          }
          const auto& table = *(const std::vector<int32_t>*)op.info;
          const uint32_t* idx = (const uint32_t*)(c.base[op.a & 1] + (op.a & ~1u));
          uint32_t rest = m;
          Group base = *g;
          base.mask = mask & ~m;
          base.pc = pc + 1;
          std::vector<Group> add;
          while (rest) {
            uint32_t v = idx[firstLane(rest)], same = 0;
            for (uint32_t q = rest; q; q &= q - 1)
              if (idx[firstLane(q)] == v) same |= 1u << firstLane(q);
            if (v >= table.size()) throw SimError{719, strf("brx.idx index %u out of range", v)};
            Group n = base;
            n.mask = same;
            n.pc = table[v];
            add.push_back(n);
            rest &= ~same;
          }
          if (base.mask)
            *g = base;
          else {
            *g = add.back();
            add.pop_back();
          }
          for (auto& n : add) w.groups.push_back(n);
          goto resched;
        }

        case K_CALL:
        case K_CALLI: {
          if (m == 0) {
            pc++;
            break;
          }
          const CallInfo* ci = (const CallInfo*)op.info;
          int32_t target = op.target;
          const CallInfo* use = ci;
          std::shared_ptr<CallInfo> bound;
          if (op.kind == K_CALLI) {
            const uint64_t* fp = (const uint64_t*)(c.base[ci->target & 1] + (ci->target & ~1u));
            uint64_t fa = fp[firstLane(m)];
            uint32_t same = 0;
            for (uint32_t q = m; q; q &= q - 1)
              if (fp[firstLane(q)] == fa) same |= 1u << firstLane(q);
            if (same != m) {  // lanes with another target retry later
              Group n = *g;
              n.mask = m & ~same;
              n.pc = pc;
              g->mask = mask = mask & ~n.mask;
              m = same;
              w.groups.push_back(n);
              g = &w.groups[(size_t)gi];
            }
            auto it = k.indirect.find(fa);
            if (it == k.indirect.end())
              throw SimError{718, strf("indirect call to an invalid function address 0x%llx, %s",
                                       (unsigned long long)fa, threadName(*c.blk, w, firstLane(m)).c_str())};
            target = it->second.pc;
            // Bind arguments by position.
            bound = std::make_shared<CallInfo>(*ci);
            for (size_t i = 0; i < bound->args.size() && i < it->second.formals.size(); i++) {
              auto& a = bound->args[i];
              auto& f = it->second.formals[i];
              a.dst = f.dst;
              a.dstStride = f.dstStride;
              a.bytes = std::min(a.bytes, f.bytes);
            }
            for (size_t i = 0; i < bound->rets.size() && i < it->second.rets.size(); i++) {
              auto& a = bound->rets[i];
              auto& f = it->second.rets[i];
              a.src = f.dst;
              a.srcStride = f.dstStride;
              a.bytes = std::min(a.bytes, f.bytes);
            }
            use = bound.get();
          }
          if (m != mask) {
            Group n = *g;
            n.mask = mask & ~m;
            n.pc = pc + 1;
            w.groups.push_back(n);
            g = &w.groups[(size_t)gi];
            mask = g->mask = m;
          }
          auto f = std::make_shared<Frame>();
          f->parent = g->frame;
          f->call = &op;
          f->retPc = pc + 1;
          f->mask = m;
          f->bound = bound;
          // Arguments may live in the frame that is about to be saved: save first.
          if (use->save) saveFrames(w, *use, *f);
          copyArgs(w, use->args, m, k.constPool);
          uint32_t* sp = (uint32_t*)w.regs;
          for (uint32_t q = m; q; q &= q - 1) {
            int i = firstLane(q);
            sp[i] += use->frameLocal;
            if (sp[i] > k.localBytes) throw SimError{719, "stack overflow in " + threadName(*c.blk, w, i)};
          }
          g->frame = f;
          g->depth++;
          g->pc = target;
          goto resched;
        }

        case K_RET:
          if (g->depth > 0) {
            if (m == 0) {
              pc++;
              break;
            }
            if (m != mask) {
              Group n = *g;
              n.mask = mask & ~m;
              n.pc = pc + 1;
              w.groups.push_back(n);
              g = &w.groups[(size_t)gi];
              mask = g->mask = m;
            }
            std::shared_ptr<Frame> f = g->frame;
            const CallInfo* use = f->info();
            // fetch results, restore saved frames, then store the results
            std::vector<std::vector<char>> res;
            for (auto& a : use->rets) {
              std::vector<char> v((size_t)a.bytes * 32);
              for (uint32_t q = m; q; q &= q - 1) {
                int i = firstLane(q);
                memcpy(v.data() + (size_t)i * a.bytes, w.regs + a.src + (size_t)i * a.srcStride, a.bytes);
              }
              res.push_back(std::move(v));
            }
            if (use->save) {
              size_t off = 0;
              for (auto& r : use->saveRanges) {
                // one range per register: 32 lanes, or a 4-byte predicate mask
                const char* s = f->saved.data() + off;
                char* d = w.regs + r.first;
                if (r.second == 4) {
                  uint32_t old, now;
                  memcpy(&old, s, 4);
                  memcpy(&now, d, 4);
                  now = (now & ~m) | (old & m);
                  memcpy(d, &now, 4);
                } else {
                  size_t lb = r.second / 32;
                  for (uint32_t q = m; q; q &= q - 1) {
                    int i = firstLane(q);
                    memcpy(d + (size_t)i * lb, s + (size_t)i * lb, lb);
                  }
                }
                off += r.second;
              }
            }
            for (size_t j = 0; j < use->rets.size(); j++) {
              auto& a = use->rets[j];
              for (uint32_t q = m; q; q &= q - 1) {
                int i = firstLane(q);
                memcpy(w.regs + a.dst + (size_t)i * a.dstStride, res[j].data() + (size_t)i * a.bytes, a.bytes);
              }
            }
            uint32_t* sp = (uint32_t*)w.regs;
            for (uint32_t q = m; q; q &= q - 1) sp[firstLane(q)] -= use->frameLocal;
            g->depth--;
            g->pc = f->retPc;
            g->frame = f->parent;
            goto resched;
          }
          // fallthrough: ret in the kernel is exit
        case K_EXIT: {
          if (m == 0) {
            pc++;
            break;
          }
          exitLanes(c, m);
          g = &w.groups[(size_t)gi];
          if (m == mask) {
            w.groups.erase(w.groups.begin() + gi);
          } else {
            g->mask = mask & ~m;
            g->pc = pc + 1;
          }
          checkBarriers(*c.blk);
          if (!w.alive) goto out;
          goto resched;
        }

        case K_WSYNC: {
          if (m == 0) {
            pc++;
            break;
          }
          const uint32_t* mm = (const uint32_t*)(c.base[op.e & 1] + (op.e & ~1u));
          uint32_t sat = 0;
          for (uint32_t q = m; q; q &= q - 1) {
            int i = firstLane(q);
            if (!((mm[i] >> i) & 1))
              throw SimError{
                  719, strf("%.*s: the member mask 0x%x does not contain the executing lane, %s",
                            (int)op.src->text.size(), op.src->text.data(), mm[i], threadName(*c.blk, w, i).c_str())};
            if (!((mm[i] & w.alive) & ~m)) sat |= 1u << i;
          }
          if (sat == mask) {
            c.op = &op;
            op.fn(c, op, m);
            pc++;
            break;
          }
          if (sat == 0 && (op.flags & F_BARWARP)) {
            // bar.warp.sync pairs up across different program counters
            uint32_t u = m;
            for (auto& o : w.groups)
              if (&o != g && o.state == G_WSYNC && (code[o.pc].flags & F_BARWARP)) u |= o.mask;
            bool ok = true;
            for (uint32_t q = m; q; q &= q - 1)
              if ((mm[firstLane(q)] & w.alive) & ~u) ok = false;
            if (ok) {
              for (auto& o : w.groups)
                if (&o != g && o.state == G_WSYNC && (code[o.pc].flags & F_BARWARP)) {
                  o.state = G_RUN;
                  o.pc++;
                }
              c.op = &op;
              op.fn(c, op, m);
              if (m == mask) {
                pc++;
                g->pc = pc;
                goto resched;
              }
              sat = m;
            }
          }
          // split: satisfied lanes execute, guarded-off lanes go on, the rest wait
          uint32_t off = mask & ~m, wait = m & ~sat;
          if (sat) {
            c.op = &op;
            op.fn(c, op, sat);
          }
          Group proto = *g;
          if (wait) {
            g->mask = wait;
            g->pc = pc;
            g->state = G_WSYNC;
            if (sat | off) {
              proto.mask = sat | off;
              proto.pc = pc + 1;
              w.groups.push_back(proto);
            }
          } else {
            g->mask = sat | off;
            g->pc = pc + 1;
          }
          goto resched;
        }

        case K_BAR: {
          if (m == 0) {
            pc++;
            break;
          }
          const BarInfo& bi = *(const BarInfo*)op.info;
          int lane = firstLane(m);
          int id = (int)((const uint32_t*)(c.base[op.a & 1] + (op.a & ~1u)))[lane];
          if (id < 0 || id > 15) throw SimError{719, strf("barrier id %d out of range", id)};
          Barrier& bar = c.blk->bars[id];
          if (bi.hasCount) {
            int cnt = (int)((const uint32_t*)(c.base[op.b & 1] + (op.b & ~1u)))[lane];
            if (cnt <= 0 || cnt % 32)
              throw SimError{719, strf("barrier thread count %d is not a positive multiple of the warp size", cnt)};
            if (bar.expected && bar.expected != cnt)
              throw SimError{719, strf("barrier %d used with different thread counts (%d and %d), %s", id, bar.expected,
                                       cnt, threadName(*c.blk, w, lane).c_str())};
            bar.expected = cnt;
          }
          bool whole = bi.aligned && m == w.alive;
          bar.arrivedLanes += __builtin_popcount(m);
          bar.arrivedRounded += whole ? 32 : __builtin_popcount(m);
          if (bi.mode >= 2) {
            uint32_t p = *(const uint32_t*)(c.base[op.e & 1] + (op.e & ~1u));
            if (bi.predNeg) p = ~p;
            bar.popc += __builtin_popcount(p & m);
            if ((p & m) != m) bar.andAll = false;
            if (p & m) bar.orAny = true;
          }
          acquireGive(w, m, bar.known);
          if (config().racecheck) {
            if (bar.vc.size() < w.vc.size()) bar.vc.resize(w.vc.size(), 0);
            for (size_t i = 0; i < w.vc.size(); i++)
              bar.vc[i] = std::max(bar.vc[i], w.vc[i] + ((int)i == w.id ? 1 : 0));
          }
          if (bi.mode == 1) {  // arrive
            if (config().racecheck) w.vc[(size_t)w.id]++;
            if (barrierComplete(*c.blk, bar)) releaseBarrier(*c.blk, id);
            pc++;
            break;
          }
          if (m != mask) {
            Group n = *g;
            n.mask = mask & ~m;
            n.pc = pc + 1;
            w.groups.push_back(n);
            g = &w.groups[(size_t)gi];
            g->mask = m;
          }
          g->state = G_BAR;
          g->bar = (int16_t)id;
          g->pc = pc;
          w.spinCount = 0;
          if (barrierComplete(*c.blk, bar)) releaseBarrier(*c.blk, id);
          goto resched;
        }

        case K_NANOSLEEP:
          pc++;
          g->pc = pc;
          w.spinCount += 8;
          if (w.spinCount >= 32) {
            rotate = w.lastProgress == grid.progress && w.groups.size() > 1;
            w.lastProgress = grid.progress;
            w.spinCount = 0;
            if (rotate) goto resched;
          }
          goto out;

        case K_TRIGGER:
          pc++;
          if (m) {
            c.op = &op;
            op.fn(c, op, m);
            if (grid.pauseOnTrigger && !c.blk->parked) {
              // Hold the block so that dependents start as early as possible.
              c.blk->parked = true;
              g->pc = pc;
              goto out;
            }
          }
          break;

        case K_GDWAIT:
          if (m) grid.waited = true;
          if (m == 0 || grid.prior) {
            pc++;
            break;
          }
          g->pc = pc;
          g->state = G_GDWAIT;
          goto resched;

        case K_CLARRIVE: {
          if (c.blk->cluster >= 0) {
            Cluster& cl = *grid.clusters[(size_t)c.blk->cluster];
            for (uint32_t q = m; q; q &= q - 1) w.clTarget[firstLane(q)] = cl.phase + 1;
            acquireGive(w, m, cl.arriving);
            cl.arrived += __builtin_popcount(m);
            if (cl.arrived >= cl.expected) {
              cl.arrived = 0;
              cl.known = std::move(cl.arriving);
              cl.phase++;
            }
            grid.progress++;
          } else {
            // implicit 1-block cluster: block-wide barrier number 15
            Barrier& bar = c.blk->bars[15];
            for (uint32_t q = m; q; q &= q - 1) w.clTarget[firstLane(q)] = bar.phase + 1;
            bar.arrivedLanes += __builtin_popcount(m);
            if (barrierComplete(*c.blk, bar)) releaseBarrier(*c.blk, 15);
          }
          pc++;
          break;
        }
        case K_CLWAIT: {
          uint32_t phase = c.blk->cluster >= 0 ? grid.clusters[(size_t)c.blk->cluster]->phase : c.blk->bars[15].phase;
          bool ok = true;
          for (uint32_t q = m; q; q &= q - 1)
            if ((int32_t)(phase - w.clTarget[firstLane(q)]) < 0) ok = false;
          if (ok) {
            if (config().racecheck && m) raceWarpSync(c, m, true);
            if (c.blk->cluster >= 0) acquireTake(w, m, grid.clusters[(size_t)c.blk->cluster]->known);
            pc++;
            break;
          }
          g->pc = pc;
          g->state = G_CLUSTER;
          goto resched;
        }
        default:
          throw SimError{218, "bad operation kind"};
      }
      if (pc == limit) {
        g->pc = pc;
        goto resched;
      }
    }
  resched:;
  }
out:
  w.instrs += (uint64_t)(start - budget);
  return start - budget;
}

// ---------------------------------------------------------------- grid

static uint64_t g_gridCounter = 0;

GridRun::GridRun(LaunchParams p) : lp(std::move(p)) {
  k = lp.kernel.get();
  totalBlocks = (uint64_t)lp.grid[0] * lp.grid[1] * lp.grid[2];
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
  if (!order.empty()) return order[i];
  return config().blockOrder == 1 ? n - 1 - i : i;
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
