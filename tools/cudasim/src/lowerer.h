// SPDX-License-Identifier: Apache-2.0
// The lowering of one kernel: what its parts, lower*.cpp, share. PTX instructions become Ops (exec.h), PTX registers
// places in a warp's register file.
#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "exec.h"
#include "fpbits.h"

namespace cs {

struct LowerError {
  std::string msg;
};

int widthOfTy(Ty t);  // register bytes; 1 = predicate
bool isFloat(Ty t);
const char* tyName(Ty t);
std::string bName(Ty t);  // "b32"

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
// Used by lowerKernel() only.
class Lowerer {
 public:
  Lowerer(Module& m, PtxModule& pm, Function& f);

  std::shared_ptr<Kernel> run();

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
  int addFn(PtxModule* pm, Function* f);
  void discover(PtxModule& pm, Function& f);
  void computeRecursion();

  void setupEntry(Function& f);

  void layoutShared();
  void collectSyms(const std::vector<Operand>& ops, std::set<std::string>& out);

  // ---- constants and temporaries
  uint32_t constant(int width, uint64_t v, uint64_t hi = 0);
  uint32_t newArray(int width);
  uint32_t temp(int width);

  // ---- liveness and allocation
  struct DU {
    std::vector<int> use, def;
  };
  void operandRegs(const Operand& o, std::vector<int>& out);
  static bool noDest(std::string_view b);
  DU defUse(const Instr& in);
  int labelPc(const Fn& fn, std::string_view name, int scope);

  void allocateFrame(Fn& fn);

  CallInfo::Copy copyDst(Fn& fn, const VarDecl& p);

  // ---- operands
  int regWidth(int r) { return widthOfTy(cur_->f->regs[(size_t)r].type); }

  uint32_t dst(const Operand& o, int width);
  uint32_t regRef(int r);
  uint64_t immBits(const Operand& o, Ty ty, int width);
  uint32_t src(const Operand& o, int width, Ty ty = Ty::None);
  uint32_t symbolAddr(const Operand& o, int width);

  // ---- emission
  int push(Op op);
  uint32_t* ext(const std::vector<uint32_t>& v);
  void emitSreg(std::string_view name, uint32_t d, int width);

  void emitFunction(Fn& fn);

  static Space spaceOfMods(const Instr& in, Space dflt);
  static Ty lastType(const Instr& in);
  static int vecLen(const Instr& in) { return in.has("v2") ? 2 : in.has("v4") ? 4 : in.has("v8") ? 8 : 1; }

  // Fills address fields (a, imm, addr32) of a memory op.
  void address(Op& op, const Operand& o);

  int elemRegWidth(const Operand& o, Ty ty);

  void emitLd(const Instr& in);

  void emitSt(const Instr& in);

  void emitAtom(const Instr& in, bool red);

  void emitCall(const Instr& in);
  // register frames of every function in the same cycle as `f`
  void saveRanges(CallInfo& ci, int f);

  // comparison shared by setp and set
  void emitSetp(const Instr& in, uint32_t d, uint32_t d2, Ty ty);

  void simple(const std::string& key, const Instr& in, std::initializer_list<Ty> tys = {});

  void emitMov(const Instr& in);

  void emitWSync(const char* h, Op op, const Operand& mask);

  void emitBar(const Instr& in);

  void emitNop(const Instr&, Cls c = C_LDST);

  // prefetch, prefetchu [a]; cp.async.bulk.prefetch [a], size
  void emitPrefetch(const Instr& in);

  void emitMbarrier(const Instr& in);

  uint32_t memReg(const Operand& o, bool& is32);

  void emitCp(const Instr& in);
  void bulkCopy(const Instr& in, int reduce);

  void emitCvt(const Instr& in);

  void emit(const Instr& in);
};

}  // namespace cs
