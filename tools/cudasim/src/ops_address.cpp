// SPDX-License-Identifier: Apache-2.0
// Addresses of memory operations: which memory one means, whether it may, and the checks that ride on it.
#include <algorithm>
#include <cmath>

#include "ops_mem.h"

namespace cs {

std::string threadName(const Block& b, const Warp& w, int lane) {
  return strf("block (%u,%u,%u) thread (%u,%u,%u)", b.ctaid[0], b.ctaid[1], b.ctaid[2], w.tid[0][lane], w.tid[1][lane],
              w.tid[2][lane]);
}

static const char* spaceName(const Op& op, uint64_t addr) {
  switch (op.space) {
    case Space::Shared:
      return "shared";
    case Space::SharedCluster:
      return "shared::cluster";
    case Space::Local:
      return "local";
    case Space::Const:
      return "const";
    case Space::Param:
      return "param";
    case Space::Generic:
      if ((addr >> 56) == 1) return "shared (generic)";
      if ((addr >> 56) == 2) return "local (generic)";
      return "global (generic)";
    default:
      return "global";
  }
}

void memFault(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write, const char* why) {
  bool mis = !strcmp(why, "misaligned");
  std::string what;
  uint64_t top = addr >> 56;
  if (op.space == Space::Shared || op.space == Space::SharedCluster || (op.space == Space::Generic && top == 1))
    what = strf("block has %u bytes of shared memory, valid shared addresses are 0x%x..0x%x", c.blk->sharedSize,
                kSharedBase, kSharedBase + c.blk->sharedSize);
  else if (op.space == Space::Local || (op.space == Space::Generic && top == 2))
    what = strf("thread has %u bytes of local memory", c.g->k->localBytes);
  else
    what = Memory::get().describe(addr);
  std::string msg =
      strf("%s %s %s of %u bytes at address 0x%llx\n%s\nby %s", why, spaceName(op, addr), write ? "write" : "read",
           bytes, (unsigned long long)addr, what.c_str(), threadName(*c.blk, *c.w, lane).c_str());
  throw SimError{mis ? 716 : 700, msg};
}

// Global address of one lane through the allocation table.
char* globalLane(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write) {
  if (addr >= c.lo && addr + bytes <= c.hi) return (char*)(addr + c.delta);
  Alloc* a = Memory::get().page(addr);
  if (!a || addr < a->start || addr + bytes > a->start + a->size)
    memFault(c, op, lane, addr, bytes, write, "out-of-bounds");
  if (!a->live) memFault(c, op, lane, addr, bytes, write, "use-after-free");
  if (write && a->kind == AllocKind::ConstSymbol) memFault(c, op, lane, addr, bytes, write, "illegal constant-memory");
  if (a->kind == AllocKind::Pinned || a->kind == AllocKind::Managed || a->kind == AllocKind::Registered)
    c.g->touchesHost = true;
  if (a->kind != AllocKind::ConstSymbol) {
    c.lo = a->start;
    c.hi = a->start + a->size;
    c.delta = a->delta;
    c.alloc = a;
  }
  return (char*)(addr + a->delta);
}

char* sharedLane(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write) {
  Block* b = c.blk;
  uint64_t rank = addr >> kClusterShift;
  uint64_t off = addr & ((1u << kClusterShift) - 1);
  if (rank) {
    if (b->cluster >= 0) {
      auto& cl = *c.g->clusters[b->cluster];
      if (rank - 1 >= cl.blocks.size()) memFault(c, op, lane, addr, bytes, write, "out-of-bounds");
      b = cl.blocks[rank - 1];
      if (!b) memFault(c, op, lane, addr, bytes, write, "exited-block");
    } else if (rank != 1) {
      memFault(c, op, lane, addr, bytes, write, "out-of-bounds");
    }
  }
  if (off < kSharedBase || off - kSharedBase + bytes > b->sharedSize)
    memFault(c, op, lane, addr, bytes, write, "out-of-bounds");
  return b->shared.data() + (off - kSharedBase);
}

void resolve(Ctx& c, const Op& op, uint32_t m, const uint64_t* addr, char** ptr, uint32_t bytes, bool write,
             bool atomic) {
  uint64_t lo = ~0ull, hi = 0, all = 0;
  if (m == kFull) {
    for (int i = 0; i < 32; i++) {
      lo = addr[i] < lo ? addr[i] : lo;
      hi = addr[i] > hi ? addr[i] : hi;
      all |= addr[i];
    }
  } else {
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      lo = std::min(lo, addr[i]);
      hi = std::max(hi, addr[i]);
      all |= addr[i];
    }
  }
  if (all & (bytes - 1)) {
    for (uint32_t k = m; k; k &= k - 1)
      if (addr[firstLane(k)] & (bytes - 1))
        memFault(c, op, firstLane(k), addr[firstLane(k)], bytes, write, "misaligned");
  }
  Space sp = op.space;
  if (sp == Space::Generic) {
    uint64_t tl = lo >> 56, th = hi >> 56;
    if (tl == 0 && th == 0) {
      sp = Space::Global;
    } else {
      // mixed or windowed: lane by lane
      uint32_t gl = 0, sm = 0;
      uint64_t norm[32];
      for (uint32_t k = m; k; k &= k - 1) {
        int i = firstLane(k);
        uint64_t a = addr[i], off = a & 0xffffffffffffffull;
        norm[i] = off;
        switch (a >> 56) {
          case 0:
            ptr[i] = globalLane(c, op, i, a, bytes, write);
            gl |= 1u << i;
            break;
          case 1:
            ptr[i] = sharedLane(c, op, i, off, bytes, write);
            sm |= 1u << i;
            break;
          case 2:
            if (off + bytes > c.g->k->localBytes) memFault(c, op, i, a, bytes, write, "out-of-bounds");
            ptr[i] = c.w->local + (size_t)i * c.g->k->localBytes + off;
            break;
          case 3:
            if (write || off + bytes > c.g->lp.params.size()) memFault(c, op, i, a, bytes, write, "out-of-bounds");
            ptr[i] = c.g->lp.params.data() + off;
            break;
          default:
            memFault(c, op, i, a, bytes, write, "out-of-bounds");
        }
      }
      if (c.stats) {
        if (gl) statGlobal(c, gl, addr, bytes, write, atomic);
        if (sm) statShared(c, sm, norm, bytes, write);
        if (!gl && !sm) {
          c.g->st.localReq++;
          c.g->st.localBytes += (uint64_t)__builtin_popcount(m) * bytes;
        }
      }
      if (c.race) {
        for (uint32_t k = gl; k; k &= k - 1) {
          int i = firstLane(k);
          raceGlobal(c, op, i, Memory::get().page(addr[i]), addr[i], bytes, write, atomic);
        }
        for (uint32_t k = sm; k; k &= k - 1) {
          int i = firstLane(k);
          if (norm[i] < (1u << kClusterShift))
            raceShared(c, op, i, (uint32_t)norm[i] - kSharedBase, bytes, write, atomic);
        }
      }
      if (c.init && gl && write)
        for (uint32_t k = gl; k; k &= k - 1) Memory::get().markInit(addr[firstLane(k)], bytes);
      return;
    }
  }
  switch (sp) {
    case Space::Global:
    case Space::Const: {
      if (lo >= c.lo && hi + bytes <= c.hi) {
        int64_t d = c.delta;
        for (int i = 0; i < 32; i++) ptr[i] = (char*)(addr[i] + d);
      } else {
        for (uint32_t k = m; k; k &= k - 1) {
          int i = firstLane(k);
          ptr[i] = globalLane(c, op, i, addr[i], bytes, write);
        }
      }
      if (sp == Space::Const) break;
      if (c.stats) statGlobal(c, m, addr, bytes, write, atomic);
      if (c.race)
        for (uint32_t k = m; k; k &= k - 1) {
          int i = firstLane(k);
          raceGlobal(c, op, i, Memory::get().page(addr[i]), addr[i], bytes, write, atomic);
        }
      if (c.init) {
        for (uint32_t k = m; k; k &= k - 1) {
          int i = firstLane(k);
          if (!Memory::get().inArena(addr[i])) continue;
          uint8_t* s = Memory::get().initShadow(addr[i]);
          if (!write || atomic) {
            // one element with no initialized byte at all (padding inside an element is tolerated)
            uint32_t eb = op.esize && op.esize <= bytes ? op.esize : bytes;
            for (uint32_t j = 0; j < bytes; j += eb)
              if (!memchr(s + j, 1, eb)) memFault(c, op, i, addr[i] + j, eb, false, "uninitialized");
          }
          if (write) memset(s, 1, bytes);
        }
      }
      break;
    }
    case Space::Shared:
    case Space::SharedCluster:
      if (lo >= kSharedBase && hi - kSharedBase + bytes <= c.blk->sharedSize) {
        char* base = c.blk->shared.data() - kSharedBase;
        for (int i = 0; i < 32; i++) ptr[i] = base + addr[i];
        if (c.race)
          for (uint32_t k = m; k; k &= k - 1)
            raceShared(c, op, firstLane(k), (uint32_t)addr[firstLane(k)] - kSharedBase, bytes, write, atomic);
      } else {
        for (uint32_t k = m; k; k &= k - 1) {
          int i = firstLane(k);
          ptr[i] = sharedLane(c, op, i, addr[i], bytes, write);
        }
      }
      if (c.stats) statShared(c, m, addr, bytes, write);
      break;
    case Space::Local:
      for (uint32_t k = m; k; k &= k - 1) {
        int i = firstLane(k);
        if (addr[i] + bytes > c.g->k->localBytes) memFault(c, op, i, addr[i], bytes, write, "out-of-bounds");
        ptr[i] = c.w->local + (size_t)i * c.g->k->localBytes + addr[i];
      }
      if (c.stats) {
        c.g->st.localReq++;
        c.g->st.localBytes += (uint64_t)__builtin_popcount(m) * bytes;
      }
      break;
    case Space::Param:
      for (uint32_t k = m; k; k &= k - 1) {
        int i = firstLane(k);
        if (write || addr[i] + bytes > c.g->lp.params.size())
          memFault(c, op, i, addr[i], bytes, write, "out-of-bounds");
        ptr[i] = c.g->lp.params.data() + addr[i];
      }
      break;
    default:
      memFault(c, op, firstLane(m), lo, bytes, write, "unsupported space");
  }
}

}  // namespace cs
