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
READ, MIX = (4, 0), (16, 12)  # bytes read and written of an element, once
LOOPS = {"read_kernel": READ, "mix_kernel": MIX, "bulk_kernel": None}


def expected(name):
    kernel = next((k for k in LOOPS if k + "<" in name), None)
    if kernel == "bulk_kernel":
        return MIX if "true>" in name else READ
    return LOOPS.get(kernel)


def main():
    with tempfile.TemporaryDirectory() as folder:
        stats = pathlib.Path(folder) / "stats.json"
        environment = dict(os.environ, CUDASIM_STATS=str(stats), CUDASIM_SMS="2", CUDASIM_RACECHECK="1")
        subprocess.run([sys.argv[1], "--backend=cuda", f"--roof={POWER}", "--trial"], env=environment, check=True,
                       stdout=subprocess.DEVNULL)
        kernels = json.loads(stats.read_text())["kernels"]
    seen, wrong = 0, []
    for kernel in kernels:
        wanted = expected(kernel["name"])
        if wanted is None:
            continue
        seen += 1
        elements = kernel["launches"] << POWER
        asked = (kernel["global_load"]["bytes"], kernel["global_store"]["bytes"])
        touched = (kernel["unique_bytes"]["read"], kernel["unique_bytes"]["written"])
        floor = tuple(bytes_ * elements for bytes_ in wanted)
        if touched != floor or ("bulk" not in kernel["name"] and asked != floor):
            wrong.append(f"{kernel['name']}: touched {touched}, asked for {asked}, not {floor}")
    print("\n".join(wrong) or f"{seen} kernels move what they should")
    # 8 reads, 8 mixes, 3 shapes of bulk copies of each.
    sys.exit(bool(wrong) or seen < 22)


if __name__ == "__main__":
    main()
