// SPDX-License-Identifier: Apache-2.0
// Memory operations: address resolution and checking, loads, stores, atomics,
// asynchronous copies, mbarriers, address conversion, device runtime calls.
#include <algorithm>
#include <cmath>

#include "fpbits.h"
#include "lanes.h"

namespace cs {

// ---------------------------------------------------------------- faults

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

static inline void addresses(Ctx& c, const Op& op, uint64_t* addr) {
  if (op.addr32) {
    const uint32_t* a = R<uint32_t>(c, op.a);
    uint32_t k = (uint32_t)op.imm;
    for (int i = 0; i < 32; i++) addr[i] = (uint32_t)(a[i] + k);
  } else {
    const uint64_t* a = R<uint64_t>(c, op.a);
    uint64_t k = (uint64_t)op.imm;
    for (int i = 0; i < 32; i++) addr[i] = a[i] + k;
  }
}

// Global address of one lane through the allocation table.
static char* globalLane(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write) {
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

static char* sharedLane(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write) {
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

// ---------------------------------------------------------------- loads, stores

namespace {

struct B128 {
  uint64_t lo, hi;
};

inline bool isSharedAddr(const Op& op, uint64_t a) {
  return op.space == Space::Shared || op.space == Space::SharedCluster ||
         (op.space == Space::Generic && (a >> 56) == 1);
}
inline bool hasMod(const Op& op, const char* m) { return op.src && op.src->has(m); }

// Race detector hooks of volatile, relaxed, acquire and release accesses.
inline void raceAcquire(Ctx& c, const Op& op, uint32_t m, const uint64_t* addr) {
  if (!c.race || !(op.flags & F_ACQUIRE)) return;
  for (uint32_t k = m; k; k &= k - 1) {
    int lane = firstLane(k);
    uint64_t a = addr[lane];
    if (isSharedAddr(op, a)) {
      raceSharedSync(c, lane, (uint32_t)a & 0xfffff, false, false, true, hasMod(op, "acquire"));
    } else if (!(a >> 56)) {
      raceAtomic(c, op, lane, a, false, true);
    }
  }
}
inline void raceRelease(Ctx& c, const Op& op, uint32_t m, const uint64_t* addr) {
  if (!c.race || !(op.flags & F_RELEASE)) return;
  for (uint32_t k = m; k; k &= k - 1) {
    int lane = firstLane(k);
    uint64_t a = addr[lane];
    if (isSharedAddr(op, a)) {
      raceSharedSync(c, lane, (uint32_t)a & 0xfffff, true, hasMod(op, "release"), false, false);
    } else if (!(a >> 56)) {
      raceAtomic(c, op, lane, a, true, false);
    }
  }
}

template <class E, class G>
void hLoad(Ctx& c, const Op& op, uint32_t m) {
  uint64_t addr[32];
  char* ptr[32];
  addresses(c, op, addr);
  resolve(c, op, m, addr, ptr, sizeof(E), false);
  raceAcquire(c, op, m, addr);
  if (op.d == kNoRef) return;
  G* d = R<G>(c, op.d);
  if (m == kFull) {
    for (int i = 0; i < 32; i++) d[i] = (G) * (const E*)ptr[i];
  } else {
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      d[i] = (G) * (const E*)ptr[i];
    }
  }
}
template <class E, class G>
void hLoadV(Ctx& c, const Op& op, uint32_t m) {
  uint64_t addr[32];
  char* ptr[32];
  addresses(c, op, addr);
  int n = op.n;
  resolve(c, op, m, addr, ptr, (uint32_t)(sizeof(E) * n), false);
  raceAcquire(c, op, m, addr);
  for (int j = 0; j < n; j++) {
    if (op.ext[j] == kNoRef) continue;
    G* d = R<G>(c, op.ext[j]);
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      d[i] = (G)((const E*)ptr[i])[j];
    }
  }
}
template <class E, class G>
void hStore(Ctx& c, const Op& op, uint32_t m) {
  uint64_t addr[32];
  char* ptr[32];
  addresses(c, op, addr);
  resolve(c, op, m, addr, ptr, sizeof(E), true);
  const G* s = R<G>(c, op.b);
  if (m == kFull) {
    for (int i = 0; i < 32; i++) *(E*)ptr[i] = (E)s[i];
  } else {
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      *(E*)ptr[i] = (E)s[i];
    }
  }
  c.g->progress++;
  raceRelease(c, op, m, addr);
}
template <class E, class G>
void hStoreV(Ctx& c, const Op& op, uint32_t m) {
  uint64_t addr[32];
  char* ptr[32];
  addresses(c, op, addr);
  int n = op.n;
  resolve(c, op, m, addr, ptr, (uint32_t)(sizeof(E) * n), true);
  for (int j = 0; j < n; j++) {
    const G* s = R<G>(c, op.ext[j]);
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      ((E*)ptr[i])[j] = (E)s[i];
    }
  }
  c.g->progress++;
  raceRelease(c, op, m, addr);
}

