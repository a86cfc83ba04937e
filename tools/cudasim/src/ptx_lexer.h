// SPDX-License-Identifier: Apache-2.0
// Tokens of PTX text. Used by ptx_parser.cpp and ptx_body.cpp.
#pragma once
#include <cctype>

#include "common.h"
#include "ptx.h"

namespace cs {

[[noreturn]] inline void bad(int line, const std::string& what) {
  throw SimError{218, strf("PTX line %d: %s", line, what.c_str())};
}

inline bool identStart(char c) { return isalpha((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.'; }
inline bool identChar(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.'; }

struct Lexer {
  const char* p;
  const char* end;
  int line;
  enum K { End, Id, Num, Str, Punct } kind = End;
  std::string_view tok;

  Lexer(const char* b, const char* e, int l) : p(b), end(e), line(l) { next(); }

  void skipSpace() {
    for (;;) {
      while (p < end && isspace((unsigned char)*p)) {
        if (*p == '\n') line++;
        p++;
      }
      if (p + 1 < end && p[0] == '/' && p[1] == '/') {
        while (p < end && *p != '\n') p++;
      } else if (p + 1 < end && p[0] == '/' && p[1] == '*') {
        p += 2;
        while (p + 1 < end && !(p[0] == '*' && p[1] == '/')) {
          if (*p == '\n') line++;
          p++;
        }
        p = p + 2 < end ? p + 2 : end;
      } else {
        return;
      }
    }
  }
  void next() {
    skipSpace();
    if (p >= end) {
      kind = End;
      tok = {};
      return;
    }
    const char* b = p;
    if (identStart(*p)) {
      p++;
      for (;;) {
        while (p < end && identChar(*p)) p++;
        if (p + 2 < end && p[0] == ':' && p[1] == ':' && identChar(p[2])) {
          p += 2;  // "shared::cta"
          continue;
        }
        break;
      }
      kind = Id;
    } else if (isdigit((unsigned char)*p)) {
      // numbers incl. 0x.., 0f.., 0d.., 1.5, 1e-3
      bool hex = p[0] == '0' && p + 1 < end && strchr("xXfFdD", p[1]);
      p++;
      if (hex) p++;
      while (p < end) {
        if (isalnum((unsigned char)*p) || *p == '.')
          p++;
        else if (!hex && (*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E'))
          p++;
        else
          break;
      }
      kind = Num;
    } else if (*p == '"') {
      p++;
      while (p < end && *p != '"') {
        if (*p == '\\') p++;
        p++;
      }
      if (p < end) p++;
      kind = Str;
    } else {
      p++;
      kind = Punct;
    }
    tok = std::string_view(b, (size_t)(p - b));
  }
  bool is(char c) const { return kind == Punct && tok[0] == c; }
  bool isId(std::string_view s) const { return kind == Id && tok == s; }
  bool accept(char c) {
    if (is(c)) {
      next();
      return true;
    }
    return false;
  }
  void expect(char c) {
    if (!accept(c)) bad(line, strf("expected '%c' before '%.*s'", c, (int)tok.size(), tok.data()));
  }
  // skips a balanced {...}; current token must be '{'
  void skipBraces() {
    int depth = 0;
    do {
      if (is('{')) depth++;
      if (is('}')) depth--;
      if (kind == End) return;
      next();
    } while (depth > 0);
  }
};

// Defined in ptx_parser.cpp.
Operand number(std::string_view t, int line);
int64_t intTok(Lexer& lx);
VarDecl parseVar(Lexer& lx, Space sp);
bool spaceOf(std::string_view t, Space& s);
void parseInit(Lexer& lx, VarDecl& v, uint64_t& off, int eb);

}  // namespace cs
