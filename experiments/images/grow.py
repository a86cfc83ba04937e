# SPDX-License-Identifier: Apache-2.0
"""Grows the tables of docs/evidence.md: the network of the demo in other settings, seed by seed.

    grow.py PROGRAM DATA [--settings NAME ...] [--seeds FIRST:END] [--results FOLDER]

PROGRAM is build/demo/examples/images (scripts/demo.sh builds it), DATA a folder with idx files, or "" for glyphs. What is in the results
already is not run again, so that a call that was cut off goes on at the next seed, and more seeds add to those there.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

MATCHED = ["swd:0.01", "matched:0.01", "swd:0.03", "matched:0.03", "swd:0.06", "matched:0.06"]
PAIR = ["adamw:0", "swd:0.03", "matched:0.03"]
HALF = ["--train", "5000", "--steps", "2000"]  # as many passes as the demo's at a quarter of the work
# name -> runs, further arguments
SETTINGS = {
    "base": (["adamw:0", "adamw:0.3", "adamw:1", *MATCHED, "relative:1", "l2:0.01"], []),
    "half": ([*PAIR, "replay:0.03"], HALF),
    "weights-only": (PAIR, ["--weights-only", *HALF]),
    "no-norm": (PAIR, ["--no-norm", *HALF]),
    "label-noise": (PAIR, ["--label-noise", "0.2", *HALF]),
    "wsd": (PAIR, ["--schedule", "wsd", *HALF]),
    "cosine": ([*PAIR, "adamc:3"], ["--schedule", "cosine", *HALF]),
    "interpolated": (["adamw:0", "swd:0.01", "matched:0.01"], ["--train", "500", "--steps", "2000"]),
    "long": (PAIR, ["--steps", "16000"]),
}
CURVES = ("norms", "lambda", "decays", "losses")


def run(program, data, name, seed):
    """One seed of one setting, without its curves."""
    runs, arguments = SETTINGS[name]
    with tempfile.TemporaryDirectory() as folder:
        output = folder + "/out.json"
        subprocess.run([program, *(["--data", data] if data else []), "--output", output, "--seeds", "1", "--first-seed", str(seed),
                        *arguments, "--runs", *runs], check=True, stdout=subprocess.DEVNULL)
        with open(output, encoding="utf-8") as file:
            result = json.load(file)
    for one in result["runs"]:
        for curve in CURVES:
            del one[curve]
    return result


def merged(old, new):
    """The runs of both; settings must agree, as only the seeds may differ."""
    setting = {key: value for key, value in new.items() if key != "runs"}
    if old and {key: value for key, value in old.items() if key != "runs"} != setting:
        raise SystemExit("the results that are there are of another setting: move them away")
    runs = (old["runs"] if old else []) + new["runs"]
    return {**setting, "runs": sorted(runs, key=lambda r: (r["kind"], r["strength"], r["seed"]))}


def write(path, result):
    """Whole or not at all; a line per run."""
    setting = {key: value for key, value in result.items() if key != "runs"}
    text = json.dumps(setting)[:-1] + ', "runs": [\n' + ",\n".join(json.dumps(r) for r in result["runs"]) + "]}\n"
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("data")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--seeds", default="0:3", help="FIRST:END, END not included")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results")
    o = parser.parse_args(arguments)
    first, end = (int(part) for part in o.seeds.split(":"))
    o.results.mkdir(parents=True, exist_ok=True)
    for name in o.settings:
        for seed in range(first, end):
            path = o.results / f"{name}.json"
            old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
            if old and any(r["seed"] == seed for r in old["runs"]):
                continue
            write(path, merged(old, run(o.program, o.data, name, seed)))
            print(f"{name}, seed {seed}: done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
