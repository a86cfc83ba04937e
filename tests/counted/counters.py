#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs cuda_counters for a table of configurations and compares what the simulator of the CUDA runtime counted with
exact limits. Counters are deterministic, so the limits are tight. Called by ctest; --markdown prints the table of
docs/performance_cuda.md."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

DTYPE_BYTES = {"none": 0, "f32": 4, "bf16": 2, "f16": 2, "i16": 2, "i8": 1, "block8": 1 + 1 / 128}
LIST, AMSGRAD, NORMS = 1, 2, 8  # SWD_PLAN_*
BYTES_SLACK = 1.01              # unique DRAM bytes over the floor: workspace tables and what partial sectors add
# Bytes of the 32-byte sectors that were asked for, over the floor. What exceeds 1 in aligned arrays is tables, beside
# half the bytes in pass 1 over 16-bit gradients.
ALIGNED, ALIGNED_16_BIT, MISALIGNED = 1.014, 1.025, 1.30
# Pass 2 reads its tables for every item, where a grid has a warp for each; they come from the L2 cache. That is 1 byte a
# parameter, in narrow rows 1.5 and, as each block has a byte of scale for each moment and that a sector, 0.5 more.
ITEM_TABLES = 1.08


@dataclass(frozen=True)
class Case:
    name: str
    reduce_ptx: float  # limit: PTX instructions per parameter, pass 1
    update_ptx: float  # and pass 2
    grad: str = "f32"
    copy: str = "none"
    param: str = "f32"
    remainder: str = "none"
    moment: str = "f32"
    elements: int = 1 << 20
    segments: int = 1
    uneven: int = 0
    shift: int = 0     # array b starts (b + 1) * shift elements behind a 256-byte boundary
    gap: int = 0       # elements between segments
    flags: int = 0
    slack: float = BYTES_SLACK
    sectors: float = ALIGNED
    loaded: float = ITEM_TABLES  # sectors of pass 2
    untouched: int = 0           # moments are zeros, as in the first step

    def arguments(self):
        names = ("grad", "copy", "param", "remainder", "moment", "elements", "segments", "uneven", "shift", "gap", "flags",
                 "untouched")
        return [f"{name}={getattr(self, name)}" for name in names]

    def launches(self):
        return 3 if self.flags & AMSGRAD else 2

    def floor(self):
        """Bytes per parameter that must move: pass 1 read, pass 2 read, pass 2 written."""
        grad, copy = DTYPE_BYTES[self.grad], DTYPE_BYTES[self.copy]
        more = 4 if self.flags & AMSGRAD else 0
        state = DTYPE_BYTES[self.param] + DTYPE_BYTES[self.remainder] + 2 * DTYPE_BYTES[self.moment] + more
        return grad + (grad + 8 if more else 0), state + grad, state + copy


# Presets, as bf16 training has them.
MASTER16 = {"grad": "bf16", "param": "bf16", "remainder": "i16"}
MIXED16 = {**MASTER16, "moment": "bf16"}
COMPACT8 = {"grad": "bf16", "param": "bf16", "remainder": "i8", "moment": "block8"}
TINY8 = {"grad": "bf16", "param": "bf16", "moment": "block8"}

CASES = [
    Case("fp32", 7.9, 56.3),
    Case("fp32 gradient, bf16 copy", 7.9, 60.8, copy="bf16"),
    Case("fp32 gradient, fp16 copy", 7.9, 60.8, copy="f16"),
    Case("bf16 gradient", 11.4, 63.2, grad="bf16"),
    Case("bf16 gradient, bf16 copy", 11.4, 67.6, grad="bf16", copy="bf16"),
    Case("fp16 gradient", 6.3, 61.2, grad="f16"),
    Case("fp16 gradient, fp16 copy", 6.3, 65.6, grad="f16", copy="f16"),
    Case("fp32, update norms", 7.9, 77.2, flags=NORMS),
    Case("fp32, amsgrad", 39.2, 63.6, flags=AMSGRAD),
    Case("fp32, flat, 8 tensors at odd offsets", 8.5, 56.5, segments=8, uneven=1, gap=3, sectors=1.1),
    Case("bf16, flat, 8 tensors at odd offsets", 13, 67.8, grad="bf16", copy="bf16", segments=8, uneven=1, gap=3,
         sectors=1.12),
    Case("fp32, each array misaligned differently", 9, 79, shift=1, sectors=MISALIGNED),
    Case("bf16, each array misaligned differently", 13, 88.9, grad="bf16", copy="bf16", shift=1, sectors=MISALIGNED),
    Case("master16, bf16 gradient", 11.4, 63, **MASTER16, loaded=1.11),
    Case("mixed16, bf16 gradient", 11.4, 87.5, **MIXED16, loaded=1.16),
    Case("compact8, bf16 gradient", 11.4, 140.5, **COMPACT8, sectors=1.11, loaded=1.3),
    Case("tiny8, bf16 gradient", 11.4, 136, **TINY8, sectors=1.13, loaded=1.35),
    Case("compact8, moments of zero", 11.4, 161, **COMPACT8, sectors=1.11, loaded=1.3, untouched=1),
    Case("compact8, each array misaligned differently", 13, 254, **COMPACT8, shift=1, sectors=1.9, loaded=2.03),
    Case("fp32, list of 3,000 tensors, 530 elements on average", 25.5, 92, elements=1590000, segments=3000, uneven=1,
         flags=LIST, slack=1.1, sectors=1.5),
]


