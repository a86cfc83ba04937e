#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks into the objects of the CPU loops: those that do the work are vector code, as wide as the object's instruction
set has it. A compiler that gives up says nothing, the bits stay right, and a step takes three times as long.
Usage: vectors.py [--objdump PROGRAM] OBJECT...; of x86-64 or 64-bit Arm, whose PROGRAM may be aarch64-linux-gnu-objdump."""
import argparse
import re
import subprocess
import sys

# Functions of a name, and an instruction that each of them holds on whole vectors: on x86, on Arm.
HOLDS = [
    (r"update_block<", r"v?sqrtps", r"fsqrt"),
    (r"add_turns<", r"v?addps", r"fadd"),
    (r"sum_into<", r"v?addps", r"fadd"),
    (r"copy_params<.*(Bf16|F16)>", r"v?psrld", r"ushr"),
    # The stages of narrow rows, with the bits of a step and with half a step (swd_state_load), and those of swd_state_store.
    # One instruction of each loop, which it cannot do without.
    (r"fill\(", r"v?pmul(udq|ld)", r"mul"),
    (r"largest_magnitude\(", r"pcmpgtd|vpmaxsd", r"smax"),
    (r"decode<.*(SplitArray|Bf16Moment)<", r"v?pslld", r"u?shll?2?"),
    (r"decode<.*Block8Moment<", r"v?cvtdq2ps", r"scvtf"),
    (r"decode<true>", r"v?mulps", r"fmul"),
    (r"encode<.*(SplitArray|Bf16Moment)<", r"v?paddd", r"add|usra"),
    (r"encode<.*Block8Moment<", r"v?addps", r"fadd"),
    (r"encode<true, .*BlockBits>", r"v?mulps", r"fmul"),
    (r"sum_into<.*Moments<.*Block8>", r"v?cvtdq2ps", r"scvtf"),
]
# And what none of them holds at all.
LACKS = [(r"add_turns<", r"v?(add|mul)ss\b", r"f(add|mul)\ts")]
WHOLE = {"loops_base": "%xmm", "loops_v3": "%ymm", "loops_v4": "%zmm"}  # by the function that an object exports
WHOLE_ARM = r"\bv\d+\.(4s|2d)"


def functions(objdump, path):
    """The format of an object; name and text of each of its functions."""
    text = subprocess.run([objdump, "-dC", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    found = []
    for part in re.split(r"\n(?=[0-9a-f]+ <)", text):
        name, _, body = part.partition(">:\n")
        found.append((name.partition("<")[2].replace("(anonymous namespace)::", "").replace("swd::cpu::", ""), body))
    return re.search(r"file format (\S+)", text)[1], found


def check(objdump, path):
    """What is wrong with an object, a line each."""
    kind, found = functions(objdump, path)
    arm = kind == "elf64-littleaarch64"
    exported = [WHOLE[key] for key in WHOLE if any(name.startswith(key + "(") for name, _ in found)]
    if len(exported) != 1:
        yield f"{path}: no object of the loops"
        return
    for rule, on_x86, on_arm in HOLDS:
        whole = rf"\t({on_arm})\t.*{WHOLE_ARM}" if arm else rf"\t({on_x86}) .*{exported[0]}"
        bodies = [(name, body) for name, body in found if re.search(r"(^|\s)" + rule, name)]
        if not bodies:
            yield f"{path}: no function {rule}"
        for name, body in bodies:
            if not re.search(whole, body):
                yield f"{path}: no {on_arm if arm else on_x86} on whole vectors in {name}"
    for rule, on_x86, on_arm in LACKS:
        scalar = on_arm if arm else on_x86
        for name, body in found:
            if re.search(rule, name) and re.search(rf"\t({scalar})", body):
                yield f"{path}: {scalar!r} in {name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objdump", default="objdump", metavar="PROGRAM")
    parser.add_argument("objects", nargs="+", metavar="OBJECT")
    args = parser.parse_args()
    wrong = [line for path in args.objects for line in check(args.objdump, path)]
    if wrong:
        sys.exit("\n".join(wrong))


main()
