# SPDX-License-Identifier: Apache-2.0
"""Tokens of C++ and CUDA, as far as mutate_cpp.py needs them. No parser: the format of the sources is fixed (.clang-format), so an
operator with space on both sides has two operands, and a < of a template has none before it."""
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<space>\s+) | (?P<comment>//[^\n]*|/\*.*?\*/) | (?P<directive>\#(?:\\\n|[^\n])*)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*) | (?P<name>[A-Za-z_]\w*)
  | (?P<operator><<=|>>=|\.\.\.|::|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)""", re.X | re.S)
# What is fixed between its brackets: declarations, checks of the compiler, and messages, which tests hold to their gist only.
FIXED = {"static_assert", "set_error", "asm", "__asm__", "__attribute__", "__launch_bounds__", "alignas", "sizeof", "decltype"}
CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}


@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int
    spaced: bool  # on both sides
    fixed: bool = False


def raw(text, device):
    """Tokens without space, comments and directives; and without what only a device compiles, unless `device`."""
    out, branches = [], []
    for match in TOKEN.finditer(text):
        kind, word = match.lastgroup, match.group()
        if kind == "directive":
            name = re.match(r"#\s*(\w+)", word).group(1)
            if name in ("if", "ifdef", "ifndef"):
                branches.append(name != "ifndef" and "__CUDA_ARCH__" in word)
            elif name in ("else", "elif"):
                branches[-1] = False
            elif name == "endif":
                branches.pop()
        elif kind not in ("space", "comment") and (device or not any(branches)):
            around = text[match.start() - 1:match.start()] + text[match.end():match.end() + 1]
            out.append(Token(kind, word, match.start(), match.end(), len(around) == 2 and around.isspace()))
    return out


def close_of(tokens, at):
    """The place of the bracket that closes the one at `at`; that of angles ends at the first > outside of others."""
    opening, depth, i = tokens[at].text, 0, at
    while i < len(tokens):
        text = tokens[i].text
        if text == opening:
            depth += 1
        elif text == CLOSING[opening] or (opening == "<" and text == ">>"):
            depth -= 2 if text == ">>" else 1
            if depth <= 0:
                return i
        elif opening == "<" and text in ("(", "{"):
            i = close_of(tokens, i)
        i += 1
    return len(tokens) - 1


def tokens_of(text, device):
    tokens = raw(text, device)
    i = 0
    while i < len(tokens):
        word, after = tokens[i].text, tokens[i + 1].text if i + 1 < len(tokens) else ""
        last = i
        if word == "operator":
            last = i + 1
        elif (word in FIXED and after == "(") or (word == "template" and after == "<"):
            last = close_of(tokens, i + 1)
        for k in range(i, last + 1 if last > i else i):
            tokens[k] = dataclasses.replace(tokens[k], fixed=True)
        i = max(last, i) + 1
    return tokens
