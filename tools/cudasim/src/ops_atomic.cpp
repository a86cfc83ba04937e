// SPDX-License-Identifier: Apache-2.0
// Atomics and reductions, in global and shared memory.
#include <algorithm>
#include <cmath>

#include "ops_mem.h"

namespace cs {

namespace {

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

}  // namespace

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

namespace {

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

}  // namespace

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

}  // namespace cs
