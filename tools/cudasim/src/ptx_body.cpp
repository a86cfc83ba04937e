// SPDX-License-Identifier: Apache-2.0
// PTX parser: the body of a function, its registers, labels and instructions. Parsed when the function is first used.
#include <algorithm>

#include "ptx_lexer.h"

namespace cs {

namespace {

struct BodyParser {
  PtxModule& m;
  Function& f;
  Lexer lx;
  // scope stack: identifier -> declared entity
  struct Entity {
    int reg = -1;              // plain register
    int base = -1, count = 0;  // register family  %r<count>
    std::string_view renamed;  // variable name
    Ty type = Ty::None;
  };
  std::vector<std::unordered_map<std::string_view, Entity>> scopes;
  std::vector<int> scopeIds;
  uint32_t locFile = 0, locLine = 0;

  BodyParser(PtxModule& mm, Function& ff)
      : m(mm), f(ff), lx(mm.text.data() + ff.bodyBegin, mm.text.data() + ff.bodyEnd, ff.bodyLine) {}

  std::string_view keep(std::string s) {
    f.names.push_back(std::make_unique<std::string>(std::move(s)));
    return *f.names.back();
  }
  void push() {
    int parent = scopeIds.empty() ? -1 : scopeIds.back();
    scopeIds.push_back((int)f.scopeParent.size());
    f.scopeParent.push_back(parent);
    scopes.emplace_back();
  }
  void pop() {
    scopes.pop_back();
    scopeIds.pop_back();
  }
  int newReg(Ty t) {
    f.regs.push_back({t});
    return (int)f.regs.size() - 1;
  }
  const Entity* lookup(std::string_view n, int& regOut) {
    regOut = -1;
    for (size_t i = scopes.size(); i-- > 0;) {
      auto it = scopes[i].find(n);
      if (it != scopes[i].end()) {
        regOut = it->second.reg;
        return &it->second;
      }
    }
    // register family
    size_t k = n.size();
    while (k > 0 && isdigit((unsigned char)n[k - 1])) k--;
    if (k == n.size() || k == 0) return nullptr;
    int idx = 0;
    for (size_t i = k; i < n.size(); i++) idx = idx * 10 + (n[i] - '0');
    std::string_view pre = n.substr(0, k);
    for (size_t i = scopes.size(); i-- > 0;) {
      auto it = scopes[i].find(pre);
      if (it != scopes[i].end() && it->second.base >= 0 && idx < it->second.count) {
        regOut = it->second.base + idx;
        return &it->second;
      }
    }
    return nullptr;
  }

  Operand ident(std::string_view n) {
    Operand o;
    if (n == "_") {
      o.kind = Operand::Sink;
      return o;
    }
    int r;
    const Entity* e = lookup(n, r);
    if (e && r >= 0) {
      o.kind = Operand::Reg;
      o.reg = r;
    } else if (e) {
      o.kind = Operand::Sym;
      o.name = e->renamed;
    } else if (n == "WARP_SZ") {
      o.kind = Operand::Imm;
      o.imm = 32;
    } else if (n[0] == '%') {
      o.kind = Operand::SReg;
      o.name = n;
    } else {
      o.kind = Operand::Sym;
      o.name = n;
    }
    return o;
  }

