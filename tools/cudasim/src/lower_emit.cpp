// SPDX-License-Identifier: Apache-2.0
// Lowering: one PTX instruction, by its opcode.
#include "lowerer.h"

namespace cs {

void Lowerer::emit(const Instr& in) {
  std::string_view b = in.mods[0];
  Ty ty = lastType(in);
  auto has = [&](const char* m) { return in.has(m); };
  Op op;

  // ---- memory
  if (b == "ld" || b == "ldu") return emitLd(in);
  if (b == "st") {
    if (has("async")) {
      op.fn = memHandler("st.async");
      op.cls = C_LDST;
      op.space = Space::SharedCluster;
      address(op, in.ops.at(0));
      op.n = (uint8_t)vecLen(in);
      op.esize = (uint8_t)tyBytes(ty);
      if (in.ops.at(1).kind == Operand::Vec) {
        std::vector<uint32_t> refs;
        for (auto& s : in.ops[1].sub) refs.push_back(src(s, widthOfTy(ty), ty));
        op.ext = ext(refs);
      } else {
        op.b = src(in.ops[1], widthOfTy(ty), ty);
      }
      bool m32;
      op.e = memReg(in.ops.at(2), m32);
      op.addr32 = m32;
      push(op);
      return;
    }
    return emitSt(in);
  }
  if (b == "atom") return emitAtom(in, false);
  if (b == "red") {
    if (has("async")) fail("red.async");
    return emitAtom(in, true);
  }
  if (b == "mov") return emitMov(in);
  if (b == "call") return emitCall(in);
  if (b == "cp") return emitCp(in);
  if (b == "mbarrier") return emitMbarrier(in);
  if (b == "bar" || b == "barrier") return emitBar(in);
  if (b == "cvt") return emitCvt(in);
  if ((b == "prefetch" && !has("tensormap")) || b == "prefetchu") return emitPrefetch(in);
  if (b == "prefetch" || b == "discard" || b == "applypriority" || b == "setmaxnreg" || b == "pmevent" || b == "brkpt")
    return emitNop(in, C_LDST);
  if (b == "createpolicy") {
    op.fn = memHandler("createpolicy");
    op.d = dst(in.ops.at(0), 8);
    push(op);
    return;
  }
  if (b == "fence" || b == "membar") {
    if (has("proxy") || has("mbarrier_init") || in.text.find("proxy") != std::string_view::npos)
      return emitNop(in, C_SYNC);
    op.fn = memHandler("fence");
    op.cls = C_SYNC;
    op.n = has("cta") || has("cluster") ? 0 : 1;
    push(op);
    return;
  }
  if (b == "cvta") {
    bool to = has("to");
    Space s = spaceOfMods(in, Space::Global);
    int w = widthOfTy(ty);
    if (w != 8) fail("32-bit cvta");
    uint64_t win = s == Space::Shared || s == Space::SharedCluster ? kSharedWin
                   : s == Space::Local                             ? kLocalWin
                   : s == Space::Param                             ? kParamWin
                                                                   : 0;
    op.fn = memHandler("cvta");
    op.imm = to ? -(int64_t)win : (int64_t)win;
    op.a = src(in.ops.at(1), 8);
    op.d = dst(in.ops.at(0), 8);
    if (s == Space::Local && !to && in.ops[1].kind == Operand::Sym) {
    }
    push(op);
    return;
  }
  if (b == "isspacep") {
    op.fn = memHandler("isspacep");
    op.space = spaceOfMods(in, Space::Global);
    op.a = src(in.ops.at(1), 8);
    op.d = dst(in.ops.at(0), 1);
    push(op);
    return;
  }
  if (b == "mapa" || b == "getctarank") {
    int w = widthOfTy(ty);
    op.esize = (uint8_t)w;
    if (b == "mapa") {
      op.fn = memHandler("mapa");
      op.n = has("shared::cluster");
      op.a = src(in.ops.at(1), w);
      op.b = src(in.ops.at(2), 4);
      op.d = dst(in.ops.at(0), w);
    } else {
      op.fn = memHandler("getctarank");
      op.a = src(in.ops.at(1), w);
      op.d = dst(in.ops.at(0), 4);
    }
    push(op);
    return;
  }

  // ---- control
  if (b == "ret" || b == "exit") {
    op.kind = b == "ret" ? K_RET : K_EXIT;
    op.cls = C_CTRL;
    push(op);
    return;
  }
  if (b == "trap") {
    op.fn = memHandler("trap");
    op.cls = C_CTRL;
    push(op);
    return;
  }
  if (b == "nanosleep") {
    op.kind = K_NANOSLEEP;
    op.cls = C_CTRL;
    push(op);
    return;
  }
  if (b == "griddepcontrol") {
    op.cls = C_SYNC;
    if (has("wait")) {
      op.kind = K_GDWAIT;
    } else {
      op.kind = K_TRIGGER;
      op.fn = warpHandler("launchdep");
    }
    push(op);
    return;
  }

  // ---- warp level
  if (b == "shfl") {
    bool sync = has("sync");
    op.imm = has("up") ? 0 : has("down") ? 1 : has("bfly") ? 2 : 3;
    const Operand& d = in.ops.at(0);
    op.d = d.kind == Operand::Sink ? kNoRef : dst(d, 4);
    if (d.second) op.d2 = dst(*d.second, 1);
    op.a = src(in.ops.at(1), 4, ty);
    op.b = src(in.ops.at(2), 4);
    op.c = src(in.ops.at(3), 4);
    if (sync) return emitWSync("shfl", op, in.ops.at(4));
    op.fn = warpHandler("shfl");
    op.cls = C_SYNC;
    push(op);
    return;
  }
  if (b == "vote") {
    bool sync = has("sync");
    op.imm = has("all") ? 0 : has("any") ? 1 : has("uni") ? 2 : 3;
    const Operand& p = in.ops.at(1);
    op.a = src(p, 1);
    if (p.neg) op.flags |= F_NEG;
    op.d = dst(in.ops.at(0), op.imm == 3 ? 4 : 1);
    if (sync) return emitWSync("vote", op, in.ops.at(2));
    op.fn = warpHandler("vote");
    op.cls = C_SYNC;
    push(op);
    return;
  }
  if (b == "match") {
    op.imm = has("all") ? 1 : 0;
    op.esize = (uint8_t)tyBytes(ty);
    const Operand& d = in.ops.at(0);
    op.d = d.kind == Operand::Sink ? kNoRef : dst(d, 4);
    if (d.second) op.d2 = dst(*d.second, 1);
    op.a = src(in.ops.at(1), op.esize, ty);
    return emitWSync("match", op, in.ops.at(2));
  }
  if (b == "redux") {
    bool s = tySigned(ty);
    if (ty == Ty::F32)
      op.imm = (has("min") ? 8 : 9) | (has("abs") ? 16 : 0) | (has("NaN") ? 32 : 0);
    else
      op.imm = has("add")   ? 0
               : has("min") ? (s ? 3 : 1)
               : has("max") ? (s ? 4 : 2)
               : has("and") ? 5
               : has("or")  ? 6
                            : 7;
    op.d = dst(in.ops.at(0), 4);
    op.a = src(in.ops.at(1), 4, ty);
    return emitWSync("redux", op, in.ops.at(2));
  }
  if (b == "elect") {
    const Operand& d = in.ops.at(0);
    op.d = d.kind == Operand::Sink ? kNoRef : dst(d, 4);
    if (d.second) op.d2 = dst(*d.second, 1);
    return emitWSync("elect", op, in.ops.at(1));
  }
  if (b == "activemask") {
    op.fn = warpHandler("activemask");
    op.cls = C_SYNC;
    op.d = dst(in.ops.at(0), 4);
    push(op);
    return;
  }

  // ---- predicates
  if (b == "setp") {
    const Operand& d = in.ops.at(0);
    uint32_t d1 = d.kind == Operand::Sink ? kNoRef : dst(d, 1);
    uint32_t d2 = kNoRef;
    if (d.second && d.second->kind == Operand::Reg) d2 = dst(*d.second, 1);
    return emitSetp(in, d1, d2, ty);
  }
  if (b == "set") {  // set.cmp.dtype.stype -> setp + selp
    Ty dt = Ty::None;
    for (auto& m : in.mods) {
      Ty x = parseType(m);
      if (x != Ty::None) {
        dt = x;
        break;
      }
    }
    uint32_t p = temp(1);
    if (ty == Ty::F16x2 || ty == Ty::BF16x2) {
      uint32_t q = temp(1);
      emitSetp(in, p, q, ty);
      uint32_t one = dt == Ty::F16x2 ? 0x3c00 : dt == Ty::BF16x2 ? 0x3f80 : 0xffff;
      uint32_t lo = temp(4), hi = temp(4);
      Op s;
      s.fn = opTable().at("selp.b32").fn;
      s.a = constant(4, one);
      s.b = constant(4, 0);
      s.c = p;
      s.d = lo;
      push(s);
      s.a = constant(4, one << 16);
      s.c = q;
      s.d = hi;
      push(s);
      Op o;
      o.fn = opTable().at("or.b32").fn;
      o.a = lo;
      o.b = hi;
      o.d = dst(in.ops.at(0), 4);
      push(o);
      return;
    }
    emitSetp(in, p, kNoRef, ty);
    int w = widthOfTy(dt);
    uint64_t t = dt == Ty::F32    ? 0x3f800000u
                 : dt == Ty::F16  ? 0x3c00
                 : dt == Ty::BF16 ? 0x3f80
                 : dt == Ty::F64  ? 0x3ff0000000000000ull
                                  : ~0ull;
    op.fn = opTable().at(strf("selp.b%d", w * 8)).fn;
    op.a = constant(w, t);
    op.b = constant(w, 0);
    op.c = p;
    op.d = dst(in.ops.at(0), w);
    push(op);
    return;
  }
  if (ty == Ty::Pred && (b == "and" || b == "or" || b == "xor" || b == "not")) {
    const OpDef& od = opTable().at(std::string(b) + ".pred");
    op.fn = od.fn;
    op.cls = C_INT;
    op.a = src(in.ops.at(1), 1);
    if (in.ops[1].neg) op.flags |= F_NEG;
    if (b != "not") {
      op.b = src(in.ops.at(2), 1);
      if (in.ops[2].neg) op.imm = 1;
    }
    op.d = dst(in.ops.at(0), 1);
    push(op);
    return;
  }
  if (b == "selp") {
    int w = widthOfTy(ty);
    op.fn = opTable().at(strf("selp.b%d", w * 8)).fn;
    op.a = src(in.ops.at(1), w, ty);
    op.b = src(in.ops.at(2), w, ty);
    op.c = src(in.ops.at(3), 1);
    if (in.ops[3].neg) op.flags |= F_NEG;
    op.d = dst(in.ops.at(0), w);
    push(op);
    return;
  }
  if (b == "slct") {
    Ty dt = Ty::None;
    for (auto& m : in.mods) {
      Ty x = parseType(m);
      if (x != Ty::None) {
        dt = x;
        break;
      }
    }
    return simple("slct." + bName(dt) + (ty == Ty::F32 ? ".f32" : ".s32"), in, {dt, dt, ty});
  }
  if (b == "lop3") {
    op.fn = opTable().at("lop3.b32").fn;
    size_t i = 0;
    const Operand& d = in.ops.at(i++);
    op.d = d.kind == Operand::Sink ? temp(4) : dst(d, 4);
    bool boolOp = has("or") || has("and");
    op.a = src(in.ops.at(i++), 4);
    op.b = src(in.ops.at(i++), 4);
    op.c = src(in.ops.at(i++), 4);
    op.imm = in.ops.at(i++).imm;
    if (boolOp) {
      if (d.second) op.d2 = dst(*d.second, 1);
      op.n = has("or") ? 1 : 2;
      op.e = src(in.ops.at(i), 1);
      if (in.ops[i].neg) op.flags |= F_NEG;
    }
    push(op);
    return;
  }
  if (b == "prmt") {
    op.fn = opTable().at("prmt.b32").fn;
    op.imm = has("f4e") ? 1 : has("b4e") ? 2 : has("rc8") ? 3 : has("ecl") ? 4 : has("ecr") ? 5 : has("rc16") ? 6 : 0;
    op.a = src(in.ops.at(1), 4);
    op.b = src(in.ops.at(2), 4);
    op.c = src(in.ops.at(3), 4);
    op.d = dst(in.ops.at(0), 4);
    push(op);
    return;
  }
  if (b == "dp4a" || b == "dp2a") {
    std::vector<Ty> t;
    for (auto& m : in.mods)
      if (parseType(m) != Ty::None) t.push_back(parseType(m));
    if (t.size() < 2) fail("dp types");
    op.fn = opTable().at("dp4a").fn;
    op.imm = (tySigned(t[0]) ? 1 : 0) | (tySigned(t[1]) ? 2 : 0) | (b == "dp2a" ? 4 : 0) | (has("hi") ? 8 : 0);
    op.a = src(in.ops.at(1), 4);
    op.b = src(in.ops.at(2), 4);
    op.c = src(in.ops.at(3), 4);
    op.d = dst(in.ops.at(0), 4);
    push(op);
    return;
  }
  // carry chain
  if (b == "addc" || b == "subc" || b == "madc" || has("cc")) {
    int w = widthOfTy(ty);
    op.fn = opTable().at(w == 8 ? "carry.64" : "carry.32").fn;
    int kind = b == "add" || b == "addc" ? 0 : b == "sub" || b == "subc" ? 1 : has("hi") ? 3 : 2;
    if (kind == 3 && tySigned(ty)) fail("signed mad.hi.cc");
    op.imm = (b.back() == 'c' ? 1 : 0) | (has("cc") ? 2 : 0) | kind << 4;
    op.a = src(in.ops.at(1), w);
    op.b = src(in.ops.at(2), w);
    if (kind >= 2) op.c = src(in.ops.at(3), w);
    op.d = dst(in.ops.at(0), w);
    push(op);
    return;
  }
  if (b == "testp") {
    std::string key = "testp";
    for (size_t i = 1; i + 1 < in.mods.size(); i++) key += "." + std::string(in.mods[i]);
    key += std::string(".") + tyName(ty);
    auto it = opTable().find(key);
    if (it == opTable().end()) fail(key);
    op.fn = it->second.fn;
    op.cls = it->second.cls;
    op.a = op.b = src(in.ops.at(1), it->second.wa, ty);
    op.d = dst(in.ops.at(0), 1);
    push(op);
    return;
  }

  // ---- floating point
  if (isFloat(ty)) {
    std::string base(b);
    bool dirRound = has("rz") || has("rm") || has("rp");
    std::vector<Ty> t;
    for (auto& m : in.mods)
      if (parseType(m) != Ty::None) t.push_back(parseType(m));
    if (dirRound && (ty == Ty::F32 || ty == Ty::F64) && t.size() == 1) {
      static const char* names[] = {"add", "sub", "mul", "fma", "div", "rcp", "sqrt"};
      int kind = -1;
      for (int i = 0; i < 7; i++)
        if (base == names[i]) kind = i;
      if (base == "mad") kind = 3;
      if (kind < 0) fail("rounding mode");
      int w = widthOfTy(ty);
      const OpDef& od = opTable().at(ty == Ty::F64 ? "rounded.f64" : "rounded.f32");
      op.fn = od.fn;
      op.cls = kind >= 4 ? (uint8_t)C_SFU : od.cls;
      int rm = has("rz") ? RZ : has("rm") ? RM : RP;
      op.imm = kind | rm << 4 | (has("ftz") ? 256 : 0) | (has("sat") ? 512 : 0) | (ty == Ty::F64 ? 1024 : 0);
      op.a = src(in.ops.at(1), w, ty);
      if (kind < 5) op.b = src(in.ops.at(2), w, ty);
      if (kind == 3) op.c = src(in.ops.at(3), w, ty);
      op.d = dst(in.ops.at(0), w);
      push(op);
      return;
    }
    if (dirRound) fail("rounding mode");
    if (has("oob")) fail(".oob");
    if ((base == "min" || base == "max") && in.ops.size() == 4) base += "3";
    std::string key = base;
    if (has("full")) key += ".full";
    if (has("approx")) key += ".approx";
    if (has("ftz")) key += ".ftz";
    if (has("NaN")) key += ".nan";
    if (has("xorsign")) key += ".xorsign";
    if (has("sat")) key += ".sat";
    if (has("relu")) key += ".relu";
    for (Ty x : t) key += std::string(".") + tyName(x);
    if (t.size() == 2 && t[0] == Ty::F32) {  // mixed precision
      if (b == "fma") return simple(key, in, {t[1], t[1], Ty::F32});
      return simple(key, in, {t[1], Ty::F32});
    }
    return simple(key, in, {ty});
  }

  // ---- integers
  std::string t = tyName(ty), bt = bName(ty);
  if (ty == Ty::U16x2 || ty == Ty::S16x2) return simple(std::string(b) + (has("relu") ? ".relu." : ".") + t, in, {ty});
  if (b == "add" || b == "sub") {
    if (has("sat")) return simple(std::string(b) + ".sat.s32", in, {ty});
    return simple(std::string(b) + "." + bt, in, {ty});
  }
  if (b == "mul" || b == "mad") {
    if (has("sat")) fail("saturating mad");
    if (has("wide")) return simple(std::string(b) + ".wide." + t, in, {ty});
    if (has("hi")) return simple(std::string(b) + ".hi." + t, in, {ty});
    return simple(std::string(b) + ".lo." + bt, in, {ty});
  }
  if (b == "mul24" || b == "mad24") return simple(std::string(b) + (has("hi") ? ".hi." : ".lo.") + t, in, {ty});
  if (b == "and" || b == "or" || b == "xor" || b == "not" || b == "cnot" || b == "shl")
    return simple(std::string(b) + "." + bt, in, {ty});
  if (b == "shr") return simple(std::string(b) + (tySigned(ty) ? "." + t : "." + bt), in, {ty});
  if (b == "min" || b == "max") return simple(std::string(b) + (has("relu") ? ".relu." : ".") + t, in, {ty});
  if (b == "div" || b == "rem" || b == "abs" || b == "neg" || b == "sad")
    return simple(std::string(b) + "." + t, in, {ty});
  if (b == "popc" || b == "clz" || b == "brev") return simple(std::string(b) + "." + bt, in, {ty});
  if (b == "bfind") return simple(std::string(has("shiftamt") ? "bfind.shiftamt." : "bfind.") + t, in, {ty});
  if (b == "bfe") return simple("bfe." + t, in, {ty});
  if (b == "bfi") return simple("bfi." + bt, in, {ty});
  if (b == "fns") return simple("fns.b32", in, {ty});
  if (b == "shf")
    return simple(std::string("shf.") + (has("l") ? "l" : "r") + (has("wrap") ? ".wrap" : ".clamp") + ".b32", in, {ty});
  if (b == "bmsk") return simple(std::string("bmsk.") + (has("wrap") ? "wrap" : "clamp") + ".b32", in, {ty});
  if (b == "szext") return simple(std::string("szext.") + (has("wrap") ? "wrap." : "clamp.") + t, in, {ty});
  fail("unknown opcode " + std::string(in.text));
}

}  // namespace cs
