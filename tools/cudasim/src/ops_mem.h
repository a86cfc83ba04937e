// SPDX-License-Identifier: Apache-2.0
// Memory operations: what ops_address.cpp and the files of the single kinds of operations share.
#pragma once
#include "fpbits.h"
#include "lanes.h"

namespace cs {

struct B128 {
  uint64_t lo, hi;
};

inline bool isSharedAddr(const Op& op, uint64_t a) {
  return op.space == Space::Shared || op.space == Space::SharedCluster ||
         (op.space == Space::Generic && (a >> 56) == 1);
}
inline bool hasMod(const Op& op, const char* m) { return op.src && op.src->has(m); }

// Addresses of all lanes: register (32 or 64 bits wide) + offset.
inline void addresses(Ctx& c, const Op& op, uint64_t* addr) {
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
// Access pointer of one lane, checked; errors are thrown.
char* globalLane(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write);
char* sharedLane(Ctx& c, const Op& op, int lane, uint64_t addr, uint32_t bytes, bool write);

// One lane of a register as bits, and back (ops_atomic.cpp).
uint64_t laneBits(Ctx& c, uint32_t ref, int bytes, int i);
void setLane(Ctx& c, uint32_t ref, int bytes, int i, uint64_t v);
// What an atomic does to a value in memory; k is an AtomOp.
enum AtomOp { A_ADD, A_MIN, A_MAX, A_AND, A_OR, A_XOR, A_EXCH, A_CAS, A_INC, A_DEC };
uint64_t applyAtom(AtomOp k, Ty t, char* p, uint64_t b, uint64_t cmp, bool& changed);
// Bytes of an mbarrier's transaction that are expected or have arrived (ops_async.cpp).
void mbTx(char* p, int32_t bytes, bool expect);

// cp.async, mbarrier and cp.async.bulk by name, nullptr: none of these (ops_async.cpp). Asked by memHandler().
Handler asyncHandler(const std::string& name);

}  // namespace cs
