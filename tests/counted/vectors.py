#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks into the objects of the CPU loops: those that do the work are vector code. A compiler that gives up says nothing,
the bits stay right, and a step takes three times as long. Usage: vectors.py OBJECT..."""
import re
import subprocess
import sys

# What functions of a name hold, each of them, and what none of them does.
RULES = [(re.compile(name), re.compile(instruction), re.compile(scalar)) for name, instruction, scalar in [
    (r"update_block<", r"v?sqrtps", r"never"),
    (r"add_turns<", r"v?addps", r"v?(add|mul)ss"),
]]


def functions(path):
    """Name and text of each function of an object."""
    text = subprocess.run(["objdump", "-dC", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    for part in re.split(r"\n(?=[0-9a-f]+ <)", text):
        name, _, body = part.partition(">:\n")
        yield name.partition("<")[2], body


def check(path):
    """What is wrong with an object, a line each."""
    seen = set()
    for name, body in functions(path):
        for rule, instruction, scalar in RULES:
            if rule.search(name):
                seen.add(rule.pattern)
                if not re.search(rf"\t{instruction.pattern}\b", body):
                    yield f"{path}: no {instruction.pattern} in {name}"
                if re.search(rf"\t{scalar.pattern}\b", body):
                    yield f"{path}: {scalar.pattern} in {name}"
    for rule, _, _ in RULES:
        if rule.pattern not in seen:
            yield f"{path}: no function {rule.pattern}"


def main():
    wrong = [line for path in sys.argv[1:] for line in check(path)]
    if wrong or len(sys.argv) < 2:
        sys.exit("\n".join(wrong) or __doc__)


main()
