#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Parses the preprocessed swd.h with pycparser, as bindings do, and compares constants and prototypes with the stored
tests/interface/abi/names.txt: values of enumerators and signatures are part of the ABI. Usage: parse_header.py SOURCE_DIR
[--write]. Run by the tests; ends by showing that a header with a trick in it would not pass."""
import pathlib
import subprocess
import sys
import tempfile

from pycparser import c_ast, c_generator, c_parser

# What the header needs of the standard headers, in the words of a parser that knows no compiler.
STANDARD = {
    "stddef.h": "typedef unsigned long size_t;\n#define NULL ((void*)0)\n",
    "stdint.h": "".join(f"typedef {kind} {name};\n" for name, kind in {
        "int32_t": "int", "uint32_t": "unsigned int", "int64_t": "long", "uint64_t": "unsigned long", "uint8_t": "unsigned char"
    }.items()),
}


def preprocess(header):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in STANDARD.items():
            pathlib.Path(folder, name).write_text(text, encoding="ascii")
        # Undefined __GNUC__: what another compiler sees.
        command = ["cc", "-E", "-P", "-nostdinc", "-U__GNUC__", "-I", folder, str(header)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def constant(node):
    if isinstance(node, c_ast.Constant):
        return int(node.value.rstrip("uUlL"), 0)
    if isinstance(node, c_ast.UnaryOp) and node.op == "-":
        return -constant(node.expr)
    if isinstance(node, c_ast.BinaryOp) and node.op == "<<":
        return constant(node.left) << constant(node.right)
    raise ValueError(f"an enumerator that this script cannot evaluate: {c_generator.CGenerator().visit(node)}")


def names_of(text):
    """One line per enumerator, function and typedef of a number."""
    lines = []
    for node in c_parser.CParser().parse(text).ext:
        declared = node.type
        if isinstance(declared, c_ast.Enum):
            for enumerator in declared.values.enumerators:
                if enumerator.value is None:
                    raise ValueError(f"{enumerator.name} has no value of its own")
                lines.append(f"{enumerator.name} = {constant(enumerator.value)}")
        elif isinstance(declared, c_ast.FuncDecl) or (isinstance(node, c_ast.Typedef) and node.name.startswith("swd_")
                                                      and isinstance(declared.type, c_ast.IdentifierType)):
            lines.append(c_generator.CGenerator().visit(node))
    return lines


def refused(text):
    try:
        return names_of(text) == []
    except Exception:  # pycparser has had several kinds
        return True


def main():
    source = pathlib.Path(sys.argv[1])
    text = preprocess(source / "include/swd/swd.h")
    lines = names_of(text)
    table = source / "tests/interface/abi/names.txt"
    if "--write" in sys.argv:
        table.write_text("\n".join(lines) + "\n", encoding="ascii")
    stored = table.read_text(encoding="ascii").splitlines()
    for line in sorted(set(stored) ^ set(lines)):
        print(("stored, but not found: " if line in stored else "found, but not stored: ") + line)
    if not refused(text + "\n__attribute__((visibility(\"default\"))) int swd_trick(void);"):
        sys.exit("pycparser took an attribute: the check proves nothing")
    if set(names_of(text.replace("SWD_ERR_NULL = 1", "SWD_ERR_NULL = 2"))) == set(lines):
        sys.exit("a changed enumerator was not seen")
    if stored != lines:
        sys.exit("the names of swd.h are not those of tests/interface/abi/names.txt")
    print(f"{len(lines)} names as stored")


main()
