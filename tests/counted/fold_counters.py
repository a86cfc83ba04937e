#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what the fold of the norm record costs a segment, under the simulator of the CUDA runtime, and compares it with
limits. In pieces it is a kernel of its own; in a whole step it is what pass 1 does more than in pieces, the decision of
the step included. Called by ctest with the path of cuda_counters."""
import json
import os
import subprocess
import sys
import tempfile

# Segments; then the limits: blocks, warp instructions and sectors loaded.
PIECES = ((4096, 64, 14.2, 12.5), (65536, 64, 5.7, 12.2))
WHOLE = (4096, 62.0, 3.4)


def count(program, segments, pieces):
    """{kernel: (blocks of the largest launch, warp instructions a segment, sectors loaded a segment)}"""
    arguments = [f"elements={segments}", f"segments={segments}", f"pieces={pieces}"]
    with tempfile.TemporaryDirectory() as folder:
        stats = os.path.join(folder, "stats.json")
        done = subprocess.run([program, *arguments], env=dict(os.environ, CUDASIM_STATS=stats, CUDASIM_SMS="132"),
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{arguments}: {done.stdout}{done.stderr}")
        with open(stats, encoding="ascii") as file:
            kernels = json.load(file)["kernels"]
    per = json.loads(done.stdout)["steps"] * segments
    out = {}
    for name in ("reduce", "decide"):
        found = [k for k in kernels if f"{name}_kernel" in k["name"]]
        blocks = max((int(shape.split("x")[0]) for k in found for shape in k["shapes"]), default=0)
        out[name] = (blocks, sum(k["warp_instructions"] for k in found) / per,
                     sum(k["global_load"]["sectors"] for k in found) / per)
    return out


def main():
    program, wrong, reduced = sys.argv[1], [], {}
    for segments, blocks, instructions, sectors in PIECES:
        counted = count(program, segments, 1)
        reduced[segments] = counted["reduce"]
        got = counted["decide"]
        line = f"{segments} segments: {got[0]} blocks, {got[1]:.2f} warp instructions, {got[2]:.2f} sectors a segment"
        print(line)
        if got[0] != blocks or not got[1] <= instructions or not got[2] <= sectors:
            wrong.append(f"{line}; allowed are {blocks}, {instructions}, {sectors}")
    segments, instructions, sectors = WHOLE
    more = [whole - pieces for whole, pieces in zip(count(program, segments, 0)["reduce"], reduced[segments])]
    line = f"{segments} segments, in pass 1: {more[1]:.2f} warp instructions, {more[2]:.2f} sectors a segment"
    print(line)
    if not more[1] <= instructions or not more[2] <= sectors:
        wrong.append(f"{line}; allowed are {instructions}, {sectors}")
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
