// SPDX-License-Identifier: Apache-2.0
// Lowering: PTX instructions -> Ops. Also register allocation (linear scan over
// live intervals) so that the register file of a warp stays small.
#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "exec.h"
#include "fpbits.h"

namespace cs {

namespace {

struct LowerError {
  std::string msg;
};

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

struct Slot {  // per-lane byte storage (function parameters)
  uint32_t off, stride, size;
};

struct Fn {
  PtxModule* pm = nullptr;
  Function* f = nullptr;
  int index = 0;
  int basePc = 0;
  std::vector<uint32_t> regRef;                         // virtual register -> operand ref
  std::vector<std::pair<uint32_t, uint32_t>> ranges;    // register arrays of this frame
  std::map<std::string, Slot, std::less<>> slots;       // .param variables
  std::map<std::string, uint32_t, std::less<>> locals;  // .local variable -> frame offset
  uint32_t localSize = 0;
  std::vector<int> callees;
  bool hasIndirect = false;
  int peakRegs = 0;
};

class Lowerer {
 public:
  Lowerer(Module& m, PtxModule& pm, Function& f) : mod_(m) {
    k_ = std::make_shared<Kernel>();
    k_->module = &m;
    k_->name = f.name;
    k_->pretty = demangle(f.name);
    discover(pm, f);
  }

