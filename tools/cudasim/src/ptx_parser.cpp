// SPDX-License-Identifier: Apache-2.0
// PTX parser: modules, variables with their initializers, declarations of functions; bodies are in ptx_body.cpp.
// Lenient: unknown opcodes are kept as text, the lowering step decides whether they can be executed.
#include <algorithm>
#include <cctype>

#include "ptx_lexer.h"

namespace cs {

namespace {

struct TyName {
  const char* n;
  Ty t;
  int bytes;
};
const TyName kTypes[] = {
    {"pred", Ty::Pred, 1},     {"b8", Ty::B8, 1},         {"b16", Ty::B16, 2},       {"b32", Ty::B32, 4},
    {"b64", Ty::B64, 8},       {"b128", Ty::B128, 16},    {"u8", Ty::U8, 1},         {"u16", Ty::U16, 2},
    {"u32", Ty::U32, 4},       {"u64", Ty::U64, 8},       {"s8", Ty::S8, 1},         {"s16", Ty::S16, 2},
    {"s32", Ty::S32, 4},       {"s64", Ty::S64, 8},       {"f16", Ty::F16, 2},       {"bf16", Ty::BF16, 2},
    {"f16x2", Ty::F16x2, 4},   {"bf16x2", Ty::BF16x2, 4}, {"f32", Ty::F32, 4},       {"f64", Ty::F64, 8},
    {"tf32", Ty::TF32, 4},     {"f32x2", Ty::F32x2, 8},   {"e4m3", Ty::E4M3, 1},     {"e5m2", Ty::E5M2, 1},
    {"e4m3x2", Ty::E4M3x2, 2}, {"e5m2x2", Ty::E5M2x2, 2}, {"u16x2", Ty::U16x2, 4},   {"s16x2", Ty::S16x2, 4},
    {"e2m1x2", Ty::E2M1x2, 1}, {"e2m3x2", Ty::E2M3x2, 2}, {"e3m2x2", Ty::E3M2x2, 2}, {"ue8m0x2", Ty::UE8M0x2, 2},
    {"e4m3x4", Ty::E4M3x4, 4}, {"e5m2x4", Ty::E5M2x4, 4}, {"e2m1x4", Ty::E2M1x4, 2}, {"e2m3x4", Ty::E2M3x4, 4},
    {"e3m2x4", Ty::E3M2x4, 4},
};

}  // namespace

// Parses a numeric token. Returns kind Imm or Flt.
Operand number(std::string_view t, int line) {
  Operand o;
  std::string s(t);
  if (s.size() > 2 && s[0] == '0' && (s[1] == 'f' || s[1] == 'F')) {
    uint32_t b = (uint32_t)strtoul(s.c_str() + 2, nullptr, 16);
    float f;
    memcpy(&f, &b, 4);
    double d = f;
    if (f != f) {  // keep NaN payload
      uint64_t db = ((uint64_t)(b >> 31) << 63) | 0x7ff0000000000000ull | ((uint64_t)(b & 0x7fffff) << 29);
      memcpy(&d, &db, 8);
    }
    o.kind = Operand::Flt;
    o.fty = Ty::F32;
    o.imm = b;
    return o;
  }
  if (s.size() > 2 && s[0] == '0' && (s[1] == 'd' || s[1] == 'D')) {
    o.kind = Operand::Flt;
    o.fty = Ty::F64;
    o.imm = (int64_t)strtoull(s.c_str() + 2, nullptr, 16);
    return o;
  }
  if (s.find('.') != std::string::npos ||
      (s.find_first_of("eE") != std::string::npos && !(s.size() > 1 && (s[1] == 'x' || s[1] == 'X')))) {
    double d = strtod(s.c_str(), nullptr);
    o.kind = Operand::Flt;
    o.fty = Ty::None;
    memcpy(&o.imm, &d, 8);
    return o;
  }
  o.kind = Operand::Imm;
  while (!s.empty() && (s.back() == 'U' || s.back() == 'u')) s.pop_back();
  if (s.size() > 2 && s[0] == '0' && (s[1] == 'b' || s[1] == 'B'))
    o.imm = (int64_t)strtoull(s.c_str() + 2, nullptr, 2);
  else
    o.imm = (int64_t)strtoull(s.c_str(), nullptr, 0);
  (void)line;
  return o;
}

int64_t intTok(Lexer& lx) {
  bool neg = false;
  while (lx.is('-')) {
    neg = !neg;
    lx.next();
  }
  if (lx.kind != Lexer::Num) bad(lx.line, "number expected");
  Operand o = number(lx.tok, lx.line);
  lx.next();
  return neg ? -o.imm : o.imm;
}

// Parses ".align N", ".vN", type, name, dims of a variable or parameter.
// The state-space token has been consumed.
VarDecl parseVar(Lexer& lx, Space sp) {
  VarDecl v;
  v.space = sp;
  int vec = 1;
  bool haveType = false;
  while (lx.kind == Lexer::Id && lx.tok[0] == '.') {
    std::string_view t = lx.tok;
    if (t == ".align") {
      lx.next();
      v.align = (uint32_t)intTok(lx);
      continue;
    }
    if (t == ".v2" || t == ".v4" || t == ".v8") {
      vec = t[2] - '0';
    } else if (t == ".ptr") {  // .ptr .space .align N
      lx.next();
      while (lx.kind == Lexer::Id && lx.tok[0] == '.') {
        if (lx.tok == ".align") {
          lx.next();
          intTok(lx);
        } else {
          lx.next();
        }
      }
      continue;
    } else if (t == ".attribute") {
      lx.next();
      lx.expect('(');
      int depth = 1;
      while (depth > 0 && lx.kind != Lexer::End) {
        if (lx.is('(')) depth++;
        if (lx.is(')')) depth--;
        if (lx.isId(".managed")) v.managed = true;
        lx.next();
      }
      continue;
    } else {
      Ty ty = parseType(t.substr(1));
      if (ty != Ty::None) {
        v.type = ty;
        haveType = true;
      } else if (t == ".texref" || t == ".samplerref" || t == ".surfref") {
        v.type = Ty::U64;
        haveType = true;
      } else {
        bad(lx.line, strf("unexpected '%.*s' in a declaration", (int)t.size(), t.data()));
      }
    }
    lx.next();
  }
  if (!haveType) bad(lx.line, "type expected in a declaration");
  if (lx.kind == Lexer::Id) {
    v.name = std::string(lx.tok);
    lx.next();
  }
  uint64_t n = 1;
  while (lx.accept('[')) {
    v.isArray = true;
    if (lx.is(']')) {
      n = 0;
    } else {
      n *= (uint64_t)intTok(lx);
    }
    lx.expect(']');
  }
  uint32_t eb = (uint32_t)tyBytes(v.type) * (uint32_t)vec;
  v.size = n * eb;
  v.align = std::max<uint32_t>(v.align, eb ? eb : 1);
  return v;
}

bool spaceOf(std::string_view t, Space& s) {
  if (t == ".global")
    s = Space::Global;
  else if (t == ".const")
    s = Space::Const;
  else if (t == ".shared")
    s = Space::Shared;
  else if (t == ".local")
    s = Space::Local;
  else if (t == ".param")
    s = Space::Param;
  else if (t == ".tex")
    s = Space::Global;
  else
    return false;
  return true;
}

static void storeInit(VarDecl& v, uint64_t off, const Operand& o, int eb, bool neg) {
  if (v.init.size() < off + eb) v.init.resize(off + eb, 0);
  uint64_t bits = (uint64_t)o.imm;
  if (o.kind == Operand::Flt) {
    double d;
    if (o.fty == Ty::F32) {
      float f;
      uint32_t b = (uint32_t)o.imm;
      memcpy(&f, &b, 4);
      if (eb == 4 && !neg) {
        memcpy(&v.init[off], &b, 4);
        return;
      }
      d = f;
    } else {
      memcpy(&d, &o.imm, 8);
    }
    if (neg) d = -d;
    if (eb == 4) {
      float f = (float)d;
      memcpy(&v.init[off], &f, 4);
      return;
    }
    memcpy(&bits, &d, 8);
  } else if (neg) {
    bits = 0 - bits;
  }
  memcpy(&v.init[off], &bits, (size_t)std::min(eb, 8));
}

void parseInit(Lexer& lx, VarDecl& v, uint64_t& off, int eb) {
  if (lx.accept('{')) {
    while (!lx.is('}') && lx.kind != Lexer::End) {
      parseInit(lx, v, off, eb);
      if (!lx.accept(',')) break;
    }
    lx.expect('}');
    return;
  }
  bool neg = false;
  while (lx.is('-')) {
    neg = !neg;
    lx.next();
  }
  if (lx.kind == Lexer::Num) {
    Operand o = number(lx.tok, lx.line);
    lx.next();
    if (lx.is('(')) {  // mask(symbol)
      lx.next();
      VarInit r;
      r.offset = (uint32_t)off;
      r.bytes = eb;
      uint64_t mask = (uint64_t)o.imm;
      while (mask && !(mask & 0xff)) {
        r.shift += 8;
        mask >>= 8;
      }
      if (lx.isId("generic")) {
        lx.next();
        lx.expect('(');
        r.symbol = std::string(lx.tok);
        lx.next();
        lx.expect(')');
      } else {
        r.symbol = std::string(lx.tok);
        lx.next();
      }
      r.addend = 0;
      if (lx.is('+')) {
        lx.next();
        r.addend = intTok(lx);
      }
      lx.expect(')');
      v.relocs.push_back(r);
      off += eb;
      return;
    }
    storeInit(v, off, o, eb, neg);
    off += eb;
    return;
  }
  if (lx.kind == Lexer::Id) {
    VarInit r;
    r.offset = (uint32_t)off;
    r.bytes = eb;
    if (lx.isId("generic")) {
      lx.next();
      lx.expect('(');
      r.generic = true;
      r.symbol = std::string(lx.tok);
      lx.next();
      lx.expect(')');
    } else {
      r.symbol = std::string(lx.tok);
      lx.next();
    }
    r.addend = 0;
    while (lx.is('+') || lx.is('-')) {
      bool minus = lx.is('-');
      lx.next();
      int64_t k = intTok(lx);
      r.addend += minus ? -k : k;
    }
    v.relocs.push_back(r);
    off += eb;
    return;
  }
  bad(lx.line, "initializer expected");
}

namespace {

void parseParamList(Lexer& lx, std::vector<VarDecl>& out) {
  lx.expect('(');
  while (!lx.is(')')) {
    if (lx.kind == Lexer::End) bad(lx.line, "unterminated parameter list");
    Space s = Space::Param;
    if (lx.isId(".reg")) {
      s = Space::Reg;
      lx.next();
    } else if (lx.isId(".param")) {
      lx.next();
    }
    out.push_back(parseVar(lx, s));
    if (!lx.accept(',')) break;
  }
  lx.expect(')');
}

void parseFunc(PtxModule& m, Lexer& lx, bool entry) {
  std::vector<VarDecl> rets, params;
  if (!entry && lx.is('(')) parseParamList(lx, rets);
  std::string name(lx.tok);
  lx.next();
  if (lx.is('(')) parseParamList(lx, params);
  auto fn = std::make_unique<Function>();
  fn->name = name;
  fn->isEntry = entry;
  fn->rets = std::move(rets);
  fn->params = std::move(params);
  // performance directives
  while (lx.kind == Lexer::Id && lx.tok[0] == '.') {
    std::string_view d = lx.tok;
    lx.next();
    int vals[3] = {0, 0, 0}, n = 0;
    if (d == ".pragma" || d == ".abi_preserve" || d == ".abi_preserve_control") {
      while (!lx.is(';') && !lx.is('{') && lx.kind != Lexer::End) lx.next();
      if (d == ".pragma") lx.accept(';');
      continue;
    }
    while (lx.kind == Lexer::Num && n < 3) {
      vals[n++] = (int)intTok(lx);
      if (!lx.accept(',')) break;
    }
    int* dst = d == ".maxntid"             ? fn->maxntid
               : d == ".reqntid"           ? fn->reqntid
               : d == ".reqnctapercluster" ? fn->cluster
                                           : nullptr;
    if (dst)
      for (int i = 0; i < 3; i++) dst[i] = i < n ? vals[i] : 1;
    if (d == ".minnctapersm") fn->minctas = vals[0];
    if (d == ".maxnreg") fn->maxnreg = vals[0];
  }
  if (lx.is('{')) {
    fn->hasBody = true;
    fn->bodyLine = lx.line;
    fn->bodyBegin = (size_t)(lx.p - m.text.data());  // just after '{'
    // fast scan for the matching brace
    int depth = 1;
    const char* p = lx.p;
    int line = lx.line;
    while (p < lx.end && depth > 0) {
      char c = *p;
      if (c == '\n')
        line++;
      else if (c == '{')
        depth++;
      else if (c == '}')
        depth--;
      else if (c == '/' && p + 1 < lx.end && p[1] == '/') {
        while (p < lx.end && *p != '\n') p++;
        continue;
      } else if (c == '/' && p + 1 < lx.end && p[1] == '*') {
        p += 2;
        while (p + 1 < lx.end && !(p[0] == '*' && p[1] == '/')) {
          if (*p == '\n') line++;
          p++;
        }
        p++;
      } else if (c == '"') {
        p++;
        while (p < lx.end && *p != '"') p++;
      }
      p++;
    }
    fn->bodyEnd = (size_t)(p - 1 - m.text.data());
    lx.p = p;
    lx.line = line;
    lx.next();
  } else {
    lx.accept(';');
  }
  auto it = m.funcIndex.find(name);
  if (it != m.funcIndex.end()) {
    if (fn->hasBody) *it->second = std::move(*fn);
  } else {
    m.funcIndex[name] = fn.get();
    m.funcs.push_back(std::move(fn));
  }
}

}  // namespace

Ty parseType(std::string_view s) {
  for (auto& t : kTypes)
    if (s == t.n) return t.t;
  return Ty::None;
}
int tyBytes(Ty t) {
  for (auto& k : kTypes)
    if (k.t == t) return k.bytes;
  return 0;
}

int Function::findLabel(std::string_view n, int scope) const {
  auto it = labels.find(n);
  if (it == labels.end()) return -1;
  for (int s = scope; s >= 0; s = scopeParent[s])
    for (auto& l : it->second)
      if (l.scope == s) return l.pc;
  return it->second[0].pc;
}

std::string PtxModule::lineText(int line) const {
  size_t p = 0;
  for (int i = 1; i < line; i++) {
    p = text.find('\n', p);
    if (p == std::string::npos) return "";
    p++;
  }
  size_t e = text.find('\n', p);
  std::string s = text.substr(p, e == std::string::npos ? e : e - p);
  size_t b = s.find_first_not_of(" \t\r");
  if (b == std::string::npos) return "";
  s = s.substr(b);
  for (char& c : s)
    if (c == '\t') c = ' ';
  while (!s.empty() && isspace((unsigned char)s.back())) s.pop_back();
  return s;
}

std::unique_ptr<PtxModule> parsePtx(std::string text) {
  auto mp = std::make_unique<PtxModule>();
  PtxModule& m = *mp;
  m.text = std::move(text);
  Lexer lx(m.text.data(), m.text.data() + m.text.size(), 1);
  bool isExtern = false, visible = false;
  while (lx.kind != Lexer::End) {
    if (lx.kind != Lexer::Id) {
      lx.next();
      continue;
    }
    std::string_view t = lx.tok;
    Space sp;
    if (t == ".version") {
      lx.next();
      m.version10 = (int)(strtod(std::string(lx.tok).c_str(), nullptr) * 10 + 0.5);
      lx.next();
    } else if (t == ".target") {
      lx.next();
      if (lx.tok.substr(0, 3) == "sm_") m.target = atoi(std::string(lx.tok.substr(3)).c_str());
      lx.next();
      while (lx.accept(',')) lx.next();
    } else if (t == ".address_size") {
      lx.next();
      lx.next();
    } else if (t == ".file") {
      lx.next();
      uint32_t idx = (uint32_t)intTok(lx);
      if (lx.kind == Lexer::Str) {
        m.files[idx] = std::string(lx.tok.substr(1, lx.tok.size() - 2));
        lx.next();
      }
      while (lx.accept(',')) intTok(lx);
    } else if (t == ".section") {
      while (!lx.is('{') && lx.kind != Lexer::End) lx.next();
      // raw skip: debug sections can be large
      int depth = 1, line = lx.line;
      const char* p = lx.p;
      while (p < lx.end && depth) {
        if (*p == '{')
          depth++;
        else if (*p == '}')
          depth--;
        else if (*p == '\n')
          line++;
        p++;
      }
      lx.p = p;
      lx.line = line;
      lx.next();
    } else if (t == ".visible" || t == ".weak" || t == ".common") {
      visible = true;
      lx.next();
    } else if (t == ".extern") {
      isExtern = true;
      lx.next();
    } else if (t == ".entry" || t == ".func") {
      lx.next();
      if (t == ".func" && lx.isId(".attribute")) {
        while (!lx.is(')') && lx.kind != Lexer::End) lx.next();
        lx.next();
      }
      parseFunc(m, lx, t == ".entry");
      isExtern = visible = false;
    } else if (spaceOf(t, sp)) {
      lx.next();
      VarDecl v = parseVar(lx, sp);
      v.isExtern = isExtern;
      v.visible = visible;
      if (lx.accept('=')) {
        uint64_t off = 0;
        parseInit(lx, v, off, tyBytes(v.type));
        if (v.size == 0) v.size = off;
      }
      lx.accept(';');
      auto it = m.varIndex.find(v.name);
      if (it == m.varIndex.end()) {
        m.varIndex[v.name] = (int)m.vars.size();
        m.vars.push_back(std::move(v));
      } else if (m.vars[it->second].isExtern) {
        m.vars[it->second] = std::move(v);
      }
      isExtern = visible = false;
    } else {
      // .pragma, .alias, .loc and anything unknown: skip to ';'
      if (t == ".loc") {
        lx.next();
        while (lx.kind == Lexer::Num) lx.next();
        continue;
      }
      while (!lx.is(';') && lx.kind != Lexer::End) lx.next();
      lx.accept(';');
    }
  }
  return mp;
}

}  // namespace cs
