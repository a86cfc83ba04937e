#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the CUDA kernels to machine code for several architectures and reports registers, stack, spills, resident
warps, bytes of loads in flight on a multiprocessor and, with nvdisasm, instructions a parameter (instructions.py). Fails
on any stack or spill, and where a kernel of a step has fewer than 48 KiB in flight on sm_90 (narrow rows: 18) or more
instructions than its limit. Takes the compiler's options from a configured build, where results are kept until a source
changes. An architecture takes a minute of one core or two: CI looks at the oldest one, the one for which the kernels are
tuned, and the newest; without --arch it does all that the tables show. --markdown prints the table of docs/performance_cuda.md."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import instructions

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ("pass1_reduce.cu", "pass2_update.cu", "pass2_narrow.cu", "tables.cu", "copy_params.cu", "convert.cu")
REGISTERS = 65536            # of a multiprocessor, handed out in units of 8 a thread
WARPS = {75: 32, 80: 64, 86: 48, 87: 48, 89: 48, 90: 64, 100: 64, 103: 64, 110: 48, 120: 48, 121: 48}  # resident
LEAST_IN_FLIGHT = 48 * 1024  # CUB's own figure for full bandwidth on sm_90
# Of rows that are decoded and encoded: one is some 700 instructions of a warp, so a few warps that compute cover the
# latency of those that load. Their arrays are shorter, too.
LEAST_NARROW = 18 * 1024
BYTES = {"float": 4, "Bf16": 2, "F16": 2, "Block8": 1, "Split<16>": 4, "Split<8>": 3, "Split<0>": 2}
KERNEL = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'.*?"
                    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
                    r"Used (\d+) registers", re.S)


def compile_options(build, source):
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    for entry in commands:
        if entry["file"].endswith("kernels/cuda/" + source):
            words = shlex.split(entry["command"])
            break
    else:
        sys.exit(f"{build} does not build {source}: configure it with CUDA")
    words = words[next(i for i, word in enumerate(words) if pathlib.Path(word).name == "nvcc"):]
    kept, skip = [], False
    for word in words:
        if not skip and not word.startswith(("--generate-code", "-gencode", "-arch")) and word not in ("-o", "-c"):
            kept.append(word)
        skip = word == "-o"
    return kept, entry["directory"]


