// SPDX-License-Identifier: Apache-2.0
// Interpreter of a warp: per-lane program counters (the lowest runs), reconvergence, calls, and the operations that
// wait for others.
#include <time.h>

#include <algorithm>

#include "exec.h"

namespace cs {

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

}  // namespace cs
