# SPDX-License-Identifier: Apache-2.0
"""Machine instructions that a thread issues for a parameter in pass 2, from the disassembly of nvdisasm. Used by
ptxas_report.py.

A row is 8 elements a thread. Its usual case is the shortest way around the loop of rows that loads and stores whole
vectors, takes 8 roots, and enters none of the compiler's subroutines for rare operands."""
import collections
import re
import subprocess

ELEMENTS = 8
# Limits on sm_90, of gradients in bf16 as the presets have them, with some 3 % to spare.
LIMITS = {
    "update_kernel<WideItem, Types<float, None, float, float>, false, false>": 60,
    "update_kernel<NarrowItem, Types<Bf16, None, Split<16>, float>, false, false>": 60.5,  # master16
    "update_kernel<NarrowItem, Types<Bf16, None, Split<16>, Bf16>, false, false>": 82.5,  # mixed16
    "update_kernel<NarrowItem, Types<Bf16, None, Split<8>, Block8>, false, false>": 93.5,  # compact8
    "update_kernel<NarrowItem, Types<Bf16, None, Split<0>, Block8>, false, false>": 93.5,  # tiny8
}


def disassembled(nvdisasm, cubin):
    """The instructions of each kernel, by its mangled name, and where its labels are."""
    text = subprocess.run([nvdisasm, "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    kernels, code, labels = {}, [], {}
    for line in text.splitlines():
        if found := re.match(r"\.text\.(\S+):", line):
            code, labels = kernels[found[1]] = [], {}
        elif found := re.match(r"(\.L_\w+):", line):
            labels[found[1]] = len(code)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:(@!?U?P\w+)\s+)?(\S+)(.*?) ?;", line):
            code.append(found.groups())
    return kernels


def followers(code, labels, at):
    """Where a warp whose threads stay together may go on."""
    predicate, operation, operands = code[at]
    behind = [at + 1] if at + 1 < len(code) else []
    if operation.startswith("CALL"):
        return []
    if operation.startswith(("EXIT", "RET")):
        return behind if predicate else []
    if operation.startswith("BRA.DIV"):  # of threads that do not stay together
        return behind
    if operation.startswith("BRA"):
        target = labels[re.search(r"`\((\.L_\w+)\)", operands)[1]]
        return [target, *behind] if predicate or "," in operands else [target]
    return behind


def of_parameter(code, labels):
    """None: the kernel has no loop of rows."""
    loads = [at for at, (_, operation, _) in enumerate(code) if re.match(r"LDG\.E\.EF\.(64|128)", operation)]
    if not loads:
        return None
    begin = (loads[0], 0, False)  # instruction, roots taken, whether it has stored
    steps, queue = {begin: 0}, collections.deque([begin])
    while queue:
        state = queue.popleft()
        for at in followers(code, labels, state[0]):
            operation = code[at][1]
            roots = min(ELEMENTS, state[1] + operation.startswith("MUFU.RSQ"))
            stored = state[2] or re.match(r"STG\.E\.EF\.(64|128)", operation) is not None
            if at == loads[0]:
                if roots == ELEMENTS and stored:
                    return (steps[state] + 1) / ELEMENTS
            elif (at, roots, stored) not in steps:
                steps[at, roots, stored] = steps[state] + 1
                queue.append((at, roots, stored))
    return None


def of_kernels(nvdisasm, cubin):
    return {name: of_parameter(code, labels) for name, (code, labels) in disassembled(nvdisasm, cubin).items()
            if "update_kernel" in name}
