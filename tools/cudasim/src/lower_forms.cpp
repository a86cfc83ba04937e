// SPDX-License-Identifier: Apache-2.0
// Lowering: calls, comparisons, moves, barriers, conversions, and what is one row of the operation table.
#include "lowerer.h"

namespace cs {

void Lowerer::emitCall(const Instr& in) {
  size_t i = 0;
  const Operand* rets = nullptr;
  const Operand* args = nullptr;
  if (in.ops.at(0).kind == Operand::List) rets = &in.ops[i++];
  const Operand& target = in.ops.at(i++);
  if (i < in.ops.size() && in.ops[i].kind == Operand::List) args = &in.ops[i++];
  k_->callStore.push_back(std::make_unique<CallInfo>());
  CallInfo& ci = *k_->callStore.back();
  auto actual = [&](const Operand& o) {
    CallInfo::Copy c{};
    if (o.kind == Operand::Sym) {
      auto it = cur_->slots.find(o.name);
      if (it == cur_->slots.end()) fail("call argument " + std::string(o.name));
      c.src = it->second.off;
      c.srcStride = it->second.stride;
      c.bytes = it->second.size;
    } else if (o.kind == Operand::Reg) {
      int w = regWidth(o.reg);
      if (w == 1) fail("predicate call argument");
      c.src = regRef(o.reg);
      c.srcStride = (uint32_t)w;
      c.bytes = (uint32_t)w;
      c.reg = true;
    } else if (o.kind == Operand::Imm || o.kind == Operand::Flt) {
      c.src = constant(8, immBits(o, Ty::None, 8));
      c.srcStride = 8;
      c.bytes = 8;
    } else {
      fail("call argument");
    }
    return c;
  };
  if (args)
    for (auto& a : args->sub) ci.args.push_back(actual(a));
  if (rets)
    for (auto& a : rets->sub) {
      CallInfo::Copy c = actual(a), r{};
      r.dst = c.src;
      r.dstStride = c.srcStride;
      r.bytes = c.bytes;
      ci.rets.push_back(r);
    }
  ci.frameLocal = cur_->localSize;
  Op op;
  op.cls = C_CTRL;
  op.info = &ci;
  if (target.kind == Operand::Reg) {
    op.kind = K_CALLI;
    ci.target = regRef(target.reg);
    // conservatively save when any candidate can reach this function
    bool rec = reach_[(size_t)cur_->index][(size_t)cur_->index];
    ci.save = rec;
    if (rec) saveRanges(ci, cur_->index);
    push(op);
    return;
  }
  std::string name(target.name);
  ci.name = name;
  auto t = mod_.findFunc(cur_->pm, name);
  if (!t.second || !t.second->hasBody) {
    op.fn = builtinHandler(name);
    if (!op.fn) fail("call of undefined function " + name);
    op.kind = K_SIMPLE;
    push(op);
    return;
  }
  int idx = fnIndex_.at(t.second);
  Fn& callee = *fns_[(size_t)idx];
  Function& cf = *callee.f;
  if (cf.params.size() != ci.args.size() || cf.rets.size() != ci.rets.size()) fail("call argument count");
  auto bind = [&](CallInfo::Copy& c, const VarDecl& p, size_t regIndex, bool ret) {
    uint32_t off, stride, bytes;
    if (p.space == Space::Reg) {
      off = callee.regRef[regIndex];
      stride = bytes = (uint32_t)widthOfTy(p.type);
    } else {
      Slot& s = callee.slots[p.name];
      off = s.off;
      stride = s.stride;
      bytes = s.size;
    }
    if (ret) {
      c.src = off;
      c.srcStride = stride;
    } else {
      c.dst = off;
      c.dstStride = stride;
    }
    c.bytes = std::min(c.bytes, bytes);
  };
  size_t regIdx = 0;
  for (size_t j = 0; j < cf.params.size(); j++) {
    bind(ci.args[j], cf.params[j], regIdx, false);
    if (cf.params[j].space == Space::Reg) regIdx++;
  }
  for (size_t j = 0; j < cf.rets.size(); j++) {
    bind(ci.rets[j], cf.rets[j], regIdx, true);
    if (cf.rets[j].space == Space::Reg) regIdx++;
  }
  if (reach_[(size_t)idx][(size_t)cur_->index]) {
    ci.save = true;
    saveRanges(ci, cur_->index);
  }
  op.kind = K_CALL;
  callFix_.push_back({push(op), idx});
}

void Lowerer::saveRanges(CallInfo& ci, int f) {
  for (auto& g : fns_) {
    size_t gi = (size_t)g->index;
    if (gi == (size_t)f || (reach_[gi][(size_t)f] && reach_[(size_t)f][gi]))
      for (auto& r : g->ranges) ci.saveRanges.push_back(r);
  }
}

void Lowerer::emitSetp(const Instr& in, uint32_t d, uint32_t d2, Ty ty) {
  std::string cmp;
  int64_t bop = 0;
  static const std::set<std::string_view> cmps = {"eq", "ne",  "lt",  "le",  "gt",  "ge",  "lo",  "ls",  "hi",
                                                  "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
  for (size_t i = 1; i < in.mods.size(); i++) {
    if (cmp.empty() && cmps.count(in.mods[i])) cmp = std::string(in.mods[i]);
    if (in.mods[i] == "and") bop = 1;
    if (in.mods[i] == "or") bop = 2;
    if (in.mods[i] == "xor") bop = 3;
  }
  std::string t;
  if (isFloat(ty)) {
    t = std::string(in.has("ftz") && ty == Ty::F32 ? ".ftz" : "") + "." + tyName(ty);
  } else if (cmp == "eq" || cmp == "ne") {
    t = "." + bName(ty);
  } else {
    Ty u = ty;
    if (ty == Ty::B16) u = Ty::U16;
    if (ty == Ty::B32) u = Ty::U32;
    if (ty == Ty::B64) u = Ty::U64;
    t = std::string(".") + tyName(u);
  }
  auto it = opTable().find("setp." + cmp + t);
  if (it == opTable().end()) fail("setp." + cmp + t);
  Op op;
  op.fn = it->second.fn;
  op.cls = it->second.cls;
  op.d = d;
  op.d2 = d2;
  op.a = src(in.ops.at(1), it->second.wa, ty);
  op.b = src(in.ops.at(2), it->second.wb, ty);
  if (bop) {
    op.imm = bop;
    const Operand& c = in.ops.at(3);
    op.c = src(c, 1);
    if (c.neg) op.flags |= F_NEG;
  }
  push(op);
}

void Lowerer::simple(const std::string& key, const Instr& in, std::initializer_list<Ty> tys) {
  auto it = opTable().find(key);
  if (it == opTable().end()) fail(key);
  const OpDef& od = it->second;
  std::vector<Ty> t(tys);
  auto ty = [&](size_t i) { return i < t.size() ? t[i] : t.empty() ? Ty::None : t.back(); };
  Op op;
  op.fn = od.fn;
  op.cls = od.cls;
  if (in.ops.size() < (size_t)od.nargs + 1) fail("operand count");
  op.a = src(in.ops[1], od.wa, ty(0));
  if (od.nargs > 1) op.b = src(in.ops[2], od.wb, ty(1));
  if (od.nargs > 2) op.c = src(in.ops[3], od.wc, ty(2));
  if (od.nargs > 3) op.e = src(in.ops[4], 4);
  op.d = dst(in.ops[0], od.wd);
  push(op);
}

void Lowerer::emitMov(const Instr& in) {
  Ty ty = lastType(in);
  const Operand& d = in.ops.at(0);
  const Operand& a = in.ops.at(1);
  if (ty == Ty::Pred) {
    Op op;
    op.fn = opTable().at("mov.pred").fn;
    op.cls = C_MOVE;
    if (a.kind == Operand::SReg) {
      emitSreg(a.name, dst(d, 1), 1);
      return;
    }
    op.a = src(a, 1);
    if (a.neg) op.flags |= F_NEG;
    op.d = dst(d, 1);
    push(op);
    return;
  }
  int w = widthOfTy(ty);
  if (a.kind == Operand::Vec) {  // pack
    int n = (int)a.sub.size();
    int ew = tyBytes(ty) / n;
    Op op;
    op.cls = C_MOVE;
    op.fn = warpHandler("pack");
    op.n = (uint8_t)n;
    op.esize = (uint8_t)ew;
    if (ew < 2) {
      // byte elements live in 16-bit registers
      fail("packing of 8-bit elements");
    }
    std::vector<uint32_t> refs;
    for (auto& s : a.sub) refs.push_back(src(s, ew, ty));
    op.ext = ext(refs);
    op.d = dst(d, w);
    push(op);
    return;
  }
  if (d.kind == Operand::Vec) {  // unpack
    int n = (int)d.sub.size();
    int ew = tyBytes(ty) / n;
    Op op;
    op.cls = C_MOVE;
    op.fn = warpHandler("unpack");
    op.n = (uint8_t)n;
    op.esize = (uint8_t)ew;
    if (ew < 2) fail("unpacking of 8-bit elements");
    op.a = src(a, w, ty);
    std::vector<uint32_t> refs;
    for (auto& s : d.sub) refs.push_back(s.kind == Operand::Sink ? kNoRef : dst(s, ew));
    op.ext = ext(refs);
    push(op);
    return;
  }
  if (a.kind == Operand::SReg) {
    emitSreg(a.name, dst(d, w), w);
    return;
  }
  Op op;
  const OpDef& od = opTable().at(w == 16 ? std::string("mov.b128") : "mov." + strf("b%d", w * 8));
  op.fn = od.fn;
  op.cls = C_MOVE;
  op.a = src(a, w, ty);
  op.d = dst(d, w);
  push(op);
}

void Lowerer::emitWSync(const char* h, Op op, const Operand& mask) {
  op.fn = warpHandler(h);
  op.cls = C_SYNC;
  op.kind = K_WSYNC;
  op.e = src(mask, 4);
  push(op);
}

void Lowerer::emitBar(const Instr& in) {
  if (in.has("warp")) {
    Op op;
    op.flags = F_BARWARP;
    emitWSync("bar.warp", op, in.ops.at(0));
    return;
  }
  if (in.has("cluster")) {
    Op op;
    op.cls = C_SYNC;
    op.kind = in.has("arrive") ? K_CLARRIVE : K_CLWAIT;
    push(op);
    return;
  }
  k_->barStore.push_back(std::make_unique<BarInfo>());
  BarInfo& bi = *k_->barStore.back();
  Op op;
  op.kind = K_BAR;
  op.cls = C_SYNC;
  op.info = &bi;
  bi.aligned = in.mods[0] == "bar" || in.has("aligned");
  bi.mode = in.has("arrive") ? 1 : in.has("red") ? (in.has("popc") ? 2 : in.has("and") ? 3 : 4) : 0;
  size_t i = 0, n = in.ops.size();
  if (bi.mode >= 2) {
    op.d = dst(in.ops.at(0), bi.mode == 2 ? 4 : 1);
    i = 1;
    n--;  // predicate is last
    const Operand& p = in.ops.back();
    op.e = src(p, 1);
    bi.predNeg = p.neg;
  }
  op.a = i < n ? src(in.ops[i], 4) : constant(4, 0);
  if (i + 1 < n) {
    bi.hasCount = true;
    op.b = src(in.ops[i + 1], 4);
  }
  push(op);
}

void Lowerer::emitCvt(const Instr& in) {
  Op op;
  std::string err;
  if (in.has("pack")) {
    op.fn = cvtHandler(in, Ty::None, Ty::None, 4, 4, op.imm, op.cls, err, (int)in.ops.size() - 1);
    if (!err.empty()) fail(err);
    op.d = dst(in.ops.at(0), 4);
    op.a = src(in.ops.at(1), 4);
    op.b = src(in.ops.at(2), 4);
    if (in.ops.size() > 3) op.c = src(in.ops[3], 4);
    push(op);
    return;
  }
  std::vector<Ty> t;
  for (size_t i = 1; i < in.mods.size(); i++) {
    Ty x = parseType(in.mods[i]);
    if (x != Ty::None) t.push_back(x);
  }
  if (t.size() < 2) fail("cvt types");
  Ty d = t[0], s = t[1];
  const Operand& dop = in.ops.at(0);
  const Operand& sop = in.ops.at(1);
  auto natural = [](Ty x) { return std::max(2, tyBytes(x)); };
  int wd = dop.kind == Operand::Reg ? regWidth(dop.reg) : natural(d);
  int ws = sop.kind == Operand::Reg ? regWidth(sop.reg) : natural(s);
  op.fn = cvtHandler(in, d, s, wd, ws, op.imm, op.cls, err, (int)in.ops.size() - 1);
  if (!op.fn) fail(err.empty() ? "cvt" : err);
  op.a = src(sop, ws, s);
  if (in.ops.size() > 2) op.b = src(in.ops[2], 4, s);
  op.d = dst(dop, wd);
  push(op);
}

}  // namespace cs
