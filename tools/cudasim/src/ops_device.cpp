// SPDX-License-Identifier: Apache-2.0
// Operations beside loads and stores: address conversion, prefetches, fences, and the calls that device code makes of
// the system (printf, assert, malloc, free).
#include <algorithm>
#include <cmath>

#include "ops_mem.h"

namespace cs {

namespace {

// imm: value added (window base or minus it)
void hCvta(Ctx& c, const Op& op, uint32_t m) {
  uint64_t* d = R<uint64_t>(c, op.d);
  const uint64_t* a = R<uint64_t>(c, op.a);
  uint64_t k = (uint64_t)op.imm;
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    d[i] = a[i] + k;
  }
}
void hIsspace(Ctx& c, const Op& op, uint32_t m) {
  const uint64_t* a = R<uint64_t>(c, op.a);
  uint32_t r = 0;
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint64_t top = a[i] >> 56;
    bool v = false;
    bool isConst = false;
    if (top == 0) {
      Alloc* al = Memory::get().page(a[i]);
      isConst = al && al->kind == AllocKind::ConstSymbol;
    }
    switch (op.space) {
      case Space::Global:
        v = top == 0 && !isConst;
        break;
      case Space::Const:
        v = isConst;
        break;
      case Space::Shared:
        v = top == 1 && (a[i] & 0xffffffffffffffull) < (1u << kClusterShift);
        break;
      case Space::SharedCluster:
        v = top == 1;
        break;
      case Space::Local:
        v = top == 2;
        break;
      case Space::Param:
        v = top == 3;
        break;
      default:
        break;
    }
    r |= (uint32_t)v << i;
  }
  uint32_t* d = R<uint32_t>(c, op.d);
  *d = (*d & ~m) | r;
}
// address of a local variable: frame pointer + imm
void hLocalAddr(Ctx& c, const Op& op, uint32_t m) {
  const uint32_t* sp = (const uint32_t*)c.base[0];
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint64_t v = (uint64_t)sp[i] + (uint64_t)op.imm;
    if (op.esize == 4)
      R<uint32_t>(c, op.d)[i] = (uint32_t)v;
    else
      R<uint64_t>(c, op.d)[i] = v;
  }
}
void hMapa(Ctx& c, const Op& op, uint32_t m) {  // esize 4/8, n 1: shared-space address, 0: generic
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t rank = R<uint32_t>(c, op.b)[i];
    if (op.esize == 4) {
      uint32_t a = R<uint32_t>(c, op.a)[i];
      R<uint32_t>(c, op.d)[i] = (rank + 1) << kClusterShift | (a & ((1u << kClusterShift) - 1));
    } else {
      uint64_t a = R<uint64_t>(c, op.a)[i];
      uint64_t r = (uint64_t)(rank + 1) << kClusterShift | (a & ((1u << kClusterShift) - 1));
      R<uint64_t>(c, op.d)[i] = op.n ? r : kSharedWin + r;
    }
  }
}
void hGetRank(Ctx& c, const Op& op, uint32_t m) {
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint64_t a = op.esize == 4 ? R<uint32_t>(c, op.a)[i] : R<uint64_t>(c, op.a)[i] & 0xffffffffffffffull;
    uint64_t r = a >> kClusterShift;
    R<uint32_t>(c, op.d)[i] = r ? (uint32_t)(r - 1) : c.blk->clusterRank;
  }
}
// st.async: a address, b value, e mbarrier
void hStAsync(Ctx& c, const Op& op, uint32_t m) {
  uint64_t addr[32];
  addresses(c, op, addr);
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t total = (uint32_t)op.esize * op.n;
    char* p = sharedLane(c, op, i, addr[i] & 0xffffffffffffffull, total, true);
    for (int j = 0; j < op.n; j++) {
      uint64_t v = laneBits(c, op.ext ? op.ext[j] : op.b, op.esize, i);
      memcpy(p + j * op.esize, &v, op.esize);
    }
    uint64_t mb = op.addr32 ? R<uint32_t>(c, op.e)[i] : R<uint64_t>(c, op.e)[i] & 0xffffffffffffffull;
    mbTx(sharedLane(c, op, i, mb, 8, true), (int32_t)total, false);
    c.g->progress++;
  }
}
// a: address, b: bytes or none. Moves nothing; windows of shared, local and parameter memory are not prefetched at all.
void hPrefetch(Ctx& c, const Op& op, uint32_t m) {
  if (!config().prefetchcheck || (op.space != Space::Global && op.space != Space::Generic)) return;
  uint64_t addr[32];
  addresses(c, op, addr);
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    uint32_t bytes = op.b == kNoRef ? 1 : R<uint32_t>(c, op.b)[i];
    if (op.space == Space::Generic && addr[i] >> 56) continue;
    if (!bytes || Memory::get().find(addr[i], bytes)) continue;
    throw SimError{700, strf("prefetch of %u byte(s) at address 0x%llx, outside of every live allocation\n%s\nby %s",
                             bytes, (unsigned long long)addr[i], Memory::get().describe(addr[i]).c_str(),
                             threadName(*c.blk, *c.w, i).c_str())};
  }
}
void hNop(Ctx&, const Op&, uint32_t) {}
void hFence(Ctx& c, const Op& op, uint32_t m) {  // n: 1 gpu/sys scope
  if (c.race) raceFence(c, m, op.n != 0);
}
void hCreatePolicy(Ctx& c, const Op& op, uint32_t m) {
  for (uint32_t q = m; q; q &= q - 1) R<uint64_t>(c, op.d)[firstLane(q)] = 0x12f0000000000000ull;
}

