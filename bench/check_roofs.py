# SPDX-License-Identifier: Apache-2.0
"""Every loop of the CUDA roof moves the bytes of its pass, each once, or a ratio to it would mean nothing. Counted by a
simulated runtime, which has to be on LD_LIBRARY_PATH; a test of ctest label simulator.

    check_roofs.py BENCH_STEP"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

POWER = 18  # with two multiprocessors every resident block has several tiles
NARROW_POWER = 15  # of loops that differ from fp32's by the width of their accesses
# Bytes of an element: parameter and remainder, one moment. The loops leave the scales of block8 alone.
STATES = {"fp32": (4, 4), "mixed16": (4, 2), "compact8": (3, 1), "tiny8": (2, 1), "f32-block8": (4, 1)}
# States, gradient, and the least kernels that run: 8 reads, 8 mixes and 3 shapes of bulk copies of each; of others 4
# mixes and no bulk copies.
CASES = (("fp32", "f32", 22), ("mixed16", "bf16", 12), ("compact8", "f32", 12), ("tiny8", "bf16", 12),
         ("f32-block8", "bf16", 12))


def expected(name, states, grad):
    """Bytes read and written of an element, once."""
    param, moment = STATES[states]
    grad = {"f32": 4, "bf16": 2}[grad]
    read, mix = (grad, 0), (grad + param + 2 * moment, param + 2 * moment)
    if "bulk_kernel<" in name:
        return mix if "true>" in name else read
    return read if "read_kernel<" in name else mix if "mix_kernel<" in name else None


def kernels_of(program, states, grad, power):
    with tempfile.TemporaryDirectory() as folder:
        stats = pathlib.Path(folder) / "stats.json"
        environment = dict(os.environ, CUDASIM_STATS=str(stats), CUDASIM_SMS="2", CUDASIM_RACECHECK="1")
        subprocess.run([program, "--backend=cuda", f"--roof={power}", f"--states={states}", f"--grad={grad}",
                        "--trial"], env=environment, check=True, stdout=subprocess.DEVNULL)
        return json.loads(stats.read_text())["kernels"]


def check(program, states, grad, least):
    """What is wrong, as lines."""
    power = POWER if states == "fp32" else NARROW_POWER
    seen, wrong = 0, []
    for kernel in kernels_of(program, states, grad, power):
        wanted = expected(kernel["name"], states, grad)
        if wanted is None:
            continue
        seen += 1
        elements = kernel["launches"] << power
        asked = (kernel["global_load"]["bytes"], kernel["global_store"]["bytes"])
        touched = (kernel["unique_bytes"]["read"], kernel["unique_bytes"]["written"])
        floor = tuple(bytes_ * elements for bytes_ in wanted)
        if touched != floor or ("bulk" not in kernel["name"] and asked != floor):
            wrong.append(f"{kernel['name']}: touched {touched}, asked for {asked}, not {floor}")
    if seen < least:
        wrong.append(f"only {seen} kernels ran")
    print(f"states {states}, gradients {grad}: {seen} kernels, {len(wrong)} wrong", flush=True)
    return wrong


def main():
    wrong = [line for case in CASES for line in check(sys.argv[1], *case)]
    print("\n".join(wrong) or "all move what they should")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
