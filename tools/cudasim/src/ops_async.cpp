// SPDX-License-Identifier: Apache-2.0
// Asynchronous copies and what waits for them: cp.async, mbarrier, cp.async.bulk. A copy is done as late as is allowed.
#include <algorithm>
#include <cmath>

#include "ops_mem.h"

namespace cs {

namespace {

void performAsync(Ctx& c, Warp& w, const Warp::AsyncCopy& a) {
  (void)w;
  char* dst = c.blk->shared.data() + a.dst;
  char* src = Memory::get().ptr(a.src);
  Alloc* al = Memory::get().page(a.src);
  if (al) src = (char*)(a.src + al->delta);
  memcpy(dst, src, a.srcBytes);
  if (a.srcBytes < a.bytes) memset(dst + a.srcBytes, 0, a.bytes - a.srcBytes);
}

// a: shared address, b: global address (64 bit), c: src size register or none,
// n: bytes, imm: shared offset, target: global offset; e: ignore predicate
void hCpAsync(Ctx& c, const Op& op, uint32_t m) {
  uint64_t sa[32], ga[32];
  char* ps[32];
  char* pg[32];
  addresses(c, op, sa);
  const uint64_t* b = R<uint64_t>(c, op.b);
  for (int i = 0; i < 32; i++) ga[i] = b[i] + (int64_t)op.target;
  uint32_t srcMask = m;
  uint32_t sizes[32];
  for (int i = 0; i < 32; i++) sizes[i] = op.n;
  if (op.c != kNoRef) {
    const uint32_t* s = R<uint32_t>(c, op.c);
    for (int i = 0; i < 32; i++) sizes[i] = std::min<uint32_t>(s[i], op.n);
  }
  if (op.e != kNoRef) {
    uint32_t p = *R<uint32_t>(c, op.e);
    for (int i = 0; i < 32; i++)
      if ((p >> i) & 1) sizes[i] = 0;
  }
  for (int i = 0; i < 32; i++)
    if (sizes[i] == 0) srcMask &= ~(1u << i);
  Op so = op;
  so.space = Space::Shared;
  resolve(c, so, m, sa, ps, op.n, true);
  so.space = Space::Global;
  if (srcMask) {
    // partial sources only need the bytes they read
    bool full = true;
    for (uint32_t k = srcMask; k; k &= k - 1) full &= sizes[firstLane(k)] == op.n;
    if (full)
      resolve(c, so, srcMask, ga, pg, op.n, false);
    else
      for (uint32_t k = srcMask; k; k &= k - 1) {
        int i = firstLane(k);
        if (ga[i] & (op.n - 1)) memFault(c, so, i, ga[i], op.n, false, "misaligned");
        globalLane(c, so, i, ga[i], sizes[i], false);
      }
  }
  Warp& w = *c.w;
  for (uint32_t k = m; k; k &= k - 1) {
    int i = firstLane(k);
    w.async.push_back({(uint32_t)i, (uint64_t)(ps[i] - c.blk->shared.data()), ga[i], op.n, sizes[i], w.asyncGroup[i]});
  }
}
void hCpCommit(Ctx& c, const Op&, uint32_t m) {
  for (uint32_t k = m; k; k &= k - 1) c.w->asyncGroup[firstLane(k)]++;
}
void hCpWait(Ctx& c, const Op& op, uint32_t m) {  // imm: groups that may stay pending, -1: wait_all
  if (op.imm < 0) {
    hCpCommit(c, op, m);
    asyncFlush(c, m, 0);
  } else {
    asyncFlush(c, m, (uint32_t)op.imm);
  }
}

// ---- mbarrier

struct MBar {
  uint32_t pending, expected;
  int32_t tx;
  uint32_t phase;
};
MBar mbGet(const char* p) {
  uint64_t v;
  memcpy(&v, p, 8);
  MBar b;
  b.pending = v & 0xfffff;
  b.expected = (v >> 20) & 0xfffff;
  b.tx = (int32_t)((v >> 40) & 0x7fffff) - 0x400000;
  b.phase = (uint32_t)(v >> 63);
  return b;
}
void mbPut(char* p, const MBar& b) {
  uint64_t v = (uint64_t)(b.pending & 0xfffff) | (uint64_t)(b.expected & 0xfffff) << 20 |
               (uint64_t)((uint32_t)(b.tx + 0x400000) & 0x7fffff) << 40 | (uint64_t)b.phase << 63;
  memcpy(p, &v, 8);
}
void mbCheck(MBar& b) {
  if (b.pending == 0 && b.tx == 0) {
    b.phase ^= 1;
    b.pending = b.expected;
  }
}

}  // namespace

void mbTx(char* p, int32_t bytes, bool expect) {
  MBar b = mbGet(p);
  b.tx += expect ? bytes : -bytes;
  if (!expect) mbCheck(b);
  mbPut(p, b);
}

namespace {

void raceMbar(Ctx& c, int lane, uint64_t addr, bool release, bool acquire) {
  if (!c.race) return;
  auto& v = c.blk->mbarVc[(uint32_t)(addr & 0xfffff)];
  auto& vc = c.w->vc;
  if (v.size() < vc.size()) v.resize(vc.size(), 0);
  if (config().strict) {
    Known& known = c.blk->sharedKnown[(uint32_t)(addr & 0xfffff)];
    if (release) acquireGive(*c.w, 1u << lane, known);
    if (acquire) acquireTake(*c.w, 1u << lane, known);
  }
  if (release) {
    for (size_t i = 0; i < vc.size(); i++) v[i] = std::max(v[i], vc[i] + ((int)i == c.w->id ? 1 : 0));
    c.w->vc[c.w->id]++;
    c.w->wepoch++;
  }
  if (acquire) {
    for (size_t i = 0; i < vc.size(); i++)
      if ((int)i != c.w->id) vc[i] = std::max(vc[i], v[i]);
    c.w->wepoch++;
  }
}

// n: 0 init 1 arrive 2 arrive_drop 3 expect_tx 4 complete_tx 5 test/try_wait 6 inval 7 pending_count
//    8 cp.async.mbarrier.arrive 9 ...noinc
// a: address; b: count / tx / state / parity; d: state or predicate; flags F_NEG: parity form;
// target bit0: expect_tx variant of arrive
void hMbar(Ctx& c, const Op& op, uint32_t m) {
  uint64_t addr[32];
  char* ptr[32];
  if (op.n == 7) {
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      R<uint32_t>(c, op.d)[i] = R<uint64_t>(c, op.a)[i] & 0xfffff;
    }
    return;
  }
  addresses(c, op, addr);
  if (op.n == 8 || op.n == 9) {
    hCpCommit(c, op, m);
    asyncFlush(c, m, 0);
  }
  bool race = c.race;
  c.race = false;
  resolve(c, op, m, addr, ptr, 8, true, true);
  c.race = race;
  uint32_t done = 0;
  for (uint32_t k = m; k; k &= k - 1) {
    int i = firstLane(k);
    MBar b = mbGet(ptr[i]);
    uint64_t old;
    memcpy(&old, ptr[i], 8);
    uint32_t cnt = op.b != kNoRef ? R<uint32_t>(c, op.b)[i] : 1;
    switch (op.n) {
      case 0:
        b.pending = b.expected = cnt;
        b.tx = 0;
        b.phase = 0;
        mbPut(ptr[i], b);
        break;
      case 1:
      case 2:
        if (op.target & 1) {
          b.tx += (int32_t)cnt;
          cnt = 1;
        }
        if (b.pending < cnt)
          throw SimError{
              719, strf("mbarrier arrive count exceeds the pending count, %s", threadName(*c.blk, *c.w, i).c_str())};
        b.pending -= cnt;
        if (op.n == 2) b.expected -= cnt;
        mbCheck(b);
        mbPut(ptr[i], b);
        raceMbar(c, i, addr[i], true, false);
        if (op.d != kNoRef) R<uint64_t>(c, op.d)[i] = old;
        c.g->progress++;
        break;
      case 3:
        mbTx(ptr[i], (int32_t)cnt, true);
        break;
      case 4:
        mbTx(ptr[i], (int32_t)cnt, false);
        c.g->progress++;
        break;
      case 5: {
        auto test = [&] {
          MBar x = mbGet(ptr[i]);
          uint32_t parity = op.flags & F_NEG ? R<uint32_t>(c, op.b)[i] & 1 : (uint32_t)(R<uint64_t>(c, op.b)[i] >> 63);
          return x.phase != parity;
        };
        bool ok = test();
        if (!ok && bulkProgress(*c.blk)) ok = test();
        if (ok) {
          done |= 1u << i;
          raceMbar(c, i, addr[i], false, true);
        }
        break;
      }
      case 6:
        memset(ptr[i], 0xff, 8);
        break;
      case 8:
        break;  // increments and decrements the pending count: no net effect
      case 9:
        b.pending -= 1;
        mbCheck(b);
        mbPut(ptr[i], b);
        raceMbar(c, i, addr[i], true, false);
        c.g->progress++;
        break;
    }
  }
  if (op.n == 5 && op.d != kNoRef) {
    uint32_t* d = R<uint32_t>(c, op.d);
    *d = (*d & ~m) | done;
  }
  if (op.n == 5 && done) c.w->spinCount = 0;
}

// ---- cp.async.bulk

// a: dst, b: src (both 64-bit or 32-bit, see flags), c: size, e: mbarrier
// n: 0 global->shared, 1 shared->global, 2 shared->shared::cluster; target: AtomOp<<8|type<<16 (reduce)
void hBulk(Ctx& c, const Op& op, uint32_t m) {
  for (uint32_t k = m; k; k &= k - 1) {
    int i = firstLane(k);
    auto rd = [&](uint32_t ref, bool w32) -> uint64_t { return w32 ? R<uint32_t>(c, ref)[i] : R<uint64_t>(c, ref)[i]; };
    uint64_t dst = rd(op.a, op.addr32 & 1), src = rd(op.b, op.addr32 & 2);
    uint32_t bytes = R<uint32_t>(c, op.c)[i];
    uint64_t mb = op.e != kNoRef ? rd(op.e, op.addr32 & 4) : 0;
    if ((dst | src | bytes) & 15)
      throw SimError{
          716, strf("cp.async.bulk addresses and size must be multiples of 16 (dst 0x%llx, src 0x%llx, size %u), %s",
                    (unsigned long long)dst, (unsigned long long)src, bytes, threadName(*c.blk, *c.w, i).c_str())};
    if (!bytes) {
      continue;
    }
    auto strip = [](uint64_t a) { return (a >> 56) == 1 ? a & 0xffffffffffffffull : a; };
    BulkCopy bc{};
    bc.bytes = bytes;
    bc.warp = c.w->id;
    bc.lane = i;
    bc.reduce = (uint8_t)(op.target >> 24);
    auto owner = [&](uint64_t a) -> Block* {
      uint64_t rank = a >> kClusterShift;
      if (!rank || c.blk->cluster < 0) return c.blk;
      return c.g->clusters[c.blk->cluster]->blocks[rank - 1];
    };
    if (op.n == 0) {
      dst = strip(dst);
      sharedLane(c, op, i, dst, bytes, true);
      globalLane(c, op, i, src, bytes, false);
      bc.toShared = true;
      bc.dstBlock = owner(dst);
      bc.dst = (dst & ((1u << kClusterShift) - 1)) - kSharedBase;
      bc.src = src;
      mb = strip(mb);
      sharedLane(c, op, i, mb, 8, true);
      bc.mbar = (mb & ((1u << kClusterShift) - 1)) - kSharedBase;
      if (c.stats) {
        uint64_t ad[32];
        ad[i] = src;
        for (uint32_t o = 0; o < bytes; o += 16) {
          ad[i] = src + o;
          statGlobal(c, 1u << i, ad, 16, false, false);
        }
      }
      if (c.init) {
        uint8_t* s = Memory::get().initShadow(src);
        for (uint32_t o = 0; o < bytes; o++)
          if (!s[o]) memFault(c, op, i, src + o, 1, false, "uninitialized");
      }
      if (c.race)
        for (uint32_t o = 0; o < bytes; o += 4)
          raceGlobal(c, op, i, Memory::get().page(src + o), src + o, 4, false, false);
    } else if (op.n == 1) {
      src = strip(src);
      sharedLane(c, op, i, src, bytes, false);
      globalLane(c, op, i, dst, bytes, true);
      bc.toShared = false;
      bc.dstBlock = c.blk;
      bc.dst = dst;
      bc.src = (src & ((1u << kClusterShift) - 1)) - kSharedBase;
      bc.group = c.blk->bulkCommit[(uint32_t)(c.w->id * 32 + i)];
      bc.mbar = (uint64_t)op.target;
      if (c.stats) {
        uint64_t ad[32];
        for (uint32_t o = 0; o < bytes; o += 16) {
          ad[i] = dst + o;
          statGlobal(c, 1u << i, ad, 16, true, false);
        }
      }
      if (c.init) Memory::get().markInit(dst, bytes);
      if (c.race)
        for (uint32_t o = 0; o < bytes; o += 4)
          raceGlobal(c, op, i, Memory::get().page(dst + o), dst + o, 4, true, bc.reduce != 0);
    } else {
      // shared::cta -> shared::cluster: performed immediately
      char* d = sharedLane(c, op, i, strip(dst), bytes, true);
      char* s = sharedLane(c, op, i, strip(src), bytes, false);
      memmove(d, s, bytes);
      char* b = sharedLane(c, op, i, strip(mb), 8, true);
      mbTx(b, (int32_t)bytes, false);
      c.g->progress++;
      continue;
    }
    c.blk->bulk.push_back(bc);
  }
}

void performBulk(Block& b, BulkCopy& bc) {
  if (bc.toShared) {
    Alloc* al = Memory::get().find(bc.src, bc.bytes);
    if (!al) throw SimError{700, "cp.async.bulk source was freed while the copy was in flight"};
    char* sh = bc.dstBlock->shared.data();
    memcpy(sh + bc.dst, (char*)(bc.src + al->delta), bc.bytes);
    mbTx(sh + bc.mbar, (int32_t)bc.bytes, false);
  } else {
    Alloc* al = Memory::get().find(bc.dst, bc.bytes);
    if (!al) throw SimError{700, "cp.async.bulk destination was freed while the copy was in flight"};
    char* d = (char*)(bc.dst + al->delta);
    if (bc.reduce) {
      AtomOp k = (AtomOp)(bc.mbar & 255);
      Ty t = (Ty)((bc.mbar >> 8) & 255);
      int eb = tyBytes(t);
      bool ch = false;
      for (uint32_t o = 0; o < bc.bytes; o += (uint32_t)eb) {
        uint64_t v = 0;
        memcpy(&v, b.shared.data() + bc.src + o, (size_t)eb);
        applyAtom(k, t, d + o, v, 0, ch);
      }
    } else {
      memcpy(d, b.shared.data() + bc.src, bc.bytes);
    }
  }
  b.grid->progress++;
}

void hBulkCommit(Ctx& c, const Op&, uint32_t m) {
  for (uint32_t k = m; k; k &= k - 1) c.blk->bulkCommit[(uint32_t)(c.w->id * 32 + firstLane(k))]++;
}
void hBulkWait(Ctx& c, const Op& op, uint32_t m) {
  for (uint32_t k = m; k; k &= k - 1) {
    int i = firstLane(k);
    uint32_t committed = c.blk->bulkCommit[(uint32_t)(c.w->id * 32 + i)];
    auto& v = c.blk->bulk;
    for (size_t j = 0; j < v.size();) {
      if (!v[j].toShared && v[j].warp == c.w->id && v[j].lane == i &&
          (int64_t)v[j].group < (int64_t)committed - op.imm) {
        performBulk(*c.blk, v[j]);
        v.erase(v.begin() + (long)j);
      } else {
        j++;
      }
    }
  }
}

}  // namespace