uint64_t argBits(Ctx& c, const CallInfo& ci, size_t j, int lane, int bytes) {
  uint64_t v = 0;
  const auto& a = ci.args[j];
  memcpy(&v, c.base[a.src & 1] + (a.src & ~1u) + (size_t)lane * a.srcStride, (size_t)bytes);
  return v;
}
void setRet(Ctx& c, const CallInfo& ci, int lane, uint64_t v, int bytes) {
  if (ci.rets.empty()) return;
  memcpy(c.base[0] + ci.rets[0].dst + (size_t)lane * ci.rets[0].dstStride, &v, (size_t)bytes);
}
// host pointer to the bytes at a generic address, 0 if invalid
const char* peek(Ctx& c, int lane, uint64_t a, uint64_t& avail) {
  avail = 0;
  uint64_t off = a & 0xffffffffffffffull;
  switch (a >> 56) {
    case 0: {
      Alloc* al = Memory::get().find(a);
      if (!al) return nullptr;
      avail = al->start + al->size - a;
      return (const char*)(a + al->delta);
    }
    case 1:
      if (off < kSharedBase || off - kSharedBase >= c.blk->sharedSize) return nullptr;
      avail = c.blk->sharedSize - (off - kSharedBase);
      return c.blk->shared.data() + off - kSharedBase;
    case 2:
      if (off >= c.g->k->localBytes) return nullptr;
      avail = c.g->k->localBytes - off;
      return c.w->local + (size_t)lane * c.g->k->localBytes + off;
    default:
      return nullptr;
  }
}
std::string peekStr(Ctx& c, int lane, uint64_t a) {
  uint64_t n;
  const char* p = peek(c, lane, a, n);
  if (!p) return "(invalid string)";
  return std::string(p, strnlen(p, n));
}