// Kernel parameter at a fixed offset: the same value for all lanes.
template <class E, class G>
void hLdParam(Ctx& c, const Op& op, uint32_t m) {
  const char* p = c.g->lp.params.data() + op.imm;
  int n = op.n;
  for (int j = 0; j < n; j++) {
    uint32_t ref = op.ext ? op.ext[j] : op.d;
    if (ref == kNoRef) continue;
    G v = (G)((const E*)p)[j];
    G* d = R<G>(c, ref);
    if (m == kFull)
      for (int i = 0; i < 32; i++) d[i] = v;
    else
      for (uint32_t k = m; k; k &= k - 1) d[firstLane(k)] = v;
  }
}
// Function parameter storage: bytes per lane inside the register file.
// a: reference, imm: offset, target: stride
template <class E, class G>
void hLdFnParam(Ctx& c, const Op& op, uint32_t m) {
  const char* p = c.base[0] + op.a + op.imm;
  for (int j = 0; j < op.n; j++) {
    uint32_t ref = op.ext ? op.ext[j] : op.d;
    if (ref == kNoRef) continue;
    G* d = R<G>(c, ref);
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      d[i] = (G)((const E*)(p + (size_t)i * op.target))[j];
    }
  }
}
template <class E, class G>
void hStFnParam(Ctx& c, const Op& op, uint32_t m) {
  char* p = c.base[0] + op.a + op.imm;
  for (int j = 0; j < op.n; j++) {
    const G* s = R<G>(c, op.ext ? op.ext[j] : op.b);
    for (uint32_t k = m; k; k &= k - 1) {
      int i = firstLane(k);
      ((E*)(p + (size_t)i * op.target))[j] = (E)s[i];
    }
  }
}

enum Which { LD, LDV, ST, STV, LDP, LDF, STF };
template <class E, class G>
Handler pick(Which w) {
  switch (w) {
    case LD:
      return hLoad<E, G>;
    case LDV:
      return hLoadV<E, G>;
    case ST:
      return hStore<E, G>;
    case STV:
      return hStoreV<E, G>;
    case LDP:
      return hLdParam<E, G>;
    case LDF:
      return hLdFnParam<E, G>;
    case STF:
      return hStFnParam<E, G>;
  }
  return nullptr;
}
template <class E>
Handler pickReg(Which w, int reg) {
  switch (reg) {
    case 2:
      return pick<E, uint16_t>(w);
    case 4:
      return pick<E, uint32_t>(w);
    case 8:
      return pick<E, uint64_t>(w);
    default:
      return nullptr;
  }
}
Handler pickTy(Which w, Ty t, int reg) {
  if (tyBytes(t) == 16 || reg == 16) return pick<B128, B128>(w);
  switch (t) {
    case Ty::S8:
      return pickReg<int8_t>(w, reg);
    case Ty::S16:
      return pickReg<int16_t>(w, reg);
    case Ty::S32:
      return pickReg<int32_t>(w, reg);
    default:
      break;
  }
  switch (tyBytes(t)) {
    case 1:
      return pickReg<uint8_t>(w, reg);
    case 2:
      return pickReg<uint16_t>(w, reg);
    case 4:
      return pickReg<uint32_t>(w, reg);
    case 8:
      return pickReg<uint64_t>(w, reg);
    default:
      return nullptr;
  }
}

// ---------------------------------------------------------------- atomics

enum AtomOp { A_ADD, A_MIN, A_MAX, A_AND, A_OR, A_XOR, A_EXCH, A_CAS, A_INC, A_DEC };

template <class T>
uint64_t bitsOf(T v) {
  uint64_t r = 0;
  memcpy(&r, &v, sizeof v);
  return r;
}
template <class T>
T fromBits(uint64_t b) {
  T v;
  memcpy(&v, &b, sizeof v);
  return v;
}

