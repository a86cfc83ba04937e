// SPDX-License-Identifier: Apache-2.0
// Modules: PTX units of one fat binary, their variables and kernels.
#include "exec.h"

namespace cs {

std::string Module::key(PtxModule* m, const VarDecl& v) {
  if (v.visible || v.isExtern || units.size() == 1) return v.name;
  for (size_t i = 0; i < units.size(); i++)
    if (units[i].get() == m) return v.name + "@" + std::to_string(i);
  return v.name;
}

void Module::addUnit(std::string ptx, const std::string& origin) {
  auto u = parsePtx(std::move(ptx));
  u->origin = origin;
  target = u->target;
  units.push_back(std::move(u));
}

Alloc* Module::symbol(PtxModule* from, const std::string& name) {
  if (from) {
    VarDecl probe;
    probe.name = name;
    auto it = symbols.find(key(from, probe));
    if (it != symbols.end()) return it->second;
  }
  auto it = symbols.find(name);
  if (it != symbols.end()) return it->second;
  for (size_t i = 0; i < units.size() && !from; i++) {
    it = symbols.find(name + "@" + std::to_string(i));
    if (it != symbols.end()) return it->second;
  }
  return nullptr;
}

std::pair<PtxModule*, Function*> Module::findFunc(PtxModule* from, const std::string& name) {
  if (from) {
    auto it = from->funcIndex.find(name);
    if (it != from->funcIndex.end() && it->second->hasBody) return {from, it->second};
  }
  for (auto& u : units) {
    auto it = u->funcIndex.find(name);
    if (it != u->funcIndex.end() && it->second->hasBody) return {u.get(), it->second};
  }
  if (from) {
    auto it = from->funcIndex.find(name);
    if (it != from->funcIndex.end()) return {from, it->second};
  }
  return {nullptr, nullptr};
}

uint64_t Module::functionAddress(PtxModule* m, Function* f) {
  for (size_t i = 0; i < funcByAddr.size(); i++)
    if (funcByAddr[i].second == f) return kFuncWin + (i + 1) * 64;
  funcByAddr.push_back({m, f});
  return kFuncWin + funcByAddr.size() * 64;
}

bool Module::symbolAddress(PtxModule* from, const std::string& name, uint64_t& out, Space* sp) {
  if (Alloc* a = symbol(from, name)) {
    out = a->start;
    if (sp) *sp = a->kind == AllocKind::ConstSymbol ? Space::Const : Space::Global;
    return true;
  }
  auto f = findFunc(from, name);
  if (f.second) {
    out = functionAddress(f.first, f.second);
    return true;
  }
  return false;
}

void Module::initVar(PtxModule* m, VarDecl& v, Alloc* a) {
  char* p = (char*)(a->start + a->delta);
  memset(p, 0, a->size);
  if (!v.init.empty()) memcpy(p, v.init.data(), std::min<size_t>(v.init.size(), a->size));
  for (auto& r : v.relocs) {
    uint64_t addr = 0;
    if (!symbolAddress(m, r.symbol, addr)) {
      report("unresolved symbol '" + r.symbol + "' in the initializer of " + v.name);
      continue;
    }
    addr += (uint64_t)r.addend;
    addr >>= r.shift;
    memcpy(p + r.offset, &addr, (size_t)std::min(r.bytes, 8));
  }
}

void Module::link() {
  for (auto& u : units)
    for (auto& v : u->vars) {
      if (v.space != Space::Global && v.space != Space::Const) continue;
      if (v.isExtern) continue;
      std::string k = key(u.get(), v);
      if (symbols.count(k)) continue;
      AllocKind kind = v.space == Space::Const ? AllocKind::ConstSymbol
                       : v.managed             ? AllocKind::Managed
                                               : AllocKind::Symbol;
      Alloc* a = Memory::get().allocate(v.size, kind, 0, demangle(v.name));
      if (!a) throw SimError{2, "out of memory for module variables"};
      symbols[k] = a;
      vars[k] = {u.get(), &v};
      Memory::get().markInit(a->start, a->size);
    }
  resetVars();
}

void Module::resetVars() {
  for (auto& kv : vars) initVar(kv.second.first, *kv.second.second, symbols[kv.first]);
}

std::shared_ptr<Kernel> Module::kernel(const std::string& name) {
  auto it = kernels.find(name);
  if (it != kernels.end()) return it->second;
  auto f = findFunc(nullptr, name);
  if (!f.second || !f.second->isEntry) return nullptr;
  std::shared_ptr<Kernel> k;
  try {
    k = lowerKernel(*this, *f.first, *f.second);
  } catch (SimError& e) {
    k = std::make_shared<Kernel>();
    k->name = name;
    k->pretty = demangle(name);
    k->error = e.msg;
    k->module = this;
  }
  kernels[name] = k;
  return k;
}

}  // namespace cs
