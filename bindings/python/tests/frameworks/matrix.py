# SPDX-License-Identifier: Apache-2.0
"""Runs all cases of all frameworks and prints a table; called by scripts/test_frameworks.sh.

    python matrix.py [OPTIONAL PART ...]

A part whose package is not there is "not run", which fails unless the part is named as optional. So does a difference
over the bound: 0 on one process, 1e-6 on two; 0 between the run that saved and the one that resumed. And a block of the page
that no case ran. Exit code 1: something failed.
"""
import importlib.util
import json
import os
import subprocess
import sys
import tempfile

import page

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBERS = ("param", "norm", "vbar", "resume")
PACKAGES = {"trainer": "transformers"}  # of parts that are not called as their package

# part, processes, cases that share them
LAUNCHES = [("torch", 1, ["one_process.plain"]),
            ("torch", 2, [f"two_ranks.{case}" for case in ("ddp", "fsdp2", "zero", "fsdp1")]),
            ("trainer", 1, ["two_ranks_packages.trainer", "one_process.trainer_overrides"])]
LAUNCHES += [("accelerate", 1, ["two_ranks_packages.accelerate"]),
             ("lightning", 1, ["two_ranks_packages.lightning", "one_process.lightning_clipping"])]
LAUNCHES += [(part, 1, [f"one_process.{part}"]) for part in ("peft", "timm")]
LAUNCHES += [(part, 2, [f"two_ranks_packages.{part}{how}"]) for part in ("trainer", "accelerate", "lightning")
             for how in ("", "_fsdp2")]
LAUNCHES += [("deepspeed", 2, [f"two_ranks_packages.deepspeed_{case}" for case in ("1", "2", "without_shards")])]


def launch(ranks, cases, folder):
    """({case: numbers}, None), or (None, output)."""
    command = page.text("torchrun")[0] if ranks == 2 else f"{sys.executable} train.py"
    environment = {**os.environ, "SWD_CASES": " ".join(cases), "SWD_FOLDER": folder, "OMP_NUM_THREADS": "1",
                   "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "",
                   "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["bash", "-ec", command], cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600)
    out = os.path.join(folder, "out.json")
    if done.returncode or not os.path.exists(out):
        return None, done.stdout
    with open(out, encoding="utf-8") as file:
        return json.load(file), None


def main(optional):
    passed, failed, not_run = 0, 0, []
    print("| framework | processes | parameters | norm | vbar | resumed |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SWD_BLOCKS_RUN"] = ran = os.path.join(folder, "blocks")
        os.mkdir(ran)
        for i, (part, ranks, cases) in enumerate(LAUNCHES):
            if importlib.util.find_spec(PACKAGES.get(part, part)) is None:
                not_run += [part] if part not in not_run else []
                continue
            os.mkdir(os.path.join(folder, str(i)))
            found, output = launch(ranks, cases, os.path.join(folder, str(i)))
            if found is None:
                failed += len(cases)
                print(f"{' '.join(cases)} on {ranks}: failed\n{output[-6000:]}", flush=True)
            for case, numbers in (found or {}).items():
                bound = {name: 1e-6 if ranks > 1 and name != "resume" else 0.0 for name in numbers}
                good = all(numbers[name] <= bound[name] for name in numbers)
                passed, failed = passed + good, failed + (not good)
                cells = [f"{numbers[name]:.1e}" if name in numbers else "" for name in NUMBERS]
                print(f"| {case.split('.')[1].replace('_', ' ')} | {ranks} | {' | '.join(cells)} |{'' if good else ' over its bound'}",
                      flush=True)
        problem = page.main(ran, not_run)
    for part in not_run:
        print(f"{part}: not run, its package is not there")
    print(f"\n{passed} passed, {failed} failed")
    return bool(failed or problem or set(not_run) - set(optional))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