template <class T>
T intAtom(AtomOp k, T old, T b, T cmp) {
  using U = std::make_unsigned_t<T>;
  switch (k) {
    case A_ADD:
      return (T)((U)old + (U)b);
    case A_MIN:
      return std::min(old, b);
    case A_MAX:
      return std::max(old, b);
    case A_AND:
      return old & b;
    case A_OR:
      return old | b;
    case A_XOR:
      return old ^ b;
    case A_EXCH:
      return b;
    case A_CAS:
      return old == b ? cmp : old;  // b = compare value, cmp = new value
    case A_INC:
      return (U)old >= (U)b ? (T)0 : (T)(old + 1);
    case A_DEC:
      return (old == 0 || (U)old > (U)b) ? b : (T)(old - 1);
  }
  return old;
}
float fpAtomF(AtomOp k, float o, float b) {
  if (k == A_ADD) return canon(o + b);
  if (o != o) return b;
  if (b != b) return o;
  return k == A_MIN ? std::min(o, b) : std::max(o, b);
}
uint16_t halfAtom(AtomOp k, uint16_t o, uint16_t b, bool bf) {
  float x = bf ? bf16ToFloat(o) : halfToFloat(o), y = bf ? bf16ToFloat(b) : halfToFloat(b);
  float r = fpAtomF(k, x, y);
  return bf ? floatToBf16Rn(r) : floatToHalfRn(r);
}

// One atomic operation on memory; returns the old value.
uint64_t applyAtom(AtomOp k, Ty t, char* p, uint64_t b, uint64_t cmp, bool& changed) {
  uint64_t old = 0, nw = 0;
  int n = tyBytes(t);
  memcpy(&old, p, (size_t)n);
  if (k == A_EXCH) {
    nw = b;
  } else {
    switch (t) {
      case Ty::F32:
        nw = bitsOf(fpAtomF(k, fromBits<float>(old), fromBits<float>(b)));
        break;
      case Ty::F64:
        nw = bitsOf(canon(fromBits<double>(old) + fromBits<double>(b)));
        break;
      case Ty::F16:
        nw = halfAtom(k, (uint16_t)old, (uint16_t)b, false);
        break;
      case Ty::BF16:
        nw = halfAtom(k, (uint16_t)old, (uint16_t)b, true);
        break;
      case Ty::F16x2:
      case Ty::BF16x2: {
        bool bf = t == Ty::BF16x2;
        nw = (uint32_t)halfAtom(k, (uint16_t)old, (uint16_t)b, bf) |
             (uint32_t)halfAtom(k, (uint16_t)(old >> 16), (uint16_t)(b >> 16), bf) << 16;
        break;
      }
      case Ty::S32:
        nw = bitsOf(intAtom<int32_t>(k, (int32_t)old, (int32_t)b, (int32_t)cmp));
        break;
      case Ty::S64:
        nw = bitsOf(intAtom<int64_t>(k, (int64_t)old, (int64_t)b, (int64_t)cmp));
        break;
      case Ty::U64:
      case Ty::B64:
        nw = intAtom<uint64_t>(k, old, b, cmp);
        break;
      case Ty::B16:
        nw = intAtom<uint16_t>(k, (uint16_t)old, (uint16_t)b, (uint16_t)cmp);
        break;
      default:
        nw = intAtom<uint32_t>(k, (uint32_t)old, (uint32_t)b, (uint32_t)cmp);
        break;
    }
  }
  uint64_t mask = n == 8 ? ~0ull : (1ull << (8 * n)) - 1;
  changed |= ((old ^ nw) & mask) != 0;
  memcpy(p, &nw, (size_t)n);
  return old;
}

uint64_t laneBits(Ctx& c, uint32_t ref, int bytes, int i) {
  switch (bytes) {
    case 2:
      return R<uint16_t>(c, ref)[i];
    case 8:
      return R<uint64_t>(c, ref)[i];
    default:
      return R<uint32_t>(c, ref)[i];
  }
}
void setLane(Ctx& c, uint32_t ref, int bytes, int i, uint64_t v) {
  switch (bytes) {
    case 2:
      R<uint16_t>(c, ref)[i] = (uint16_t)v;
      break;
    case 8:
      R<uint64_t>(c, ref)[i] = v;
      break;
    default:
      R<uint32_t>(c, ref)[i] = (uint32_t)v;
      break;
  }
}