void asyncFlush(Ctx& c, uint32_t lanes, uint32_t keep) {
  Warp& w = *c.w;
  if (w.async.empty()) return;
  size_t out = 0;
  for (size_t i = 0; i < w.async.size(); i++) {
    auto& a = w.async[i];
    bool mine = (lanes >> a.lane) & 1;
    if (mine && (int64_t)a.group < (int64_t)w.asyncGroup[a.lane] - (int64_t)keep) {
      performAsync(c, w, a);
      c.g->progress++;
    } else {
      w.async[out++] = a;
    }
  }
  w.async.resize(out);
}

bool bulkProgress(Block& b) {
  bool any = false;
  for (size_t j = 0; j < b.bulk.size();) {
    if (b.bulk[j].toShared) {
      performBulk(b, b.bulk[j]);
      b.bulk.erase(b.bulk.begin() + (long)j);
      any = true;
    } else {
      j++;
    }
  }
  // multicast-free clusters: copies issued by peers into this block
  if (!any && b.cluster >= 0)
    for (Block* o : b.grid->clusters[b.cluster]->blocks)
      if (o && o != &b)
        for (size_t j = 0; j < o->bulk.size();) {
          if (o->bulk[j].toShared && o->bulk[j].dstBlock == &b) {
            performBulk(*o, o->bulk[j]);
            o->bulk.erase(o->bulk.begin() + (long)j);
            any = true;
          } else {
            j++;
          }
        }
  return any;
}

void bulkFlushStores(Block& b) {
  for (auto& bc : b.bulk)
    if (!bc.toShared) performBulk(b, bc);
  b.bulk.clear();
}

Handler asyncHandler(const std::string& n) {
  static const std::unordered_map<std::string, Handler> t = {
      {"cp.async", hCpAsync}, {"cp.commit", hCpCommit},     {"cp.wait", hCpWait},     {"mbarrier", hMbar},
      {"bulk", hBulk},        {"bulk.commit", hBulkCommit}, {"bulk.wait", hBulkWait},
  };
  auto it = t.find(n);
  return it == t.end() ? nullptr : it->second;
}

}  // namespace cs
