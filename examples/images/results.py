# SPDX-License-Identifier: Apache-2.0
"""What the runs of the program images add up to: means, spreads and paired differences. Used by run.py, picture.py and
experiments/."""
import json
import math
from collections import defaultdict
from statistics import mean, stdev

# What is compared, with a factor and digits: errors are shown in per cent.
MEASURES = {"norm": ("norm", 1, 2), "full_norm": ("full norm", 1, 2), "train_loss": ("training loss", 1, 3),
            "test_loss": ("test loss", 1, 3), "test_error": ("error %", 100, 2)}
NAMES = {"adamw": "AdamW", "swd": "SWD", "relative": "relative", "l2": "Adam + L2", "matched": "AdamW", "adamc": "AdamC",
         "replay": "AdamW, replay of SWD"}
ORDER = list(NAMES)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def groups(result, order=ORDER):
    """The runs of each method, by seed; methods in the order of their kinds."""
    found = defaultdict(list)
    for run in sorted(result["runs"], key=lambda r: (order.index(r["kind"]), r["strength"], r["seed"])):
        found[run["kind"], run["strength"]].append(run)
    return dict(found)


def name(method, runs):
    """As tables and legends call it: a matched AdamW by its own constant."""
    kind, strength = method
    if kind == "matched":
        return f"AdamW {mean(r['mean_lambda'] for r in runs):.2f}"
    return f"{NAMES[kind]} {strength:g}"


def spread(runs, key):
    """Mean and standard deviation over seeds; 0 for one."""
    values = [run[key] for run in runs]
    return mean(values), stdev(values) if len(values) > 1 else 0.0


class Difference:
    """One method minus another, seed by seed."""

    def __init__(self, ours, theirs, key):
        other = {run["seed"]: run[key] for run in theirs}
        pairs = [run[key] - other[run["seed"]] for run in ours if run["seed"] in other]
        if not pairs:
            raise ValueError("no seed in common")
        self.seeds, self.mean = len(pairs), mean(pairs)
        self.error = stdev(pairs) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.inf
        self.lower = sum(pair < 0 for pair in pairs)

    @property
    def is_tie(self):
        return not abs(self.mean) >= 2 * self.error

    def text(self, factor, digits):
        if self.seeds == 1:
            return f"{self.mean * factor:+.{digits + 1}f}, one seed: no verdict"
        error = f" +- {self.error * factor:.{digits + 1}f}"
        word = "tie" if self.is_tie else "lower" if self.mean < 0 else "higher"
        return f"{self.mean * factor:+.{digits + 1}f}{error}, lower in {self.lower} of {self.seeds} seeds: {word}"


def matched_pairs(found):
    """SWD and the AdamW of the same total decay, of each strength that has both."""
    return [(strength, found["swd", strength], found["matched", strength])
            for kind, strength in found if kind == "swd" and ("matched", strength) in found]


def best(found, kinds):
    """The method of these kinds with the lowest mean validation loss, or None."""
    methods = [method for method in found if method[0] in kinds]
    return min(methods, key=lambda m: spread(found[m], "validation_loss")[0], default=None)


def cells(runs, key):
    """A measure as a table shows it."""
    _, factor, digits = MEASURES[key]
    middle, deviation = spread(runs, key)
    return f"{middle * factor:.{digits}f}" + (f" +- {deviation * factor:.{digits}f}" if len(runs) > 1 else "")


def decay_cells(method, runs):
    """Mean lambda_eff and total decay; L2 is no decay of the parameters."""
    if method[0] == "l2":
        return "", ""
    return f"{spread(runs, 'mean_lambda')[0]:.2f}", f"{spread(runs, 'total_decay')[0]:.2f}"
