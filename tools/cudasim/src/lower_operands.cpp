// SPDX-License-Identifier: Apache-2.0
// Lowering: operands of instructions, addresses, and the loop over the instructions of a function.
#include "lowerer.h"

namespace cs {

int widthOfTy(Ty t) {  // register bytes; 1 = predicate
  switch (t) {
    case Ty::Pred:
      return 1;
    default: {
      int b = tyBytes(t);
      return b <= 2 ? 2 : b;
    }
  }
}
bool isFloat(Ty t) {
  return t == Ty::F16 || t == Ty::BF16 || t == Ty::F16x2 || t == Ty::BF16x2 || t == Ty::F32 || t == Ty::F64 ||
         t == Ty::F32x2;
}
const char* tyName(Ty t) {
  switch (t) {
    case Ty::B8:
      return "b8";
    case Ty::B16:
      return "b16";
    case Ty::B32:
      return "b32";
    case Ty::B64:
      return "b64";
    case Ty::B128:
      return "b128";
    case Ty::U8:
      return "u8";
    case Ty::U16:
      return "u16";
    case Ty::U32:
      return "u32";
    case Ty::U64:
      return "u64";
    case Ty::S8:
      return "s8";
    case Ty::S16:
      return "s16";
    case Ty::S32:
      return "s32";
    case Ty::S64:
      return "s64";
    case Ty::F16:
      return "f16";
    case Ty::BF16:
      return "bf16";
    case Ty::F16x2:
      return "f16x2";
    case Ty::BF16x2:
      return "bf16x2";
    case Ty::F32:
      return "f32";
    case Ty::F64:
      return "f64";
    case Ty::Pred:
      return "pred";
    case Ty::F32x2:
      return "f32x2";
    case Ty::U16x2:
      return "u16x2";
    case Ty::S16x2:
      return "s16x2";
    default:
      return "?";
  }
}
std::string bName(Ty t) { return strf("b%d", tyBytes(t) * 8); }

uint32_t Lowerer::dst(const Operand& o, int width) {
  if (o.kind == Operand::Sink) return width == 1 ? kNoRef : temp(width);
  if (o.kind != Operand::Reg) fail("destination must be a register");
  if (regWidth(o.reg) != width) fail(strf("destination register width %d, expected %d", regWidth(o.reg), width));
  uint32_t r = cur_->regRef[(size_t)o.reg];
  return r == kNoRef ? temp(width) : r;
}

uint32_t Lowerer::regRef(int r) {
  uint32_t x = cur_->regRef[(size_t)r];
  return x == kNoRef ? temp(regWidth(r)) : x;
}

uint64_t Lowerer::immBits(const Operand& o, Ty ty, int width) {
  if (o.kind == Operand::Imm) {
    if (ty == Ty::F32) {
      float f = (float)o.imm;
      return fbits(f);
    }
    if (ty == Ty::F64) {
      double d = (double)o.imm;
      return dbits(d);
    }
    return (uint64_t)o.imm;
  }
  // floating literal
  if (o.fty == Ty::F32) {
    if (width == 8 && ty == Ty::F64) return dbits((double)bitsf((uint32_t)o.imm));
    return (uint32_t)o.imm;
  }
  double d = bitsd((uint64_t)o.imm);
  if (width == 8) return (uint64_t)o.imm;
  if (width == 4) return fbits((float)d);
  if (ty == Ty::BF16) return floatToBf16Rn((float)d);
  return floatToHalfRn((float)d);
}

uint32_t Lowerer::src(const Operand& o, int width, Ty ty) {
  switch (o.kind) {
    case Operand::Reg:
      if (regWidth(o.reg) != width) fail(strf("source register width %d, expected %d", regWidth(o.reg), width));
      return regRef(o.reg);
    case Operand::Imm:
    case Operand::Flt:
      return constant(width, immBits(o, ty, width));
    case Operand::SReg: {
      uint32_t t = temp(width);
      emitSreg(o.name, t, width);
      return t;
    }
    case Operand::Sym:
      return symbolAddr(o, width);
    default:
      fail("unsupported operand");
  }
}

uint32_t Lowerer::symbolAddr(const Operand& o, int width) {
  std::string name(o.name);
  auto lo = cur_->locals.find(name);
  if (lo != cur_->locals.end()) {
    uint32_t t = temp(width);
    Op op;
    op.fn = memHandler("localaddr");
    op.d = t;
    op.imm = (int64_t)lo->second + o.imm;
    op.esize = (uint8_t)width;
    push(op);
    return t;
  }
  auto so = sharedOff_.find(name);
  if (so != sharedOff_.end()) return constant(width, (uint64_t)kSharedBase + so->second + (uint64_t)o.imm);
  if (cur_->f->isEntry)
    for (auto& p : k_->params)
      if (p.name == name) return constant(width, (uint64_t)p.offset + (uint64_t)o.imm);
  uint64_t a;
  if (mod_.symbolAddress(cur_->pm, name, a)) return constant(width, a + (uint64_t)o.imm);
  fail("unknown symbol " + name);
}

int Lowerer::push(Op op) {
  op.src = in_;
  if (in_ && in_->guard >= 0 && op.guard == kNoRef) {
    op.guard = regRef(in_->guard);
    op.guardNeg = in_->guardNeg;
  }
  k_->code.push_back(op);
  return (int)k_->code.size() - 1;
}

uint32_t* Lowerer::ext(const std::vector<uint32_t>& v) {
  k_->extStore.push_back(std::make_unique<std::vector<uint32_t>>(v));
  return k_->extStore.back()->data();
}

void Lowerer::emitSreg(std::string_view name, uint32_t d, int width) {
  Op op;
  int64_t imm = 0;
  op.fn = sregHandler(name, imm);
  if (!op.fn) fail(strf("unknown special register %.*s", (int)name.size(), name.data()));
  op.imm = imm;
  op.d = d;
  op.esize = (uint8_t)width;
  op.cls = C_MOVE;
  push(op);
}

void Lowerer::emitFunction(Fn& fn) {
  cur_ = &fn;
  Function& f = *fn.f;
  fn.basePc = (int)k_->code.size();
  k_->regions.push_back({fn.basePc, fn.pm, fn.f});
  std::vector<int> pcOf(f.body.size() + 1);
  struct Fix {
    int pc;
    std::string_view label;
    int scope;
  };
  std::vector<Fix> fixes;
  std::vector<std::pair<std::vector<int32_t>*, const Instr*>> tables;
  for (size_t i = 0; i < f.body.size(); i++) {
    pcOf[i] = (int)k_->code.size();
    in_ = &f.body[i];
    try {
      const Instr& in = *in_;
      if (in.mods[0] == "bra") {
        Op op;
        op.kind = K_BRA;
        op.cls = C_CTRL;
        fixes.push_back({push(op), in.ops.at(0).name, in.scope});
      } else if (in.mods[0] == "brx") {
        Op op;
        op.kind = K_BRX;
        op.cls = C_CTRL;
        op.a = src(in.ops.at(0), 4);
        k_->tableStore.push_back(std::make_unique<std::vector<int32_t>>());
        op.info = k_->tableStore.back().get();
        tables.push_back({k_->tableStore.back().get(), in_});
        push(op);
      } else {
        emit(in);
      }
    } catch (LowerError& e) {
      throw SimError{218, strf("unsupported PTX instruction: %s\nkernel %s, PTX line %d: %s", e.msg.c_str(),
                               k_->pretty.c_str(), in_->line, fn.pm->lineText(in_->line).c_str())};
    } catch (std::out_of_range&) {
      throw SimError{218, strf("unsupported PTX instruction (operands)\nkernel %s, PTX line %d: %s", k_->pretty.c_str(),
                               in_->line, fn.pm->lineText(in_->line).c_str())};
    }
  }
  in_ = nullptr;
  pcOf[f.body.size()] = (int)k_->code.size();
  Op end;
  end.kind = K_RET;
  end.cls = C_CTRL;
  if (!f.body.empty()) end.src = &f.body.back();
  k_->code.push_back(end);
  for (auto& fx : fixes) k_->code[(size_t)fx.pc].target = pcOf[(size_t)labelPc(fn, fx.label, fx.scope)];
  for (auto& t : tables) {
    auto it = f.branchTables.find(t.second->ops[1].name);
    if (it == f.branchTables.end()) throw SimError{218, "brx.idx without a branch table"};
    for (auto& l : it->second) t.first->push_back(pcOf[(size_t)labelPc(fn, l, t.second->scope)]);
  }
}

Space Lowerer::spaceOfMods(const Instr& in, Space dflt) {
  for (auto& m : in.mods) {
    if (m == "global") return Space::Global;
    if (m == "shared" || m == "shared::cta") return Space::Shared;
    if (m == "shared::cluster") return Space::SharedCluster;
    if (m == "local") return Space::Local;
    if (m == "const") return Space::Const;
    if (m == "param" || m == "param::entry" || m == "param::func") return Space::Param;
  }
  return dflt;
}

Ty Lowerer::lastType(const Instr& in) {
  for (size_t i = in.mods.size(); i-- > 1;) {
    Ty t = parseType(in.mods[i]);
    if (t != Ty::None) return t;
  }
  return Ty::None;
}

void Lowerer::address(Op& op, const Operand& o) {
  if (o.kind != Operand::Mem) fail("memory operand expected");
  op.imm = o.imm;
  if (o.reg >= 0) {
    int w = regWidth(o.reg);
    if (w != 4 && w != 8) fail("address register width");
    op.addr32 = w == 4;
    op.a = regRef(o.reg);
    if (!o.name.empty()) fail("address with symbol and register");
    return;
  }
  if (o.name.empty()) {
    op.a = constant(8, 0);
    return;
  }
  std::string name(o.name);
  auto lo = cur_->locals.find(name);
  if (lo != cur_->locals.end()) {
    if (op.space == Space::Generic) fail("generic access to a local variable by name");
    op.a = 0;  // local stack pointer
    op.addr32 = 1;
    op.imm += lo->second;
    return;
  }
  Operand s;
  s.kind = Operand::Sym;
  s.name = o.name;
  uint64_t a;
  auto so = sharedOff_.find(name);
  op.a = constant(8, 0);
  if (so != sharedOff_.end()) {
    op.imm += kSharedBase + so->second;
    if (op.space == Space::Generic) op.imm += (int64_t)kSharedWin;
    return;
  }
  if (cur_->f->isEntry)
    for (auto& p : k_->params)
      if (p.name == name) {
        op.imm += p.offset;
        return;
      }
  if (!mod_.symbolAddress(cur_->pm, name, a)) fail("unknown symbol " + name);
  op.imm += (int64_t)a;
}

int Lowerer::elemRegWidth(const Operand& o, Ty ty) {
  if (o.kind == Operand::Reg) return regWidth(o.reg);
  return std::max(2, tyBytes(ty));
}

}  // namespace cs