// target: AtomOp | type << 8. d: result or none; b: operand; c: second operand;
// vectors: ext[0..n) sources, ext[n..2n) destinations.
void hAtom(Ctx& c, const Op& op, uint32_t m) {
  AtomOp k = (AtomOp)(op.target & 255);
  Ty t = (Ty)(op.target >> 8);
  int eb = tyBytes(t);
  uint64_t addr[32];
  char* ptr[32];
  addresses(c, op, addr);
  resolve(c, op, m, addr, ptr, (uint32_t)(eb * op.n), true, true);
  bool changed = false;
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    if (op.ext) {
      for (int j = 0; j < op.n; j++) {
        uint64_t old = applyAtom(k, t, ptr[i] + j * eb, laneBits(c, op.ext[j], eb, i), 0, changed);
        if (op.ext[op.n + j] != kNoRef) setLane(c, op.ext[op.n + j], eb, i, old);
      }
    } else {
      uint64_t b = laneBits(c, op.b, eb, i), cmp = op.c != kNoRef ? laneBits(c, op.c, eb, i) : 0;
      uint64_t old = applyAtom(k, t, ptr[i], b, cmp, changed);
      if (op.d != kNoRef) setLane(c, op.d, eb, i, old);
    }
    if (c.race) {
      if (isSharedAddr(op, addr[i])) {
        bool both = hasMod(op, "acq_rel");
        raceSharedSync(c, i, (uint32_t)addr[i] & 0xfffff, true, both || hasMod(op, "release"), true,
                       both || hasMod(op, "acquire"));
      } else if (!(addr[i] >> 56))
        raceAtomic(c, op, i, addr[i], true, true);
    }
  }
  if (changed) c.g->progress++;
}
void hAtom128(Ctx& c, const Op& op, uint32_t m) {
  AtomOp k = (AtomOp)(op.target & 255);
  uint64_t addr[32];
  char* ptr[32];
  addresses(c, op, addr);
  resolve(c, op, m, addr, ptr, 16, true, true);
  for (uint32_t q = m; q; q &= q - 1) {
    int i = firstLane(q);
    B128 old, b = R<B128>(c, op.b)[i], nw;
    memcpy(&old, ptr[i], 16);
    if (k == A_CAS) {
      nw = old.lo == b.lo && old.hi == b.hi ? R<B128>(c, op.c)[i] : old;
    } else {
      nw = b;
    }
    if (memcmp(&nw, &old, 16)) c.g->progress++;
    memcpy(ptr[i], &nw, 16);
    if (op.d != kNoRef) R<B128>(c, op.d)[i] = old;
    if (c.race && !(addr[i] >> 56)) raceAtomic(c, op, i, addr[i], true, true);
  }
}

// ---------------------------------------------------------------- cp.async

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

// ---------------------------------------------------------------- mbarrier

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
void mbTx(char* p, int32_t bytes, bool expect) {
  MBar b = mbGet(p);
  b.tx += expect ? bytes : -bytes;
  if (!expect) mbCheck(b);
  mbPut(p, b);
}

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

// ---------------------------------------------------------------- cp.async.bulk

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

// ---------------------------------------------------------------- address conversion

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

// ---------------------------------------------------------------- device runtime calls

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

Handler selectLoad(Ty ty, int reg, bool vec) { return pickTy(vec ? LDV : LD, ty, reg); }
Handler selectStore(Ty ty, int reg, bool vec) { return pickTy(vec ? STV : ST, ty, reg); }
Handler selectParam(Ty ty, int reg, int which) { return pickTy(which == 0 ? LDP : which == 1 ? LDF : STF, ty, reg); }

bool atomCode(std::string_view n, int& code) {
  static const std::pair<const char*, AtomOp> t[] = {{"add", A_ADD}, {"min", A_MIN}, {"max", A_MAX},   {"and", A_AND},
                                                     {"or", A_OR},   {"xor", A_XOR}, {"exch", A_EXCH}, {"cas", A_CAS},
                                                     {"inc", A_INC}, {"dec", A_DEC}};
  for (auto& x : t)
    if (n == x.first) {
      code = x.second;
      return true;
    }
  return false;
}
Handler atomHandler(Ty t) { return tyBytes(t) == 16 ? hAtom128 : hAtom; }

Handler memHandler(const std::string& n) {
  static const std::unordered_map<std::string, Handler> t = {{"cp.async", hCpAsync},
                                                             {"cp.commit", hCpCommit},
                                                             {"cp.wait", hCpWait},
                                                             {"mbarrier", hMbar},
                                                             {"bulk", hBulk},
                                                             {"bulk.commit", hBulkCommit},
                                                             {"bulk.wait", hBulkWait},
                                                             {"cvta", hCvta},
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
  return it == t.end() ? nullptr : it->second;
}
Handler builtinHandler(const std::string& n) {
  if (n == "vprintf") return hVprintf;
  if (n == "__assertfail") return hAssert;
  if (n == "malloc") return hMalloc;
  if (n == "free") return hFree;
  return nullptr;
}

}  // namespace cs
