// SPDX-License-Identifier: Apache-2.0
// Loads and stores of every width and vector length, and parameters.
#include <algorithm>
#include <cmath>

#include "ops_mem.h"

namespace cs {

namespace {

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

}  // namespace

Handler selectLoad(Ty ty, int reg, bool vec) { return pickTy(vec ? LDV : LD, ty, reg); }
Handler selectStore(Ty ty, int reg, bool vec) { return pickTy(vec ? STV : ST, ty, reg); }
Handler selectParam(Ty ty, int reg, int which) { return pickTy(which == 0 ? LDP : which == 1 ? LDF : STF, ty, reg); }

}  // namespace cs