  Operand operand() {
    Operand o;
    if (lx.accept('{')) {
      o.kind = Operand::Vec;
      while (!lx.is('}')) {
        o.sub.push_back(operand());
        if (!lx.accept(',')) break;
      }
      lx.expect('}');
      return o;
    }
    if (lx.accept('(')) {
      o.kind = Operand::List;
      while (!lx.is(')')) {
        o.sub.push_back(operand());
        if (!lx.accept(',')) break;
      }
      lx.expect(')');
      return o;
    }
    if (lx.accept('[')) {
      o.kind = Operand::Mem;
      bool first = true;
      bool minus = false;
      while (!lx.is(']') && lx.kind != Lexer::End) {
        if (lx.accept(',')) {  // tensor coordinates
          o.sub.push_back(operand());
          continue;
        }
        if (lx.accept('+')) {
          minus = false;
          continue;
        }
        if (lx.accept('-')) {
          minus = true;
          continue;
        }
        if (lx.kind == Lexer::Num) {
          int64_t k = number(lx.tok, lx.line).imm;
          lx.next();
          o.imm += minus ? -k : k;
        } else {
          Operand t = ident(lx.tok);
          lx.next();
          if (t.kind == Operand::Reg)
            o.reg = t.reg;
          else if (t.kind == Operand::Sym)
            o.name = t.name;
          else
            bad(lx.line, "unsupported address operand");
        }
        first = false;
      }
      (void)first;
      lx.expect(']');
      return o;
    }
    if (lx.accept('!')) {
      o = operand();
      o.neg = true;
      return o;
    }
    bool neg = false;
    while (lx.is('-') || lx.is('+')) {
      if (lx.is('-')) neg = !neg;
      lx.next();
    }
    if (lx.kind == Lexer::Num) {
      o = number(lx.tok, lx.line);
      if (neg) {
        if (o.kind == Operand::Imm)
          o.imm = -o.imm;
        else if (o.fty == Ty::F32)
          o.imm ^= 0x80000000ll;
        else
          o.imm ^= (int64_t)0x8000000000000000ull;
      }
      lx.next();
    } else if (lx.kind == Lexer::Id) {
      std::string_view name = lx.tok;
      lx.next();
      if (name == "generic" && lx.is('(')) {
        lx.next();
        o = ident(lx.tok);
        lx.next();
        lx.expect(')');
      } else {
        o = ident(name);
      }
      while (lx.is('+') || lx.is('-')) {
        bool minus = lx.is('-');
        lx.next();
        int64_t k = number(lx.tok, lx.line).imm;
        lx.next();
        o.imm += minus ? -k : k;
      }
    } else {
      bad(lx.line, strf("unexpected token '%.*s'", (int)lx.tok.size(), lx.tok.data()));
    }
    if (lx.accept('|')) o.second = std::make_unique<Operand>(operand());
    return o;
  }

  void regDecl() {
    int vec = 1;
    Ty t = Ty::None;
    while (lx.kind == Lexer::Id && lx.tok[0] == '.') {
      if (lx.tok == ".v2" || lx.tok == ".v4")
        vec = lx.tok[2] - '0';
      else
        t = parseType(lx.tok.substr(1));
      lx.next();
    }
    if (vec != 1) bad(lx.line, "vector registers are not supported");
    do {
      std::string_view n = lx.tok;
      lx.next();
      Entity e;
      e.type = t;
      if (lx.accept('<')) {
        e.count = (int)intTok(lx);
        lx.expect('>');
        e.base = (int)f.regs.size();
        for (int i = 0; i < e.count; i++) newReg(t);
      } else {
        e.reg = newReg(t);
      }
      scopes.back()[n] = e;
    } while (lx.accept(','));
    lx.expect(';');
  }

  void varDecl(Space sp) {
    do {
      VarDecl v = parseVar(lx, sp);
      if (lx.accept('=')) {
        uint64_t off = 0;
        parseInit(lx, v, off, tyBytes(v.type));
      }
      Entity e;
      std::string plain = v.name;
      std::string uniq =
          scopeIds.back() == 0 && sp != Space::Shared ? plain : strf("%s#%d", plain.c_str(), scopeIds.back());
      if (sp == Space::Shared) uniq = f.name + "::" + plain + (scopeIds.back() ? strf("#%d", scopeIds.back()) : "");
      std::string_view key = keep(plain);
      v.name = uniq;
      e.renamed = keep(uniq);
      f.locals.push_back(v);
      scopes.back()[key] = e;
    } while (lx.accept(','));
    lx.expect(';');
  }

