# SPDX-License-Identifier: Apache-2.0
"""Runs charlm, a character model in C++ over the C ABI, with a progress bar, prints its table and draws the curves.

Usage: run.py PROGRAM OUTPUT_FOLDER TEXT_FILE ... [arguments of the program ...], as in
    cmake --build build/demo --target charlm    # after scripts/demo.sh
    run.py build/demo/examples/charlm build/demo README.md docs/*.md src/*/*.cpp
"""
import json
import os
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tqdm import tqdm


def smooth(values, width=100):
    """Means over `width` steps, so that batches do not hide the trend."""
    steps = range(0, len(values) - width + 1, width)
    return [s + width / 2 for s in steps], [sum(values[s : s + width]) / width for s in steps]


# The curves may lie on each other: each stays visible under the next.
LINES = ({"linewidth": 3.5, "alpha": 0.6}, {"linewidth": 1.5}, {"linewidth": 1.2, "linestyle": "--"})


def draw(runs, path):
    figure, panels = plt.subplots(1, 3, figsize=(15, 4.5))
    for key, title, panel in (("norm", "gradient norm", panels[0]), ("lambda", "effective decay (AdamW's units)", panels[1]),
                              ("loss", "training loss (nats per byte)", panels[2])):
        for run, style in zip(runs, LINES):
            if key == "lambda" and "L2" in run["name"]:
                continue  # not a decay of the parameters
            panel.plot(*smooth(run[key]), label=f"{run['name']}, {run['strength']:.2g}", **style)
        panel.set_title(title)
        panel.set_xlabel("step")
        if key == "lambda":
            panel.set_yscale("log")
        panel.grid(alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    program, folder, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    output = os.path.join(folder, "charlm.json")
    process = subprocess.Popen([program, "--output", output, *arguments], stdout=subprocess.PIPE, text=True)
    with tqdm(unit="step", desc="training") as bar:
        for line in process.stdout:
            words = line.split()
            if words[:1] == ["progress"]:
                bar.total = int(words[2])
                bar.update(int(words[1]) - bar.n)
            else:
                print(line, end="")
    if process.wait() != 0:
        return process.returncode
    with open(output) as file:
        result = json.load(file)
    print(f"\n{result['text_bytes']} bytes of text, {result['backend']} backend. Strengths tried (validation loss):")
    for trial in result["tried"]:
        print(f"  {trial['name']:10} {trial['strength']:9.2e}  {trial['validation_loss']:.4f}")
    print(f"\n{'':10} {'strength':>9} {'training':>9} {'validation':>11} {'last norm':>10} {'lambda_eff':>11} {'us a step':>10}")
    for r in result["runs"]:
        print(f"{r['name']:10} {r['strength']:9.2e} {r['train_loss']:9.4f} {r['validation_loss']:11.4f} {r['last_norm']:10.4f}"
              f" {r['lambda_eff']:11.3e} {r['step_us']:10.1f}")
    order = sorted(result["runs"], key=lambda r: r["validation_loss"])
    print("\nBy validation loss: " + " < ".join(f"{r['name']} {r['validation_loss']:.4f}" for r in order)
          + ". last norm: mean gradient norm of the last tenth.")
    picture = os.path.join(folder, "charlm.png")
    draw(result["runs"], picture)
    print(f"Curves: {picture}, numbers: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
