# SPDX-License-Identifier: Apache-2.0
"""Runs all cases of all frameworks and prints a table; called by scripts/test_frameworks.sh.

    python matrix.py [OPTIONAL PART ...]

Fails (exit code 1) on a difference over its bound: 0 on one process, 1e-6 on two, 0 between the run that saved and the one that
resumed; on a block of the page that no case ran; on a part whose package is not there, unless it is named as optional.
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
LAUNCHES = [("torch", 1, ["cases_alone.plain", "cases_alone.overlap"]),
            ("torch", 2, [f"cases_torch.{case}" for case in ("ddp", "fsdp2", "zero", "fsdp1")]),
            ("trainer", 1, ["cases_packages.trainer", "cases_alone.trainer_overrides"]),
            ("accelerate", 1, ["cases_packages.accelerate"]),
            ("lightning", 1, ["cases_packages.lightning", "cases_alone.lightning_clipping"])]
LAUNCHES += [(part, 1, [f"cases_alone.{part}"]) for part in ("peft", "timm")]
LAUNCHES += [(part, 2, [f"cases_packages.{part}{how}"]) for part in ("trainer", "accelerate", "lightning")
             for how in ("", "_fsdp2")]
LAUNCHES += [("deepspeed", 2, [f"cases_deepspeed.deepspeed_{case}" for case in ("zero_1", "zero_2", "without_shards")])]


def launch(ranks, cases, folder):
    """({case: numbers}, None), or (None, output)."""
    command = page.text("torchrun")[0] if ranks == 2 else f"{sys.executable} train.py"
    environment = {**os.environ, "SWD_CASES": " ".join(cases), "SWD_FOLDER": folder, "OMP_NUM_THREADS": "1",
                   "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "",
                   "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["timeout", "600", "bash", "-ec", command], cwd=HERE, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
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
                cells = [case.split(".")[1].replace("_", " "), str(ranks)]
                cells += [f"{numbers[name]:.1e}" if name in numbers else "" for name in NUMBERS]
                print(f"| {' | '.join(cells)} |{'' if good else ' over its bound'}", flush=True)
        problems = page.problems(ran, not_run)
    print("\n".join(problems))
    for part in not_run:
        print(f"{part}: not run, its package is not there")
    print(f"\n{passed} passed, {failed} failed")
    return bool(failed or problems or set(not_run) - set(optional))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
