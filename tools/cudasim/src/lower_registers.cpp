// SPDX-License-Identifier: Apache-2.0
// Lowering: constants, and register allocation by a linear scan over live intervals, so that the register file of a
// warp stays small.
#include "lowerer.h"

namespace cs {

uint32_t Lowerer::constant(int width, uint64_t v, uint64_t hi) {
  auto key = std::make_pair(width, std::make_pair(v, hi));
  auto it = poolIndex_.find(key);
  if (it != poolIndex_.end()) return it->second;
  size_t bytes = width == 1 ? 64 : (size_t)width * 32;
  size_t off = alignUp(pool_.size(), 64);
  pool_.resize(off + bytes);
  if (width == 1) {
    uint32_t m = v ? kFull : 0;
    memcpy(&pool_[off], &m, 4);
  } else {
    for (int i = 0; i < 32; i++) {
      memcpy(&pool_[off + (size_t)i * (size_t)width], &v, (size_t)std::min(width, 8));
      if (width == 16) memcpy(&pool_[off + (size_t)i * 16 + 8], &hi, 8);
    }
  }
  uint32_t ref = (uint32_t)off | 1;
  poolIndex_[key] = ref;
  return ref;
}

uint32_t Lowerer::newArray(int width) {
  uint32_t bytes = width == 1 ? 4 : (uint32_t)width * 32;
  regTop_ = (uint32_t)alignUp(regTop_, width == 1 ? 4 : 64);
  uint32_t r = regTop_;
  regTop_ += bytes;
  return r;
}

uint32_t Lowerer::temp(int width) {
  uint32_t r = newArray(width);
  cur_->ranges.push_back({r, width == 1 ? 4 : (uint32_t)width * 32});
  return r;
}

void Lowerer::operandRegs(const Operand& o, std::vector<int>& out) {
  if (o.kind == Operand::Reg || o.kind == Operand::Mem) {
    if (o.reg >= 0) out.push_back(o.reg);
  }
  for (auto& s : o.sub) operandRegs(s, out);
  if (o.second) operandRegs(*o.second, out);
}

bool Lowerer::noDest(std::string_view b) {
  static const std::set<std::string_view> s = {"st",
                                               "red",
                                               "bra",
                                               "brx",
                                               "ret",
                                               "exit",
                                               "fence",
                                               "membar",
                                               "prefetch",
                                               "prefetchu",
                                               "nanosleep",
                                               "trap",
                                               "griddepcontrol",
                                               "discard",
                                               "applypriority",
                                               "brkpt",
                                               "pmevent",
                                               "setmaxnreg",
                                               "cp",
                                               "sust"};
  return s.count(b) > 0;
}

Lowerer::DU Lowerer::defUse(const Instr& in) {
  DU d;
  std::string_view b = in.mods[0];
  bool first = !noDest(b);
  if ((b == "bar" || b == "barrier") && !in.has("red")) first = false;
  if (b == "call") {
    for (auto& o : in.ops) operandRegs(o, d.use);
    d.def = d.use;
  } else {
    for (size_t i = 0; i < in.ops.size(); i++) {
      const Operand& o = in.ops[i];
      if (i == 0 && first && o.kind != Operand::Mem) {
        operandRegs(o, d.def);
      } else {
        operandRegs(o, d.use);
      }
    }
  }
  if (in.guard >= 0) {
    d.use.push_back(in.guard);
    for (int r : d.def) d.use.push_back(r);  // partial write
  }
  return d;
}

int Lowerer::labelPc(const Fn& fn, std::string_view name, int scope) {
  int t = fn.f->findLabel(name, scope);
  if (t < 0) fail(strf("unknown label %.*s", (int)name.size(), name.data()));
  return t;
}

void Lowerer::allocateFrame(Fn& fn) {
  cur_ = &fn;
  Function& f = *fn.f;
  size_t n = f.body.size(), nr = f.regs.size();
  // basic blocks
  std::vector<char> leader(n + 1, 0);
  if (n) leader[0] = 1;
  for (auto& kv : f.labels)
    for (auto& l : kv.second)
      if ((size_t)l.pc <= n) leader[(size_t)l.pc] = 1;
  for (size_t i = 0; i < n; i++) {
    std::string_view b = f.body[i].mods[0];
    if (b == "bra" || b == "brx" || b == "ret" || b == "exit") leader[i + 1] = 1;
  }
  std::vector<int> blockOf(n + 1, 0);
  std::vector<size_t> begin;
  for (size_t i = 0; i < n; i++) {
    if (leader[i]) begin.push_back(i);
    blockOf[i] = (int)begin.size() - 1;
  }
  size_t nb = begin.size();
  begin.push_back(n);
  size_t words = (nr + 63) / 64;
  std::vector<DU> du(n);
  for (size_t i = 0; i < n; i++) du[i] = defUse(f.body[i]);
  std::vector<std::vector<uint64_t>> gen(nb, std::vector<uint64_t>(words)), kill = gen, in = gen, out = gen;
  std::vector<std::vector<int>> succ(nb);
  for (size_t b = 0; b < nb; b++) {
    for (size_t i = begin[b]; i < begin[b + 1]; i++) {
      for (int r : du[i].use)
        if (!(kill[b][(size_t)r / 64] >> (r & 63) & 1)) gen[b][(size_t)r / 64] |= 1ull << (r & 63);
      for (int r : du[i].def) kill[b][(size_t)r / 64] |= 1ull << (r & 63);
    }
    const Instr& last = f.body[begin[b + 1] - 1];
    std::string_view op = last.mods[0];
    bool fall = true;
    if (op == "bra") {
      int t = labelPc(fn, last.ops.at(0).name, last.scope);
      if ((size_t)t < n) succ[b].push_back(blockOf[(size_t)t]);
      fall = last.guard >= 0;
    } else if (op == "brx") {
      auto it = f.branchTables.find(last.ops.at(1).name);
      if (it != f.branchTables.end())
        for (auto& l : it->second) {
          int t = labelPc(fn, l, last.scope);
          if ((size_t)t < n) succ[b].push_back(blockOf[(size_t)t]);
        }
      fall = last.guard >= 0;
    } else if (op == "ret" || op == "exit" || op == "trap") {
      fall = last.guard >= 0;
    }
    if (fall && b + 1 < nb) succ[b].push_back((int)b + 1);
  }
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t b = nb; b-- > 0;) {
      for (size_t w = 0; w < words; w++) {
        uint64_t o = 0;
        for (int s : succ[b]) o |= in[(size_t)s][w];
        out[b][w] = o;
        uint64_t i2 = gen[b][w] | (o & ~kill[b][w]);
        if (i2 != in[b][w]) {
          in[b][w] = i2;
          changed = true;
        }
      }
    }
  }
  std::vector<int64_t> s(nr, INT64_MAX), e(nr, -1);
  auto touch = [&](int r, int64_t pos) {
    s[(size_t)r] = std::min(s[(size_t)r], pos);
    e[(size_t)r] = std::max(e[(size_t)r], pos);
  };
  for (size_t b = 0; b < nb; b++) {
    for (size_t r = 0; r < nr; r++) {
      if (in[b][r / 64] >> (r & 63) & 1) touch((int)r, (int64_t)begin[b] * 2);
      if (out[b][r / 64] >> (r & 63) & 1) touch((int)r, (int64_t)begin[b + 1] * 2);
    }
    for (size_t i = begin[b]; i < begin[b + 1]; i++) {
      bool wide = f.body[i].mods[0] == "atom" || f.body[i].mods[0] == "call";
      for (int r : du[i].use) touch(r, (int64_t)i * 2 + (wide ? 2 : 0));
      for (int r : du[i].def) touch(r, (int64_t)i * 2 + 1);
    }
  }
  // parameters passed in registers are live from the start
  for (size_t r = 0; r < nr && r < f.params.size() + f.rets.size(); r++) {
    bool regParam = false;
    for (auto* l : {&f.params, &f.rets})
      for (auto& p : *l)
        if (p.space == Space::Reg) regParam = true;
    if (regParam) {
      s[r] = 0;
      e[r] = (int64_t)n * 2 + 2;
    }
  }
  std::vector<int> order;
  for (size_t r = 0; r < nr; r++)
    if (e[r] >= 0) order.push_back((int)r);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return s[(size_t)a] < s[(size_t)b]; });
  fn.regRef.assign(nr, kNoRef);
  std::map<int, std::vector<uint32_t>> freeSlots;
  std::multimap<int64_t, int> active;
  int live = 0;
  for (int r : order) {
    while (!active.empty() && active.begin()->first < s[(size_t)r]) {
      int q = active.begin()->second;
      int w = widthOfTy(f.regs[(size_t)q].type);
      freeSlots[w].push_back(fn.regRef[(size_t)q]);
      live -= w == 1 ? 0 : std::max(1, w / 4);
      active.erase(active.begin());
    }
    int w = widthOfTy(f.regs[(size_t)r].type);
    auto& fs = freeSlots[w];
    if (!fs.empty()) {
      fn.regRef[(size_t)r] = fs.back();
      fs.pop_back();
    } else {
      fn.regRef[(size_t)r] = newArray(w);
      fn.ranges.push_back({fn.regRef[(size_t)r], w == 1 ? 4u : (uint32_t)w * 32});
    }
    live += w == 1 ? 0 : std::max(1, w / 4);
    fn.peakRegs = std::max(fn.peakRegs, live);
    active.emplace(e[(size_t)r], r);
  }
  // parameter storage
  auto slot = [&](const VarDecl& v) {
    uint32_t stride = (uint32_t)alignUp(std::max<uint64_t>(v.size, 4), std::max<uint32_t>(v.align, 4));
    regTop_ = (uint32_t)alignUp(regTop_, 64);
    fn.slots[v.name] = {regTop_, stride, (uint32_t)v.size};
    fn.ranges.push_back({regTop_, stride * 32});
    regTop_ += stride * 32;
  };
  if (!f.isEntry)
    for (auto* l : {&f.params, &f.rets})
      for (auto& p : *l)
        if (p.space == Space::Param) slot(p);
  for (auto& v : f.locals) {
    if (v.space == Space::Param) slot(v);
    if (v.space == Space::Local) {
      fn.localSize = (uint32_t)alignUp(fn.localSize, std::max<uint32_t>(v.align, 4));
      fn.locals[v.name] = fn.localSize;
      fn.localSize += (uint32_t)v.size;
    }
  }
  fn.localSize = (uint32_t)alignUp(fn.localSize, 16);
}

CallInfo::Copy Lowerer::copyDst(Fn& fn, const VarDecl& p) {
  CallInfo::Copy c{};
  if (p.space == Space::Reg) {
    fail("register parameters of indirect functions");
  }
  Slot& s = fn.slots[p.name];
  c.dst = s.off;
  c.dstStride = s.stride;
  c.bytes = s.size;
  return c;
}

}  // namespace cs