  std::shared_ptr<Kernel> run() {
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
      auto it =
          std::find_if(mod_.funcByAddr.begin(), mod_.funcByAddr.end(), [&](auto& p) { return p.second == fn->f; });
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

 private:
  Module& mod_;
  std::shared_ptr<Kernel> k_;
  std::vector<std::unique_ptr<Fn>> fns_;
  std::map<Function*, int> fnIndex_;
  uint32_t regTop_ = 0;
  std::vector<char> pool_;
  std::map<std::pair<int, std::pair<uint64_t, uint64_t>>, uint32_t> poolIndex_;
  std::vector<std::pair<int, int>> callFix_;
  std::map<std::string, uint32_t, std::less<>> sharedOff_;
  Fn* cur_ = nullptr;
  const Instr* in_ = nullptr;
  std::map<int, std::vector<uint32_t>> temps_;
  std::vector<std::vector<bool>> reach_;

  [[noreturn]] void fail(const std::string& m) { throw LowerError{m}; }

  // ---- discovery of reachable functions
  int addFn(PtxModule* pm, Function* f) {
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
  void discover(PtxModule& pm, Function& f) {
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
  void computeRecursion() {
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

  void setupEntry(Function& f) {
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

  void layoutShared() {
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
  void collectSyms(const std::vector<Operand>& ops, std::set<std::string>& out) {
    for (auto& o : ops) {
      if (!o.name.empty()) out.insert(std::string(o.name));
      collectSyms(o.sub, out);
    }
  }

  // ---- constants and temporaries
  uint32_t constant(int width, uint64_t v, uint64_t hi = 0) {
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
  uint32_t newArray(int width) {
    uint32_t bytes = width == 1 ? 4 : (uint32_t)width * 32;
    regTop_ = (uint32_t)alignUp(regTop_, width == 1 ? 4 : 64);
    uint32_t r = regTop_;
    regTop_ += bytes;
    return r;
  }
  uint32_t temp(int width) {
    uint32_t r = newArray(width);
    cur_->ranges.push_back({r, width == 1 ? 4 : (uint32_t)width * 32});
    return r;
  }

  // ---- liveness and allocation
  struct DU {
    std::vector<int> use, def;
  };
  void operandRegs(const Operand& o, std::vector<int>& out) {
    if (o.kind == Operand::Reg || o.kind == Operand::Mem) {
      if (o.reg >= 0) out.push_back(o.reg);
    }
    for (auto& s : o.sub) operandRegs(s, out);
    if (o.second) operandRegs(*o.second, out);
  }
  static bool noDest(std::string_view b) {
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
  DU defUse(const Instr& in) {
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
  int labelPc(const Fn& fn, std::string_view name, int scope) {
    int t = fn.f->findLabel(name, scope);
    if (t < 0) fail(strf("unknown label %.*s", (int)name.size(), name.data()));
    return t;
  }

  void allocateFrame(Fn& fn) {
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

  CallInfo::Copy copyDst(Fn& fn, const VarDecl& p) {
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

  // ---- operands
  int regWidth(int r) { return widthOfTy(cur_->f->regs[(size_t)r].type); }

  uint32_t dst(const Operand& o, int width) {
    if (o.kind == Operand::Sink) return width == 1 ? kNoRef : temp(width);
    if (o.kind != Operand::Reg) fail("destination must be a register");
    if (regWidth(o.reg) != width) fail(strf("destination register width %d, expected %d", regWidth(o.reg), width));
    uint32_t r = cur_->regRef[(size_t)o.reg];
    return r == kNoRef ? temp(width) : r;
  }
  uint32_t regRef(int r) {
    uint32_t x = cur_->regRef[(size_t)r];
    return x == kNoRef ? temp(regWidth(r)) : x;
  }
  uint64_t immBits(const Operand& o, Ty ty, int width) {
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
  uint32_t src(const Operand& o, int width, Ty ty = Ty::None) {
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
  uint32_t symbolAddr(const Operand& o, int width) {
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

  // ---- emission
  int push(Op op) {
    op.src = in_;
    if (in_ && in_->guard >= 0 && op.guard == kNoRef) {
      op.guard = regRef(in_->guard);
      op.guardNeg = in_->guardNeg;
    }
    k_->code.push_back(op);
    return (int)k_->code.size() - 1;
  }
  uint32_t* ext(const std::vector<uint32_t>& v) {
    k_->extStore.push_back(std::make_unique<std::vector<uint32_t>>(v));
    return k_->extStore.back()->data();
  }
  void emitSreg(std::string_view name, uint32_t d, int width) {
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

  void emitFunction(Fn& fn) {
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
        throw SimError{218, strf("unsupported PTX instruction (operands)\nkernel %s, PTX line %d: %s",
                                 k_->pretty.c_str(), in_->line, fn.pm->lineText(in_->line).c_str())};
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

  static Space spaceOfMods(const Instr& in, Space dflt) {
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
  static Ty lastType(const Instr& in) {
    for (size_t i = in.mods.size(); i-- > 1;) {
      Ty t = parseType(in.mods[i]);
      if (t != Ty::None) return t;
    }
    return Ty::None;
  }
  static int vecLen(const Instr& in) { return in.has("v2") ? 2 : in.has("v4") ? 4 : in.has("v8") ? 8 : 1; }

  // Fills address fields (a, imm, addr32) of a memory op.
  void address(Op& op, const Operand& o) {
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

  int elemRegWidth(const Operand& o, Ty ty) {
    if (o.kind == Operand::Reg) return regWidth(o.reg);
    return std::max(2, tyBytes(ty));
  }

  void emitLd(const Instr& in) {
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

  void emitSt(const Instr& in) {
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

  void emitAtom(const Instr& in, bool red) {
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

  void emitCall(const Instr& in) {
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
  // register frames of every function in the same cycle as `f`
  void saveRanges(CallInfo& ci, int f) {
    for (auto& g : fns_) {
      size_t gi = (size_t)g->index;
      if (gi == (size_t)f || (reach_[gi][(size_t)f] && reach_[(size_t)f][gi]))
        for (auto& r : g->ranges) ci.saveRanges.push_back(r);
    }
  }

  // comparison shared by setp and set
  void emitSetp(const Instr& in, uint32_t d, uint32_t d2, Ty ty) {
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

  void simple(const std::string& key, const Instr& in, std::initializer_list<Ty> tys = {}) {
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

  void emitMov(const Instr& in) {
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

  void emitWSync(const char* h, Op op, const Operand& mask) {
    op.fn = warpHandler(h);
    op.cls = C_SYNC;
    op.kind = K_WSYNC;
    op.e = src(mask, 4);
    push(op);
  }

  void emitBar(const Instr& in) {
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

  void emitNop(const Instr&, Cls c = C_LDST) {
    Op op;
    op.fn = memHandler("nop");
    op.cls = c;
    push(op);
  }

  // prefetch, prefetchu [a]; cp.async.bulk.prefetch [a], size
  void emitPrefetch(const Instr& in) {
    Op op;
    op.fn = memHandler("prefetch");
    op.cls = C_LDST;
    op.space = spaceOfMods(in, Space::Generic);
    address(op, in.ops.at(0));
    if (in.has("bulk")) op.b = src(in.ops.at(1), 4);
    push(op);
  }

  void emitMbarrier(const Instr& in) {
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

  uint32_t memReg(const Operand& o, bool& is32) {  // address operand as one register
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

  void emitCp(const Instr& in) {
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
  void bulkCopy(const Instr& in, int reduce) {
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

  void emitCvt(const Instr& in) {
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

  void emit(const Instr& in);
};

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

}  // namespace

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
