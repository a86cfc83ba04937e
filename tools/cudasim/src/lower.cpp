// SPDX-License-Identifier: Apache-2.0
// Lowering of a kernel as a whole: the functions it reaches, its parameters and shared memory, the order of the parts.
#include "lowerer.h"

namespace cs {

Lowerer::Lowerer(Module& m, PtxModule& pm, Function& f) : mod_(m) {
  k_ = std::make_shared<Kernel>();
  k_->module = &m;
  k_->name = f.name;
  k_->pretty = demangle(f.name);
  discover(pm, f);
}

std::shared_ptr<Kernel> Lowerer::run() {
  Kernel& k = *k_;
  Function& ef = *fns_[0]->f;
  setupEntry(ef);
  regTop_ = 128;  // local stack pointers
  layoutShared();
  for (auto& fn : fns_) allocateFrame(*fn);
  computeRecursion();
  for (auto& fn : fns_) emitFunction(*fn);
  // branch / call fixups
  for (auto& fx : callFix_) k.code[(size_t)fx.first].target = fns_[(size_t)fx.second]->basePc;
  for (auto& fn : fns_) {
    auto it = std::find_if(mod_.funcByAddr.begin(), mod_.funcByAddr.end(), [&](auto& p) { return p.second == fn->f; });
    if (it == mod_.funcByAddr.end() || fn->index == 0) continue;
    Kernel::FnEntry e;
    e.pc = fn->basePc;
    e.name = fn->f->name;
    for (auto& p : fn->f->params) e.formals.push_back(copyDst(*fn, p));
    for (auto& p : fn->f->rets) e.rets.push_back(copyDst(*fn, p));
    k.indirect[mod_.functionAddress(fn->pm, fn->f)] = e;
  }
  k.regBytes = (uint32_t)alignUp(regTop_, 64);
  // local memory: deepest call chain; recursion gets a fixed stack
  uint32_t total = 0;
  for (auto& fn : fns_) total += fn->localSize;
  k.localBytes = k.recursive ? (uint32_t)alignUp(total + 65536, 16) : (uint32_t)alignUp(total, 16);
  int regs = 0;
  for (auto& fn : fns_) regs = std::max(regs, fn->peakRegs);
  if (fns_.size() > 1) regs += fns_[0]->peakRegs / 2;
  regs += 8;
  int cap = 255;
  if (k.maxThreads && ef.maxntid[0])
    cap = std::min(cap, (int)(65536 / std::max<uint32_t>(k.maxThreads * std::max(1, ef.minctas), 1)) / 8 * 8);
  k.numRegs = std::max(16, std::min((int)alignUp((uint64_t)regs, 8), cap));
  k.constStorage.resize(pool_.size() + 128);
  char* p = k.constStorage.data();
  p += (64 - ((uintptr_t)p & 63)) & 63;
  if (!pool_.empty()) memcpy(p, pool_.data(), pool_.size());
  k.constPool = p;
  return k_;
}

int Lowerer::addFn(PtxModule* pm, Function* f) {
  auto it = fnIndex_.find(f);
  if (it != fnIndex_.end()) return it->second;
  auto fn = std::make_unique<Fn>();
  fn->pm = pm;
  fn->f = f;
  fn->index = (int)fns_.size();
  fnIndex_[f] = fn->index;
  fns_.push_back(std::move(fn));
  return (int)fns_.size() - 1;
}

void Lowerer::discover(PtxModule& pm, Function& f) {
  addFn(&pm, &f);
  bool indirect = false;
  size_t done = 0;
  for (;;) {
    for (; done < fns_.size(); done++) {
      Fn& fn = *fns_[done];
      parseBody(*fn.pm, *fn.f);
      for (auto& in : fn.f->body) {
        bool call = in.mods[0] == "call";
        for (size_t i = 0; i < in.ops.size(); i++) {
          const Operand& o = in.ops[i];
          if (o.kind == Operand::Sym) {
            auto t = mod_.findFunc(fn.pm, std::string(o.name));
            if (!t.second) continue;
            if (call) {
              if (t.second->hasBody) fns_[done]->callees.push_back(addFn(t.first, t.second));
            } else {
              mod_.functionAddress(t.first, t.second);
            }
          } else if (call && o.kind == Operand::Reg && i < 2) {
            indirect = true;
            fns_[done]->hasIndirect = true;
          }
        }
      }
    }
    if (indirect)
      for (size_t i = 0; i < mod_.funcByAddr.size(); i++)
        if (mod_.funcByAddr[i].second->hasBody && !mod_.funcByAddr[i].second->isEntry)
          addFn(mod_.funcByAddr[i].first, mod_.funcByAddr[i].second);
    if (done == fns_.size()) break;
  }
}

void Lowerer::computeRecursion() {
  size_t n = fns_.size();
  reach_.assign(n, std::vector<bool>(n, false));
  std::vector<int> addrTaken;
  for (auto& p : mod_.funcByAddr) {
    auto it = fnIndex_.find(p.second);
    if (it != fnIndex_.end()) addrTaken.push_back(it->second);
  }
  for (size_t s = 0; s < n; s++) {
    std::vector<int> todo;
    auto push = [&](Fn& f) {
      for (int c : f.callees)
        if (!reach_[s][(size_t)c]) {
          reach_[s][(size_t)c] = true;
          todo.push_back(c);
        }
      if (f.hasIndirect)
        for (int c : addrTaken)
          if (!reach_[s][(size_t)c]) {
            reach_[s][(size_t)c] = true;
            todo.push_back(c);
          }
    };
    push(*fns_[s]);
    while (!todo.empty()) {
      int c = todo.back();
      todo.pop_back();
      push(*fns_[(size_t)c]);
    }
    if (reach_[s][s]) k_->recursive = true;
  }
}

void Lowerer::setupEntry(Function& f) {
  Kernel& k = *k_;
  uint32_t off = 0;
  for (auto& p : f.params) {
    off = (uint32_t)alignUp(off, p.align);
    k.params.push_back({p.name, off, (uint32_t)p.size});
    off += (uint32_t)p.size;
  }
  k.paramBytes = off;
  if (f.reqntid[0]) {
    k.maxThreads = k.reqThreads = (uint32_t)(f.reqntid[0] * f.reqntid[1] * f.reqntid[2]);
    for (int i = 0; i < 3; i++) k.reqDim[i] = (uint32_t)f.reqntid[i];
  } else if (f.maxntid[0]) {
    k.maxThreads = (uint32_t)(f.maxntid[0] * f.maxntid[1] * f.maxntid[2]);
  }
  k.minCtas = (uint32_t)f.minctas;
  for (int i = 0; i < 3; i++) k.clusterDim[i] = (uint32_t)f.cluster[i];
}

void Lowerer::layoutShared() {
  Kernel& k = *k_;
  uint32_t off = 0;
  std::set<PtxModule*> mods;
  auto place = [&](const VarDecl& v) {
    if (v.size == 0 || v.isExtern) return;  // dynamic
    off = (uint32_t)alignUp(off, v.align);
    sharedOff_[v.name] = off;
    off += (uint32_t)v.size;
  };
  std::set<std::string> used;
  for (auto& fn : fns_)
    for (auto& in : fn->f->body) collectSyms(in.ops, used);
  if (used.count("%reserved_smem_offset_1")) off = k.reservedShared = 512;
  for (auto& fn : fns_) {
    for (auto& v : fn->f->locals)
      if (v.space == Space::Shared) place(v);
    mods.insert(fn->pm);
  }
  uint32_t dynAlign = 16;
  for (auto* pm : mods)
    for (auto& v : pm->vars)
      if (v.space == Space::Shared) {
        if (v.size == 0 || v.isExtern) {
          if (used.count(v.name)) dynAlign = std::max(dynAlign, v.align);
        } else if (used.count(v.name)) {
          place(v);
        }
      }
  off = (uint32_t)alignUp(off, dynAlign);
  k.staticShared = off;
  k.dynAlign = dynAlign;
  for (auto* pm : mods)
    for (auto& v : pm->vars)
      if (v.space == Space::Shared && (v.size == 0 || v.isExtern)) sharedOff_[v.name] = off;
  for (auto& fn : fns_)
    for (auto& v : fn->f->locals)
      if (v.space == Space::Shared && (v.size == 0 || v.isExtern)) sharedOff_[v.name] = off;
}

void Lowerer::collectSyms(const std::vector<Operand>& ops, std::set<std::string>& out) {
  for (auto& o : ops) {
    if (!o.name.empty()) out.insert(std::string(o.name));
    collectSyms(o.sub, out);
  }
}

std::shared_ptr<Kernel> lowerKernel(Module& mod, PtxModule& pm, Function& f) {
  Lowerer l(mod, pm, f);
  return l.run();
}

std::string Kernel::where(int pc) const {
  if (pc < 0 || pc >= (int)code.size()) return "?";
  const Op& op = code[(size_t)pc];
  const Region* r = nullptr;
  for (auto& x : regions)
    if (x.begin <= pc) r = &x;
  if (!r || !op.src) return strf("op %d", pc);
  std::string s;
  if (op.src->srcLine) {
    auto it = r->pm->files.find(op.src->srcFile);
    s = strf("at %s:%u, ", it == r->pm->files.end() ? "?" : it->second.c_str(), op.src->srcLine);
  }
  s += strf("PTX line %d: %s", op.src->line, r->pm->lineText(op.src->line).c_str());
  if (!r->f->isEntry) s += " (in function " + demangle(r->f->name) + ")";
  return s;
}

}  // namespace cs
