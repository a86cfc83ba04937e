# SPDX-License-Identifier: Apache-2.0
"""Every small change to a Python source that generate.py may choose: (kind of change, start, end, new text). What is not run, or
only words, is left alone: annotations, docstrings, messages of errors and warnings, imports for types."""
import ast
import re

OPERATORS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "//"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
             ast.Mod: ("%", "//"), ast.BitOr: ("|", "&"), ast.BitAnd: ("&", "|"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<")}
COMPARISONS = {ast.Lt: ("<", ("<=", ">")), ast.LtE: ("<=", ("<", ">")), ast.Gt: (">", (">=", "<")), ast.GtE: (">=", (">", "<")),
               ast.Eq: ("==", ("!=",)), ast.NotEq: ("!=", ("==",)), ast.Is: ("is", ("is not",)), ast.IsNot: ("is not", ("is",)),
               ast.In: ("in", ("not in",)), ast.NotIn: ("not in", ("in",))}


class Changes(ast.NodeVisitor):
    def __init__(self, text):
        self.text, self.out = text, []
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def span(self, node):  # sources are ASCII, so columns count characters
        return self.lines[node.lineno - 1] + node.col_offset, self.lines[node.end_lineno - 1] + node.end_col_offset

    def add(self, kind, start, end, new):
        self.out.append((kind, start, end, new))

    def between(self, kind, left, right, old, news):
        """The operator between two operands, brackets and line ends beside it."""
        start, end = self.span(left)[1], self.span(right)[0]
        match = re.search(rf"(?<!\w){re.escape(old)}(?![\w=])" if old[0].isalpha() else re.escape(old), self.text[start:end])
        for new in news if match else ():
            self.add(kind, start + match.start(), start + match.end(), new)

    def visit_BinOp(self, node):
        if type(node.op) in OPERATORS:
            old, new = OPERATORS[type(node.op)]
            self.between("operator", node.left, node.right, old, [new])
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:]):
            self.between("operator", left, right, old, [new])
        self.generic_visit(node)

    def visit_Compare(self, node):
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators):
            self.between("comparison", left, right, *COMPARISONS[type(op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            start = self.span(node)[0]
            self.add("dropped not", start, self.span(node.operand)[0], "")
        self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.add("constant", *self.span(node), str(not value))
        elif isinstance(value, int):
            self.add("constant", *self.span(node), str(value + 1))
        elif isinstance(value, float):
            self.add("constant", *self.span(node), "1.0" if value == 0.0 else f"(2 * {value!r})")

    def visit_Call(self, node):
        for one, two in zip(node.args, node.args[1:]):
            if ast.dump(one) != ast.dump(two) and not isinstance(two, ast.Starred):
                (a, b), (c, d) = self.span(one), self.span(two)
                self.add("swapped arguments", a, d, self.text[c:d] + self.text[b:c] + self.text[a:b])
        self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call):
            self.add("dropped call", *self.span(node), "pass")
            if ast.unparse(node.value.func) == "warnings.warn":
                return
        self.generic_visit(node)

    def visit_If(self, node):
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node.body[0], (ast.Return, ast.Raise, ast.Continue)):
            self.add("dropped guard", *self.span(node.test), "False")
        self.generic_visit(node)

    def visit_Raise(self, node):
        pass

    def visit_FunctionDef(self, node):
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)


def changes(text):
    visitor = Changes(text)
    visitor.visit(ast.parse(text))
    return visitor.out
