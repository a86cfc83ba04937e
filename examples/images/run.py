# SPDX-License-Identifier: Apache-2.0
"""Runs the program images with a progress bar, prints its tables and draws the pictures. Called by scripts/demo.sh.

Usage: run.py PROGRAM OUTPUT_FOLDER [arguments of the program ...]
"""
import os
import subprocess
import sys

from tqdm import tqdm

import picture
import results


def train(command):
    """Runs the program; False if it failed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, tqdm(unit="step", desc="training") as bar:
        for line in process.stdout:
            words = line.split()
            if words[:1] == ["progress"]:
                bar.total = int(words[2])
                bar.update(max(0, int(words[1]) - bar.n))  # two threads may print out of order
            else:
                bar.write(line.rstrip())
    return process.returncode == 0


def about(result):
    return (f"{picture.subject(result)}, {result['parameters']:,} parameters, "
            f"{'all of them decayed' if not result['weights_only'] else 'only weights decayed'}; {result['steps']:,} steps "
            f"of {result['batch']} images, learning rate {result['lr']:g}")


def print_table(found):
    print(f"\n{'':22}{'mean':>10}{'total':>7}" + "".join(f"{results.MEASURES[key][0]:>17}" for key in results.MEASURES))
    print(f"{'':22}{'lambda_eff':>10}{'decay':>7}" + "".join(f"{'(last tenth)' if key == 'norm' else '':>17}"
                                                            for key in results.MEASURES))
    for method, runs in found.items():
        decay, total = results.decay_cells(method, runs)
        note = f" (= SWD {method[1]:g})" if method[0] == "matched" else ""
        print(f"{results.name(method, runs) + note:22}{decay:>10}{total:>7}"
              + "".join(f"{results.cells(runs, key):>17}" for key in results.MEASURES))
    print("Means over seeds +- standard deviation. (= SWD w): AdamW at the constant with that SWD's total decay, the sum of lr "
          "times lambda_eff.")


def print_differences(title, ours, theirs):
    print(f"\n{title}:")
    for key, (heading, factor, digits) in results.MEASURES.items():
        print(f"  {heading:14} {results.Difference(ours, theirs, key).text(factor, digits)}")


def print_comparison(found):
    for strength, ours, theirs in results.matched_pairs(found):
        print_differences(f"SWD {strength:g} minus AdamW at the same total decay", ours, theirs)
    swd, adamw = results.best(found, ("swd",)), results.best(found, ("adamw", "matched"))
    if swd and adamw:
        print_differences(f"Best of each by validation loss: {results.name(swd, found[swd])} minus "
                          f"{results.name(adamw, found[adamw])}", found[swd], found[adamw])
    print("Means of the differences seed by seed +- standard error; a tie: the mean is below two of them.")


def main():
    program, folder, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    if "--help" in arguments or "-h" in arguments:
        return subprocess.run([program, "--help"], check=False).returncode
    output = os.path.join(folder, "images.json")
    if not train([program, "--output", output, *arguments]):
        return 1
    result = results.load(output)
    found = results.groups(result)
    if "--data" not in " ".join(arguments):
        print("\nNo images are there, so these are glyphs that the program makes: --data DIR takes idx files.")
    print(f"\n{about(result)}.")
    print_table(found)
    print_comparison(found)
    path = picture.draw(result, os.path.join(folder, "images.png"))
    print(f"\nPicture: {path}, numbers: {output}")
    telemetry = picture.draw_telemetry(result, os.path.join(folder, "telemetry.png"))
    if telemetry:
        print(f"What a log of single runs looks like, by swd.plot: {telemetry}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