  void run() {
    push();
    for (auto* list : {&f.params, &f.rets})
      for (auto& p : *list) {
        Entity e;
        if (p.space == Space::Reg)
          e.reg = newReg(p.type);
        else
          e.renamed = p.name;
        e.type = p.type;
        scopes.back()[p.name] = e;
      }
    int depth = 1;
    while (lx.kind != Lexer::End) {
      if (lx.is('{')) {
        lx.next();
        push();
        depth++;
        continue;
      }
      if (lx.is('}')) {
        lx.next();
        if (depth > 1) {
          pop();
          depth--;
        }
        continue;
      }
      if (lx.accept(';')) continue;
      if (lx.kind == Lexer::Id && lx.tok[0] == '.') {
        directive();
        continue;
      }
      if (lx.kind == Lexer::Id) {  // label?
        const char* q = lx.p;
        while (q < lx.end && (*q == ' ' || *q == '\t')) q++;
        if (q < lx.end && *q == ':' && !(q + 1 < lx.end && q[1] == ':')) {
          std::string_view name = lx.tok;
          lx.next();
          lx.expect(':');
          if (lx.isId(".branchtargets")) {
            lx.next();
            auto& v = f.branchTables[name];
            while (lx.kind == Lexer::Id) {
              v.push_back(lx.tok);
              lx.next();
              if (!lx.accept(',')) break;
            }
            lx.accept(';');
          } else if (lx.isId(".callprototype") || lx.isId(".calltargets")) {
            while (!lx.is(';') && lx.kind != Lexer::End) lx.next();
            lx.accept(';');
          } else {
            f.labels[name].push_back({scopeIds.back(), (int)f.body.size()});
          }
          continue;
        }
      }
      instruction();
    }
    f.parsed = true;
  }

  void directive() {
    std::string_view t = lx.tok;
    Space sp;
    if (t == ".reg") {
      lx.next();
      regDecl();
    } else if (t == ".loc") {
      lx.next();
      locFile = (uint32_t)intTok(lx);
      locLine = (uint32_t)intTok(lx);
      if (lx.kind == Lexer::Num) intTok(lx);
      if (lx.is(',')) {  // , function_name X[+off], inlined_at F L C
        while (lx.accept(',')) {
          while ((lx.kind == Lexer::Id && (lx.tok == "function_name" || lx.tok == "inlined_at"))) {
            bool at = lx.tok == "inlined_at";
            lx.next();
            if (at) {
              intTok(lx);
              intTok(lx);
              intTok(lx);
            } else {
              lx.next();
              while (lx.accept('+')) intTok(lx);
            }
          }
        }
      }
    } else if (t == ".pragma") {
      while (!lx.is(';') && lx.kind != Lexer::End) lx.next();
      lx.accept(';');
    } else if (spaceOf(t, sp)) {
      lx.next();
      varDecl(sp);
    } else {
      while (!lx.is(';') && lx.kind != Lexer::End) lx.next();
      lx.accept(';');
    }
  }

  void instruction() {
    Instr in;
    in.line = lx.line;
    in.srcFile = locFile;
    in.srcLine = locLine;
    in.scope = scopeIds.back();
    if (lx.accept('@')) {
      in.guardNeg = lx.accept('!');
      int r;
      if (!lookup(lx.tok, r) || r < 0) bad(lx.line, "unknown guard predicate");
      in.guard = r;
      lx.next();
    }
    if (lx.kind != Lexer::Id)
      bad(lx.line, strf("instruction expected, found '%.*s'", (int)lx.tok.size(), lx.tok.data()));
    in.text = lx.tok;
    in.line = lx.line;
    size_t b = 0;
    std::string_view s = in.text;
    while (b <= s.size()) {
      size_t e = s.find('.', b);
      if (e == std::string_view::npos) e = s.size();
      in.mods.push_back(s.substr(b, e - b));
      b = e + 1;
    }
    lx.next();
    while (!lx.is(';')) {
      if (lx.kind == Lexer::End) bad(lx.line, "unterminated instruction");
      in.ops.push_back(operand());
      if (!lx.accept(',')) break;
    }
    lx.expect(';');
    f.body.push_back(std::move(in));
  }
};

}  // namespace

void parseBody(PtxModule& m, Function& f) {
  if (f.parsed || !f.hasBody) return;
  BodyParser bp(m, f);
  bp.run();
}

}  // namespace cs
