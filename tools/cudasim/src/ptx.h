// SPDX-License-Identifier: Apache-2.0
// PTX front end: text -> module / function / instruction records.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cs {

enum class Ty : uint8_t {
  None,
  Pred,
  B8,
  B16,
  B32,
  B64,
  B128,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  BF16,
  F16x2,
  BF16x2,
  F32,
  F64,
  TF32,
  F32x2,
  E4M3,
  E5M2,
  E4M3x2,
  E5M2x2,
  U16x2,
  S16x2,
  E2M1x2,
  E2M3x2,
  E3M2x2,
  UE8M0x2,
  E4M3x4,
  E5M2x4,
  E2M1x4,
  E2M3x4,
  E3M2x4,
};
Ty parseType(std::string_view s);  // "f32" -> Ty::F32, else Ty::None
int tyBytes(Ty t);
inline bool tySigned(Ty t) { return t == Ty::S8 || t == Ty::S16 || t == Ty::S32 || t == Ty::S64; }

enum class Space : uint8_t { Generic, Reg, Global, Shared, Local, Const, Param, SharedCluster };

struct VarInit {  // one pointer-sized relocation in an initializer
  uint32_t offset;
  std::string symbol;
  int64_t addend;
  int shift = 0;  // for mask(symbol) byte selectors
  int bytes = 8;
  bool generic = false;
};
struct VarDecl {
  std::string name;
  Space space = Space::Global;
  Ty type = Ty::B8;
  uint32_t align = 1;
  uint64_t size = 0;  // bytes
  bool isExtern = false, isArray = false, managed = false, visible = false;
  std::vector<uint8_t> init;
  std::vector<VarInit> relocs;
};

struct Operand {
  enum Kind : uint8_t { None, Reg, Imm, Flt, Sym, Mem, Vec, SReg, Sink, List } kind = None;
  bool neg = false;                 // !p
  int reg = -1;                     // Reg: function register id; Mem: base register id or -1
  Ty fty = Ty::None;                // Flt: F32 or F64 for 0f/0d literals, None for decimal
  int64_t imm = 0;                  // Imm value; Flt: double bits; Mem/Sym: byte offset
  std::string_view name;            // Sym / SReg / Mem symbol
  std::vector<Operand> sub;         // Vec, List
  std::unique_ptr<Operand> second;  // the q of p|q
  Operand() = default;
  Operand(Operand&&) = default;
  Operand& operator=(Operand&&) = default;
};

struct Instr {
  std::string_view text;               // opcode token, e.g. "ld.global.f32"
  std::vector<std::string_view> mods;  // text split at dots; mods[0] is the base name
  std::vector<Operand> ops;
  int guard = -1;  // predicate register id
  bool guardNeg = false;
  int line = 0;                       // line in the PTX text
  uint32_t srcFile = 0, srcLine = 0;  // from .loc
  int scope = 0;                      // label lookup scope
  bool has(std::string_view m) const {
    for (auto& x : mods)
      if (x == m) return true;
    return false;
  }
};

struct RegInfo {
  Ty type;
};
struct Label {
  int scope;
  int pc;
};

struct Function {
  std::string name;
  bool isEntry = false, hasBody = false, parsed = false;
  std::vector<VarDecl> params, rets;
  std::vector<VarDecl> locals;  // .local/.shared/.param declared in the body (unique names)
  std::vector<RegInfo> regs;
  std::vector<Instr> body;
  std::unordered_map<std::string_view, std::vector<Label>> labels;
  std::unordered_map<std::string_view, std::vector<std::string_view>> branchTables;
  std::vector<int> scopeParent;
  int maxntid[3] = {0, 0, 0};
  int reqntid[3] = {0, 0, 0};
  int minctas = 0, maxnreg = 0;
  int cluster[3] = {0, 0, 0};
  size_t bodyBegin = 0, bodyEnd = 0;  // text range of the body
  int bodyLine = 0;
  std::vector<std::unique_ptr<std::string>> names;  // storage for renamed identifiers
  int findLabel(std::string_view n, int scope) const;
};

struct PtxModule {
  std::string text;
  std::string origin;
  int version10 = 0, target = 0;
  std::vector<VarDecl> vars;
  std::unordered_map<std::string, int> varIndex;
  std::vector<std::unique_ptr<Function>> funcs;
  std::unordered_map<std::string, Function*> funcIndex;
  std::unordered_map<uint32_t, std::string> files;
  std::string lineText(int line) const;  // source text of a PTX line
};

// Parses declarations; function bodies are only located (parseBody does them lazily).
std::unique_ptr<PtxModule> parsePtx(std::string text);
void parseBody(PtxModule& m, Function& f);

}  // namespace cs
