# SPDX-License-Identifier: Apache-2.0
"""Every small change to a C++ or CUDA source that generate.py may choose: (kind of change, start, end, new text)."""
import re

from lex_cpp import close_of, tokens_of

OPERATORS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&",
    "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "|=": "=", "&=": "=",
    "&&": "||", "||": "&&",
}
COMPARISONS = {"<": ("<=", ">"), "<=": ("<", ">"), ">": (">=", "<"), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "catch", "else", "do", "case", "new", "delete", "throw", "constexpr"}


def other_number(word):
    """Another constant: 0 becomes 1, an integer n + 1, another number twice itself."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)", word)
    if match:
        return f"{int(match[1], 0) + 1}{match[2]}"
    suffix = "f" if word[-1] in "fF" and not (word.startswith("0x") and "p" not in word) else ""
    value = float.fromhex(word.rstrip("fF")) if "p" in word else float(word.rstrip("fF"))
    return f"1.0{suffix}" if value == 0.0 else f"(2.0{suffix} * {word})"


def is_length(tokens, i):
    """Whether a number is the length in the declaration of an array: longer, it changes nothing."""
    return i >= 3 and tokens[i - 1].text == "[" and tokens[i - 2].kind == "name" and (
        tokens[i - 3].kind == "name" or tokens[i - 3].text in ("*", ">", ",", "&"))


def arguments(tokens, opening, closing):
    """The arguments of a call as (first, last) places of tokens."""
    out, first, i = [], opening + 1, opening + 1
    while i < closing:
        if tokens[i].text in ("(", "[", "{"):
            i = close_of(tokens, i)
        elif tokens[i].text == "<" and not tokens[i].spaced:
            i = close_of(tokens, i)
        elif tokens[i].text == ",":
            out.append((first, i - 1))
            first = i + 1
        i += 1
    return [*out, (first, closing - 1)]


def declares(tokens, first, last):
    """Whether an argument is a parameter of a declaration: two names side by side, or a type with * or & before a name."""
    inner = tokens[first:last + 1]
    pairs = list(zip(inner, inner[1:]))
    return any(a.kind == "name" and b.kind == "name" for a, b in pairs) or (
        len(inner) >= 3 and inner[-2].text in ("*", "&") and not inner[-2].spaced and inner[-1].kind == "name")


def calls(text, tokens):
    for i, token in enumerate(tokens[:-1]):
        if token.kind != "name" or token.text in KEYWORDS or tokens[i + 1].text != "(" or token.fixed:
            continue
        closing = close_of(tokens, i + 1)
        parts = arguments(tokens, i + 1, closing)
        if len(parts) < 2 or any(declares(tokens, *part) for part in parts) or tokens[i + 1].spaced:
            continue
        for (a, b), (c, d) in zip(parts, parts[1:]):
            one, two = text[tokens[a].start:tokens[b].end], text[tokens[c].start:tokens[d].end]
            between = text[tokens[b].end:tokens[c].start]
            if one != two and '"' not in one + two and "//" not in one + two + between:
                yield "swapped arguments", tokens[a].start, tokens[d].end, two + between + one


def statements(tokens):
    """Calls that are a statement of their own; they are left out."""
    for i, token in enumerate(tokens):
        if token.kind != "name" or token.text in KEYWORDS or token.fixed:
            continue
        if i and not (tokens[i - 1].text in (";", "{", "}", "else") or tokens[i - 1].text == ")"):
            continue
        k = i + 1
        while k + 1 < len(tokens) and tokens[k].text in ("::", ".", "->") and tokens[k + 1].kind == "name":
            k += 2
        if k < len(tokens) and tokens[k].text == "<" and not tokens[k].spaced:
            k = close_of(tokens, k) + 1
        if k < len(tokens) and tokens[k].text == "(":
            closing = close_of(tokens, k)
            if closing + 1 < len(tokens) and tokens[closing + 1].text == ";":
                yield "dropped call", token.start, tokens[closing].end, ""


def guards(tokens):
    """`if (condition) return`, or `{ return`, which then never returns."""
    for i, token in enumerate(tokens[:-2]):
        if token.text != "if" or tokens[i + 1].text != "(":
            continue
        closing = close_of(tokens, i + 1)
        body = [token.text for token in tokens[closing + 1:closing + 3]]
        if body[:1] in (["return"], ["continue"]) or body in (["{", "return"], ["{", "continue"]):
            yield "dropped guard", tokens[i + 2].start, tokens[closing - 1].end, "false"


def changes(text, device):
    tokens = tokens_of(text, device)
    for i, token in enumerate(tokens):
        if token.fixed:
            continue
        if token.text in OPERATORS and token.spaced:
            yield "operator", token.start, token.end, OPERATORS[token.text]
        elif token.text in COMPARISONS and token.spaced:
            for other in COMPARISONS[token.text]:
                yield "comparison", token.start, token.end, other
        elif token.text == "!" and not token.spaced:
            yield "dropped !", token.start, token.end, ""
        elif token.kind == "number" and not is_length(tokens, i):
            yield "constant", token.start, token.end, other_number(token.text)
        elif token.text in ("true", "false"):
            yield "constant", token.start, token.end, "false" if token.text == "true" else "true"
    yield from calls(text, tokens)
    yield from statements(tokens)
    yield from guards(tokens)