def source_hash(command):
    digest = hashlib.sha256(repr(command).encode())
    for folder in ("src", "include"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def ptxas(build, source, arch, nvdisasm):
    """ptxas's report for one file and architecture: list of (mangled name, registers, stack, spilled bytes, instructions
    a parameter or None)."""
    command, directory = compile_options(build, source)
    command += [f"-arch=sm_{arch}", "-Xptxas", "-v", "-cubin"]
    cache = build / "ptxas" / f"{source}.{arch}.{source_hash(command)}"
    cubin = cache.parent / (cache.name + ".cubin")
    if not cache.exists() or not cubin.exists():
        cache.parent.mkdir(exist_ok=True)
        for stale in cache.parent.glob(f"{source}.{arch}.*"):
            stale.unlink()
        done = subprocess.run([*command, "-o", str(cubin)], cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        cache.write_text(done.stderr, encoding="utf-8")
    issued = instructions.of_kernels(nvdisasm, cubin) if nvdisasm and source.startswith("pass2_") else {}
    return [(name, int(registers), int(stack), int(stores) + int(loads), issued.get(name))
            for name, _, stack, stores, loads, registers in KERNEL.findall(cache.read_text(encoding="utf-8"))]


def constants():
    text = (ROOT / "src/kernels/cuda/tuning.h").read_text(encoding="utf-8")
    found = {name: int(value) for name, value in re.findall(r"constexpr int (\w+) = (\d+);", text)}
    blocks = re.search(r"= amsgrad && norms \? (\d) : amsgrad \|\| norms \? (\d) : (\d);", text)
    found["update_blocks"] = [int(value) for value in blocks.groups()]
    return found


def shape(name, tuning):
    """(threads of a block, blocks that the launcher puts on a multiprocessor, bytes a thread loads before it uses any,
    bytes that have to be in flight); None for kernels that are not part of a step's bandwidth."""
    update = re.match(r"update_kernel<(\w+), Types<(\w+), \w+, ([\w<>]+), (\w+) ?>, (\w+), (\w+)>", name)
    if update:
        plain, grad, param, moment = update[1] == "WideItem", update[2], update[3], update[4]
        amsgrad, norms = update[5] == "true", update[6] == "true"
        row = 8 * (BYTES[param] + 2 * BYTES[moment] + BYTES[grad] + (4 if amsgrad else 0))  # load_row
        blocks = tuning["update_blocks"][2 - amsgrad - norms] - (0 if plain or amsgrad else 1)
        return tuning["kUpdateThreads"], blocks, row, LEAST_IN_FLIGHT if plain else LEAST_NARROW
    maxed = re.match(r"reduce_kernel<SumMaxed<(\w+) ?>", name)
    if maxed:
        return tuning["kThreads"], tuning["kReduceBlocksPerSm"], 8 * (8 + BYTES[maxed[1]]), LEAST_IN_FLIGHT
    if name == "reduce_kernel<SumMoments<Block8> >" or name == "reduce_kernel<SumMoments<Block8>>":
        return None  # of a rebuild, element by element
    if name.startswith("reduce_kernel<"):
        return tuning["kThreads"], tuning["kReduceBlocksPerSm"], 16 * tuning["kReduceLoads"], LEAST_IN_FLIGHT
    return None


def demangled(names):
    done = subprocess.run(["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True, check=True)
    return [re.sub(r"swd::|cuda::|\(anonymous namespace\)::", "", line) for line in done.stdout.splitlines()]


def report(arch, kernels, tuning):
    """Rows of the table, and what is wrong."""
    rows, wrong = [], []
    names = demangled([k[0] for k in kernels])
    for name, (_, registers, stack, spilled, issued) in sorted(zip(names, kernels)):
        count = "" if issued is None else f"{issued:.1f}"
        limit = instructions.LIMITS.get(name) if arch == 90 else None
        if limit and issued and issued > limit:
            wrong.append(f"sm_{arch} {name}: {count} instructions a parameter, more than {limit}")
        if stack or spilled:
            wrong.append(f"sm_{arch} {name}: {stack} bytes of stack, {spilled} bytes spilled")
        shaped = shape(name, tuning)
        if not shaped:
            rows.append((f"sm_{arch}", name, registers, stack, spilled, "", "", count))
            continue
        threads, blocks, loaded, least = shaped
        warps_of_block = threads // 32
        allocated = 32 * ((registers + 7) // 8 * 8)
        resident = min(REGISTERS // allocated // warps_of_block, WARPS[arch] // warps_of_block, blocks) * warps_of_block
        flight = resident * 32 * loaded
        rows.append((f"sm_{arch}", name, registers, stack, spilled, f"{resident} of {WARPS[arch]}",
                     f"{flight / 1024:.0f} KiB", count))
        if arch == 90 and flight < least:
            wrong.append(f"sm_{arch} {name}: {flight} bytes in flight, fewer than {least}")
    return rows, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=str(ROOT / "build/test"), help="a build configured with CUDA")
    parser.add_argument("--arch", default="75,80,90,100,120", help="comma-separated compute capabilities times 10")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at a time")
    parser.add_argument("--nvdisasm", default=shutil.which("nvdisasm"), help="counts instructions (default: the one on PATH)")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    build, archs = pathlib.Path(options.build).resolve(), [int(a) for a in options.arch.split(",")]
    tuning = constants()
    rows = [("arch", "kernel", "registers", "stack", "spilled", "resident warps", "loads in flight", "instructions")]
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = {arch: [pool.submit(ptxas, build, source, arch, options.nvdisasm) for source in SOURCES] for arch in archs}
        for arch in archs:
            kernels = [kernel for job in jobs[arch] for kernel in job.result()]
            if len(kernels) < 95:
                wrong.append(f"sm_{arch}: only {len(kernels)} kernels found in the compiler's report")
            if options.nvdisasm and arch == 90 and not set(instructions.LIMITS) <= set(demangled([k[0] for k in kernels if k[4]])):
                wrong.append(f"sm_{arch}: the loop of a kernel with a limit was not found")
            more_rows, more_wrong = report(arch, kernels, tuning)
            rows += more_rows
            wrong += more_wrong
    if options.markdown:
        rows.insert(1, ("---",) * len(rows[0]))
    for cells in rows:
        widths = (7, -78, 10, 6, 8, 15, 16, 13)
        plain = " ".join(str(c).ljust(-w) if w < 0 else str(c).rjust(w) for c, w in zip(cells, widths))
        print("| " + " | ".join(map(str, cells)) + " |" if options.markdown else plain)
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
