# SPDX-License-Identifier: Apache-2.0
"""What the trainings of train.py came to, beside the figures that the authors publish, and a picture by swd.plot.

    table.py FOLDER     FOLDER is train.py's --output
"""
import glob
import json
import os
import sys
from collections import defaultdict
from statistics import mean, stdev

# Test error in per cent, mean and standard deviation: README of github.com/zeke-xie/stable-weight-decay-regularization.
PUBLISHED = {("resnet18", "adams"): (4.91, 0.04), ("resnet18", "adamw"): (5.08, 0.07), ("resnet18", "adam"): (6.53, 0.03),
             ("resnet18", "sgd"): (5.01, 0.03), ("vgg16", "adams"): (6.09, 0.11), ("vgg16", "adamw"): (6.48, 0.13),
             ("vgg16", "adam"): (7.31, 0.25), ("vgg16", "sgd"): (6.42, 0.02)}
NAMES = {"adams": "AdamS", "adamw": "AdamW", "adam": "Adam + L2", "sgd": "SGD, momentum"}


def collect(folder):
    """Finished epochs of all results, by setting and method."""
    found = defaultdict(list)
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            one = json.load(file)
        found[one["data"], one["model"], one["width"], one["epochs"], one["method"]].append(one)
    return dict(found)


def spread(values, factor=1):
    deviation = stdev(values) * factor if len(values) > 1 else 0.0
    return f"{mean(values) * factor:.2f} ({deviation:.2f})"


def rows(found):
    """Lines of a Markdown table. A published figure stands only beside the setting that it is of."""
    yield "| data | model | epochs | method | seeds | gradient norm | weight norm | lambda_eff | test error % | published |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for (data, model, width, epochs, method), runs in sorted(found.items()):
        last = [run["history"][-1] for run in runs]
        done = min(one["epoch"] for one in last)
        is_theirs = data.startswith("cifar-10-") and width == 64 and epochs == 200
        published = "{:.2f} ({:.2f})".format(*PUBLISHED[model, method]) if is_theirs else ""
        size = model if width == 64 else f"{model}, width {width}"
        yield (f"| {data} | {size} | {done if done == epochs else f'{done} of {epochs}'} | {NAMES[method]} | {len(runs)} | "
               + " | ".join(spread([one[key] for one in last]) for key in ("grad_norm", "weight_norm", "lambda_eff"))
               + f" | {spread([one['test_error'] for one in last], 100)} | {published} |")


def main(arguments):
    found = collect(arguments[0])
    if not found:
        raise SystemExit(f"{arguments[0]}: no result is there")
    print("\n".join(rows(found)))
    print("Means over seeds, in brackets the standard deviation; norms and lambda_eff are means over the last epoch.")
    import swd.plot
    logs = {f"{key[1]}, {key[3]} epochs, {NAMES[key[4]]}": [{"step": one["epoch"], **one} for one in runs[0]["history"]]
            for key, runs in sorted(found.items())}
    swd.plot.draw(logs, os.path.join(arguments[0], "telemetry.png"), title="first seed of each, over epochs")


if __name__ == "__main__":
    main(sys.argv[1:])