void hVprintf(Ctx& c, const Op& op, uint32_t m) {
  const CallInfo& ci = *(const CallInfo*)op.info;
  for (uint32_t q = m; q; q &= q - 1) {
    int lane = firstLane(q);
    std::string fmt = peekStr(c, lane, argBits(c, ci, 0, lane, 8));
    uint64_t avail = 0, args = argBits(c, ci, 1, lane, 8);
    const char* p = args ? peek(c, lane, args, avail) : nullptr;
    uint64_t off = 0;
    std::string out;
    int nargs = 0;
    auto take = [&](int n) -> uint64_t {
      off = alignUp(off, (uint64_t)n);
      uint64_t v = 0;
      if (p && off + n <= avail) memcpy(&v, p + off, (size_t)n);
      off += n;
      nargs++;
      return v;
    };
    for (size_t i = 0; i < fmt.size(); i++) {
      if (fmt[i] != '%') {
        out += fmt[i];
        continue;
      }
      if (i + 1 < fmt.size() && fmt[i + 1] == '%') {
        out += '%';
        i++;
        continue;
      }
      std::string spec = "%";
      size_t j = i + 1;
      bool isLong = false;
      while (j < fmt.size() && !strchr("diouxXcsfFeEgGaAp", fmt[j])) {
        if (fmt[j] == '*')
          spec += std::to_string((int32_t)take(4));
        else if (fmt[j] == 'l' || fmt[j] == 'j' || fmt[j] == 'z' || fmt[j] == 't')
          isLong = true;
        else if (fmt[j] == 'h') {
        } else
          spec += fmt[j];
        j++;
      }
      if (j >= fmt.size()) {
        out += fmt.substr(i);
        break;
      }
      char cv = fmt[j];
      if (strchr("di", cv)) {
        if (isLong)
          out += strf((spec + "lld").c_str(), (long long)take(8));
        else
          out += strf((spec + "d").c_str(), (int)take(4));
      } else if (strchr("ouxX", cv)) {
        if (isLong)
          out += strf((spec + "ll" + cv).c_str(), (unsigned long long)take(8));
        else
          out += strf((spec + cv).c_str(), (unsigned)take(4));
      } else if (cv == 'c') {
        out += strf((spec + "c").c_str(), (int)take(4));
      } else if (cv == 's') {
        out += strf((spec + "s").c_str(), peekStr(c, lane, take(8)).c_str());
      } else if (cv == 'p') {
        out += strf((spec + "p").c_str(), (void*)take(8));
      } else {
        out += strf((spec + cv).c_str(), bitsd(take(8)));
      }
      i = j;
    }
    fwrite(out.data(), 1, out.size(), stdout);
    setRet(c, ci, lane, (uint64_t)nargs, 4);
  }
  fflush(stdout);
}
void hAssert(Ctx& c, const Op& op, uint32_t m) {
  const CallInfo& ci = *(const CallInfo*)op.info;
  int lane = firstLane(m);
  std::string msg = peekStr(c, lane, argBits(c, ci, 0, lane, 8)), file = peekStr(c, lane, argBits(c, ci, 1, lane, 8)),
              fn = peekStr(c, lane, argBits(c, ci, 3, lane, 8));
  unsigned line = (unsigned)argBits(c, ci, 2, lane, 4);
  Block& b = *c.blk;
  Warp& w = *c.w;
  fflush(stdout);
  fprintf(stderr, "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n", file.c_str(), line,
          fn.c_str(), b.ctaid[0], b.ctaid[1], b.ctaid[2], w.tid[0][lane], w.tid[1][lane], w.tid[2][lane], msg.c_str());
  throw SimError{710, strf("device-side assertion `%s` failed at %s:%u, %s", msg.c_str(), file.c_str(), line,
                           threadName(b, w, lane).c_str())};
}
void hMalloc(Ctx& c, const Op& op, uint32_t m) {
  const CallInfo& ci = *(const CallInfo*)op.info;
  for (uint32_t q = m; q; q &= q - 1) {
    int lane = firstLane(q);
    uint64_t n = argBits(c, ci, 0, lane, 8);
    Alloc* a =
        n && n <= (64u << 20) ? Memory::get().allocate(n, AllocKind::Device, c.g->lp.device, "device malloc") : nullptr;
    setRet(c, ci, lane, a ? a->start : 0, 8);
  }
}
void hFree(Ctx& c, const Op& op, uint32_t m) {
  const CallInfo& ci = *(const CallInfo*)op.info;
  for (uint32_t q = m; q; q &= q - 1) {
    int lane = firstLane(q);
    uint64_t p = argBits(c, ci, 0, lane, 8);
    if (!p) continue;
    Alloc* a = Memory::get().find(p);
    if (!a || a->start != p || a->label != "device malloc")
      throw SimError{719, strf("device free() of an invalid pointer 0x%llx, %s", (unsigned long long)p,
                               threadName(*c.blk, *c.w, lane).c_str())};
    c.lo = 1;
    c.hi = 0;
    Memory::get().release(a);
  }
}
void hTrap(Ctx& c, const Op&, uint32_t m) {
  throw SimError{719, "trap instruction executed by " + threadName(*c.blk, *c.w, firstLane(m))};
}

}  // namespace

Handler memHandler(const std::string& n) {
  static const std::unordered_map<std::string, Handler> t = {{"cvta", hCvta},
                                                             {"isspacep", hIsspace},
                                                             {"localaddr", hLocalAddr},
                                                             {"mapa", hMapa},
                                                             {"getctarank", hGetRank},
                                                             {"prefetch", hPrefetch},
                                                             {"st.async", hStAsync},
                                                             {"nop", hNop},
                                                             {"fence", hFence},
                                                             {"createpolicy", hCreatePolicy},
                                                             {"trap", hTrap}};
  auto it = t.find(n);
  return it == t.end() ? asyncHandler(n) : it->second;
}

Handler builtinHandler(const std::string& n) {
  if (n == "vprintf") return hVprintf;
  if (n == "__assertfail") return hAssert;
  if (n == "malloc") return hMalloc;
  if (n == "free") return hFree;
  return nullptr;
}

}  // namespace cs