@dataclass
class Result:
    reduce_read: float = 0.0
    update_read: float = 0.0
    update_written: float = 0.0
    reduce_ptx: float = 0.0
    update_ptx: float = 0.0
    reduce_sectors: float = 0.0
    update_load_sectors: float = 0.0
    update_store_sectors: float = 0.0
    local: int = 0
    launches: float = 0.0
    other_calls: int = 0


def run(program, case, simulator):
    with tempfile.TemporaryDirectory() as folder:
        stats = os.path.join(folder, "stats.json")
        # Few multiprocessors, so that each has as much to do as a large GPU's have at 2^24 elements.
        environment = dict(os.environ, CUDASIM_STATS=stats, CUDASIM_SMS="8")
        if simulator:
            environment["LD_LIBRARY_PATH"] = simulator
        done = subprocess.run([program, *case.arguments()], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{case.name}: {done.stdout}{done.stderr}")
        with open(stats, encoding="ascii") as file:
            kernels = json.load(file)["kernels"]
    return evaluate(case, json.loads(done.stdout), kernels)


def evaluate(case, calls, kernels):
    steps, per = calls["steps"], calls["steps"] * calls["elements"]
    reduce = [k for k in kernels if "reduce_kernel<" in k["name"]]
    update = [k for k in kernels if "update_kernel<" in k["name"]]
    if sum(k["launches"] for k in update) != steps or len(update) != 1 or not reduce:
        sys.exit(f"unexpected kernels: {[(k['name'], k['launches']) for k in kernels]}")
    out = Result()
    floors = [32 / floor / per for floor in case.floor()]
    out.reduce_read = sum(k["unique_bytes"]["read"] for k in reduce) / per
    out.reduce_ptx = sum(k["thread_instructions"] for k in reduce) / per
    out.reduce_sectors = sum(k["global_load"]["sectors"] for k in reduce) * floors[0]
    out.update_read = update[0]["unique_bytes"]["read"] / per
    out.update_written = update[0]["unique_bytes"]["written"] / per
    out.update_ptx = update[0]["thread_instructions"] / per
    out.update_load_sectors = update[0]["global_load"]["sectors"] * floors[1]
    out.update_store_sectors = update[0]["global_store"]["sectors"] * floors[2]
    # Local memory: the bytes that a thread was given.
    out.local = sum(k["local_bytes_per_thread"] for k in reduce + update)
    out.launches = calls["cudaLaunchKernel"] / steps
    harmless = ("cudaLaunchKernel", "cudaGetDevice", "cudaDeviceGetAttribute")
    out.other_calls = calls["any"] - sum(calls[name] for name in harmless)
    return out


def violations(case, result):
    read1, read2, written2 = case.floor()
    reduce_sectors = max(case.sectors, ALIGNED_16_BIT if read1 == 2 else 0)
    limits = [
        ("pass 1, bytes read", result.reduce_read, case.slack * read1),
        ("pass 2, bytes read", result.update_read, case.slack * read2),
        ("pass 2, bytes written", result.update_written, case.slack * written2),
        ("pass 1, sectors", result.reduce_sectors, reduce_sectors),
        ("pass 2, sectors loaded", result.update_load_sectors, max(case.sectors, case.loaded)),
        ("pass 2, sectors stored", result.update_store_sectors, case.sectors),
        ("pass 1, PTX", result.reduce_ptx, case.reduce_ptx),
        ("pass 2, PTX", result.update_ptx, case.update_ptx),
        ("local memory", result.local, 0),
        ("launches", result.launches, case.launches()),
        ("calls but launches and queries", result.other_calls, 0),
    ]
    for what, value, limit in limits:
        if not value <= limit:
            yield f"{case.name}: {what}: {value:.4f} exceeds {limit:.4f}"
    for what, value, least in (("pass 1, bytes read", result.reduce_read, read1),
                               ("pass 2, bytes read", result.update_read, read2),
                               ("pass 2, bytes written", result.update_written, written2),
                               ("launches", result.launches, case.launches())):
        if not value >= least:  # fewer bytes than must move: the program did not do the work
            yield f"{case.name}: {what}: {value:.4f} is below {least:.4f}"


def row(case, r):
    return [case.name, f"{r.reduce_read:.3f}", f"{r.update_read:.3f} + {r.update_written:.3f}",
            f"{r.reduce_sectors:.3f}",
            f"{r.update_load_sectors:.3f} / {r.update_store_sectors:.3f}", f"{r.reduce_ptx:.1f}", f"{r.update_ptx:.1f}",
            f"{r.launches:.0f}"]


HEADINGS = ["configuration", "pass 1: B", "pass 2: B read + written", "pass 1: sectors",
            "pass 2: sectors read / written", "pass 1: PTX", "pass 2: PTX", "launches"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--simulator", help="folder of the simulated libcudart")
    parser.add_argument("--only", help="run only the configurations whose name contains this")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    cases = [c for c in CASES if not options.only or options.only in c.name]
    if not cases:
        sys.exit("no such configuration")
    found = []
    rows = [HEADINGS]
    for case in cases:
        result = run(options.program, case, options.simulator)
        rows.append(row(case, result))
        found += violations(case, result)
    if options.markdown:
        rows.insert(1, ["---"] * len(HEADINGS))
        print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))
    else:
        widths = [max(len(cells[i]) for cells in rows) for i in range(len(HEADINGS))]
        print("\n".join("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in rows))
    print("\n".join(found), file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
