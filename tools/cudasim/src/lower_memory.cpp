// SPDX-License-Identifier: Apache-2.0
// Lowering: loads, stores, atomics, prefetches, mbarriers and asynchronous copies.
#include "lowerer.h"

namespace cs {

void Lowerer::emitLd(const Instr& in) {
  Ty ty = lastType(in);
  Op op;
  op.cls = C_LDST;
  op.space = spaceOfMods(in, Space::Generic);
  int n = vecLen(in);
  const Operand& d = in.ops.at(0);
  const Operand& addr = in.ops.at(1);
  int w = d.kind == Operand::Vec ? 0 : elemRegWidth(d, ty);
  std::vector<uint32_t> refs;
  if (d.kind == Operand::Vec) {
    for (auto& s : d.sub)
      if (s.kind == Operand::Reg) w = regWidth(s.reg);
    if (!w) w = std::max(2, tyBytes(ty));
    for (auto& s : d.sub) refs.push_back(s.kind == Operand::Sink ? kNoRef : dst(s, w));
    if ((int)refs.size() != n) fail("vector length");
    op.ext = ext(refs);
  } else {
    op.d = d.kind == Operand::Sink ? kNoRef : dst(d, w);
  }
  op.n = (uint8_t)n;
  op.esize = (uint8_t)tyBytes(ty);
  if (op.space == Space::Param) {
    auto it = cur_->slots.find(addr.name);
    if (addr.reg < 0 && it != cur_->slots.end()) {
      op.a = it->second.off;
      op.target = (int32_t)it->second.stride;
      op.imm = addr.imm;
      op.fn = selectParam(ty, w, 1);
      if (!op.fn) fail("ld.param type");
      push(op);
      return;
    }
    if (addr.reg < 0 && cur_->f->isEntry) {
      for (auto& p : k_->params)
        if (addr.name == p.name) {
          op.imm = (int64_t)p.offset + addr.imm;
          if ((uint64_t)op.imm + (uint64_t)op.esize * op.n > alignUp(k_->paramBytes, 8))
            fail("ld.param beyond the parameters");
          op.fn = selectParam(ty, w, 0);
          if (!op.fn) fail("ld.param type");
          push(op);
          return;
        }
    }
    if (addr.reg < 0) fail("unknown parameter " + std::string(addr.name));
  }
  address(op, addr);
  op.fn = selectLoad(ty, w, d.kind == Operand::Vec);
  if (!op.fn) fail("load type");
  if (in.has("volatile") || in.has("relaxed") || in.has("acquire") || in.has("mmio")) {
    op.kind = K_SPIN;
    op.flags |= F_VOLATILE | F_ACQUIRE;
    if (!in.has("volatile")) op.flags |= F_STRONG;
  }
  push(op);
}

void Lowerer::emitSt(const Instr& in) {
  Ty ty = lastType(in);
  Op op;
  op.cls = C_LDST;
  op.space = spaceOfMods(in, Space::Generic);
  op.n = (uint8_t)vecLen(in);
  op.esize = (uint8_t)tyBytes(ty);
  op.flags = F_WRITE;
  const Operand& addr = in.ops.at(0);
  const Operand& v = in.ops.at(1);
  int w = 0;
  if (v.kind == Operand::Vec) {
    for (auto& s : v.sub)
      if (s.kind == Operand::Reg) w = regWidth(s.reg);
    if (!w) w = std::max(2, tyBytes(ty));
    std::vector<uint32_t> refs;
    for (auto& s : v.sub) refs.push_back(src(s, w, ty));
    if ((int)refs.size() != op.n) fail("vector length");
    op.ext = ext(refs);
  } else {
    w = elemRegWidth(v, ty);
    op.b = src(v, w, ty);
  }
  if (op.space == Space::Param) {
    auto it = cur_->slots.find(addr.name);
    if (addr.reg >= 0 || it == cur_->slots.end()) fail("st.param address");
    op.a = it->second.off;
    op.target = (int32_t)it->second.stride;
    op.imm = addr.imm;
    op.fn = selectParam(ty, w, 2);
    if (!op.fn) fail("st.param type");
    push(op);
    return;
  }
  address(op, addr);
  op.fn = selectStore(ty, w, v.kind == Operand::Vec);
  if (!op.fn) fail("store type");
  if (in.has("volatile") || in.has("relaxed") || in.has("release") || in.has("mmio")) {
    op.flags |= F_VOLATILE | F_RELEASE;
    if (!in.has("volatile")) op.flags |= F_STRONG;
  }
  push(op);
}

void Lowerer::emitAtom(const Instr& in, bool red) {
  Ty ty = lastType(in);
  int code = -1;
  for (auto& m : in.mods)
    if (atomCode(m, code)) break;
  if (code < 0) fail("atomic operation");
  Op op;
  op.cls = C_LDST;
  op.kind = K_SPIN;
  op.space = spaceOfMods(in, Space::Generic);
  op.flags = F_WRITE | F_ATOMIC;
  op.n = (uint8_t)vecLen(in);
  op.target = code | (int)ty << 8;
  size_t i = red ? 0 : 1;
  address(op, in.ops.at(i));
  int w = widthOfTy(ty);
  const Operand& v = in.ops.at(i + 1);
  if (v.kind == Operand::Vec && ty != Ty::B128) {
    std::vector<uint32_t> refs;
    for (auto& s : v.sub) refs.push_back(src(s, w, ty));
    if ((int)refs.size() != op.n) fail("vector length");
    for (int j = 0; j < op.n; j++)
      refs.push_back(red                                                 ? kNoRef
                     : in.ops[0].sub.at((size_t)j).kind == Operand::Sink ? kNoRef
                                                                         : dst(in.ops[0].sub.at((size_t)j), w));
    op.ext = ext(refs);
  } else {
    op.b = src(v, w, ty);
    if (!red && in.ops[0].kind != Operand::Sink) op.d = dst(in.ops[0], w);
    if (code == 7 /*cas*/) op.c = src(in.ops.at(i + 2), w, ty);
  }
  op.fn = atomHandler(ty);
  op.esize = (uint8_t)tyBytes(ty);
  if (op.space != Space::Shared) k_->usesGlobalAtomics = true;
  push(op);
}

void Lowerer::emitNop(const Instr&, Cls c) {
  Op op;
  op.fn = memHandler("nop");
  op.cls = c;
  push(op);
}

void Lowerer::emitPrefetch(const Instr& in) {
  Op op;
  op.fn = memHandler("prefetch");
  op.cls = C_LDST;
  op.space = spaceOfMods(in, Space::Generic);
  address(op, in.ops.at(0));
  if (in.has("bulk")) op.b = src(in.ops.at(1), 4);
  push(op);
}

void Lowerer::emitMbarrier(const Instr& in) {
  std::string_view k = in.mods[1];
  Op op;
  op.fn = memHandler("mbarrier");
  op.cls = C_SYNC;
  op.space = spaceOfMods(in, Space::Generic);
  auto w32 = [&](const Operand& o) { return src(o, 4); };
  if (k == "init") {
    op.n = 0;
    address(op, in.ops.at(0));
    op.b = w32(in.ops.at(1));
  } else if (k == "inval") {
    op.n = 6;
    address(op, in.ops.at(0));
  } else if (k == "arrive" || k == "arrive_drop") {
    op.n = k == "arrive" ? 1 : 2;
    size_t i = 0;
    if (in.ops.at(0).kind != Operand::Mem) {
      if (in.ops[0].kind == Operand::Reg) op.d = dst(in.ops[0], 8);
      i = 1;
    }
    address(op, in.ops.at(i));
    if (in.has("expect_tx"))
      op.target = 1;
    else
      op.target = 0;
    if (i + 1 < in.ops.size()) op.b = w32(in.ops[i + 1]);
  } else if (k == "expect_tx" || k == "complete_tx") {
    op.n = k == "expect_tx" ? 3 : 4;
    address(op, in.ops.at(0));
    op.b = w32(in.ops.at(1));
  } else if (k == "test_wait" || k == "try_wait") {
    op.n = 5;
    op.kind = K_SPIN;
    op.d = dst(in.ops.at(0), 1);
    address(op, in.ops.at(1));
    if (in.has("parity")) {
      op.flags = F_NEG;
      op.b = w32(in.ops.at(2));
    } else {
      op.b = src(in.ops.at(2), 8);
    }
  } else if (k == "pending_count") {
    op.n = 7;
    op.d = dst(in.ops.at(0), 4);
    op.a = src(in.ops.at(1), 8);
  } else {
    fail("mbarrier operation");
  }
  push(op);
}

uint32_t Lowerer::memReg(const Operand& o, bool& is32) {
  if (o.kind != Operand::Mem) fail("memory operand expected");
  if (o.reg >= 0 && o.imm == 0 && o.name.empty()) {
    is32 = regWidth(o.reg) == 4;
    return regRef(o.reg);
  }
  if (o.reg >= 0) {  // register + offset: add into a temporary
    is32 = regWidth(o.reg) == 4;
    int w = is32 ? 4 : 8;
    Op op;
    op.fn = opTable().at(is32 ? "add.b32" : "add.b64").fn;
    op.a = regRef(o.reg);
    op.b = constant(w, (uint64_t)o.imm);
    op.d = temp(w);
    push(op);
    return op.d;
  }
  Operand s;
  s.kind = Operand::Sym;
  s.name = o.name;
  s.imm = o.imm;
  is32 = false;
  return symbolAddr(s, 8);
}

void Lowerer::emitCp(const Instr& in) {
  auto& m = in.mods;
  Op op;
  op.cls = C_LDST;
  if (m.size() > 2 && m[1] == "async" && m[2] == "bulk") {
    if (in.has("tensor")) fail("tensor copies");
    if (in.has("commit_group")) {
      op.fn = memHandler("bulk.commit");
      push(op);
      return;
    }
    if (in.has("wait_group")) {
      op.fn = memHandler("bulk.wait");
      op.imm = in.ops.at(0).imm;
      push(op);
      return;
    }
    if (in.has("prefetch")) return emitPrefetch(in);
    bulkCopy(in, 0);
    return;
  }
  if (m[1] == "reduce") {  // cp.reduce.async.bulk
    int code = -1;
    for (auto& x : m)
      if (x != "reduce" && atomCode(x, code)) break;
    if (code < 0) fail("cp.reduce operation");
    bulkCopy(in, 1 << 24 | code | (int)lastType(in) << 8);
    return;
  }
  if (m[1] != "async") fail("cp variant");
  if (in.has("commit_group")) {
    op.fn = memHandler("cp.commit");
    push(op);
    return;
  }
  if (in.has("wait_group") || in.has("wait_all")) {
    op.fn = memHandler("cp.wait");
    op.imm = in.has("wait_all") ? -1 : in.ops.at(0).imm;
    push(op);
    return;
  }
  if (in.has("mbarrier")) {
    op.fn = memHandler("mbarrier");
    op.n = in.has("noinc") ? 9 : 8;
    op.space = spaceOfMods(in, Space::Generic);
    address(op, in.ops.at(0));
    push(op);
    return;
  }
  // cp.async.ca/cg.shared.global [dst], [src], size{, src-size | ignore-pred}{, policy}
  op.fn = memHandler("cp.async");
  op.space = Space::Shared;
  address(op, in.ops.at(0));
  const Operand& s = in.ops.at(1);
  if (s.kind != Operand::Mem || s.reg < 0) fail("cp.async source");
  op.b = regRef(s.reg);
  if (regWidth(s.reg) != 8) fail("cp.async source width");
  op.target = (int32_t)s.imm;
  op.n = (uint8_t)in.ops.at(2).imm;
  if (in.ops.size() > 3) {
    const Operand& x = in.ops[3];
    if (x.kind == Operand::Reg && regWidth(x.reg) == 1)
      op.e = regRef(x.reg);
    else if (x.kind == Operand::Imm || (x.kind == Operand::Reg && regWidth(x.reg) == 4))
      op.c = src(x, 4);
  }
  push(op);
}

void Lowerer::bulkCopy(const Instr& in, int reduce) {
  Op op;
  op.cls = C_LDST;
  op.fn = memHandler("bulk");
  bool d32, s32, m32 = false;
  // first two space modifiers: destination, source
  std::vector<Space> sp;
  for (auto& x : in.mods) {
    if (x == "global") sp.push_back(Space::Global);
    if (x == "shared::cta") sp.push_back(Space::Shared);
    if (x == "shared::cluster") sp.push_back(Space::SharedCluster);
    if (x == "multicast::cluster") fail("multicast bulk copies");
  }
  if (sp.size() < 2) fail("cp.async.bulk spaces");
  op.a = memReg(in.ops.at(0), d32);
  op.b = memReg(in.ops.at(1), s32);
  op.c = src(in.ops.at(2), 4);
  op.target = reduce;
  if (sp[0] == Space::Global) {
    op.n = 1;
  } else {
    op.n = sp[1] == Space::Global ? 0 : 2;
    op.e = memReg(in.ops.at(3), m32);
    if (reduce) fail("cp.reduce into shared memory");
  }
  op.addr32 = (uint8_t)(d32 | s32 << 1 | m32 << 2);
  push(op);
}

}  // namespace cs
