# SPDX-License-Identifier: Apache-2.0
"""Table and picture of docs/narrow_states.md from the results of train.py: losses, and each method minus fp32, seed by seed.

    report.py [RESULTS.json ...] [--page PAGE] [--picture PICTURE.png]     without --page it prints the table

Several files are runs of one setting. In the page the table goes between the marks of the first file's name.
"""
import argparse
import pathlib
import sys
from statistics import mean

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("examples/images", "experiments/images")]
import grow  # noqa: E402
import results as images  # noqa: E402
import tables  # noqa: E402

NAMES = {"fp32": "fp32", "mixed16": "mixed16", "compact8": "compact8", "tiny8": "tiny8", "nearest": "all bf16, rounded to nearest"}
MEASURES = {"train_loss": "training loss", "validation_loss": "validation loss"}


def load(paths):
    """The setting of all files, and their runs by method in the order of NAMES: of the seeds that all methods have."""
    result = None
    for path in paths:
        result = grow.merged(result, images.load(path))
    found = images.groups(result, list(NAMES))
    seeds = set.intersection(*({run["seed"] for run in runs} for runs in found.values()))
    return result, {method: [run for run in runs if run["seed"] in seeds] for (method, _), runs in found.items()}


def cell(runs, key):
    middle, deviation = images.spread(runs, key)
    return f"{middle:.4f}" + (f" +- {deviation:.4f}" if len(runs) > 1 else "")


def difference(found, method, key):
    if method == "fp32" or "fp32" not in found:
        return ""
    return images.Difference(found[method], found["fp32"], key).text(1, 3).replace(" seeds", "").replace(", lower in", "; lower in")


def table(result, found):
    tokens = result["batch"] * result["context"]
    seeds = len(next(iter(found.values())))
    yield (f"{result['parameters']:,} parameters, {result['steps']:,} steps of {tokens:,} bytes out of {result['text_bytes']:,}, "
           f"lr {result['lr']:g}, {result['device']}; {seeds} seed{'s' if seeds > 1 else ''}. Nats a byte, mean +- standard "
           "deviation; differences +- standard error.")
    yield ""
    yield "| states | bytes of state | " + " | ".join(MEASURES.values()) + " | " + " | ".join(f"{name} minus fp32's" for name in MEASURES.values()) + " |"
    yield "|---" * (2 + 2 * len(MEASURES)) + "|"
    for method, runs in found.items():
        memory = runs[0]["memory"]
        cells = [NAMES[method], f"{memory['parameters'] + memory['states']:.4g}", *(cell(runs, key) for key in MEASURES),
                 *(difference(found, method, key) for key in MEASURES)]
        yield "| " + " | ".join(cells) + " |"


def curves(runs):
    """Mean, smallest and largest over seeds, point by point."""
    return [(mean(point), min(point), max(point)) for point in zip(*runs)]


def draw(result, found, path):
    """Losses over the training, and what each method's is above fp32's, seed by seed: the mean, and the range of seeds."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    losses, above = figure.subplots(1, 2)
    base = {run["seed"]: run["curve"] for run in found["fp32"]}
    width = result["steps"] / len(found["fp32"][0]["curve"])
    for number, (method, runs) in enumerate(found.items()):
        x = [(i + 0.5) * width for i in range(len(runs[0]["curve"]))]
        style = {"label": NAMES[method], "color": f"C{number}", "linewidth": 2, "linestyle": ("-", "--", "-.", ":", "-")[number]}
        losses.plot(x, [point[0] for point in curves([run["curve"] for run in runs])], **style)
        if method != "fp32":
            points = curves([[a - b for a, b in zip(run["curve"], base[run["seed"]])] for run in runs])
            above.plot(x, [point[0] for point in points], **style)
            above.fill_between(x, [point[1] for point in points], [point[2] for point in points], color=f"C{number}", alpha=0.2)
    above.axhline(0, color="C0", linewidth=2)
    for axes, title in ((losses, "training loss, nats a byte"), (above, "minus fp32's, seed by seed: mean and range")):
        axes.set_title(title, fontsize=13)
        axes.set_xlabel("step", fontsize=12)
        axes.tick_params(labelsize=11)
        axes.grid(alpha=0.3)
    losses.legend(fontsize=12)
    figure.savefig(path, dpi=110)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=pathlib.Path, default=[HERE / "results" / "kjv.json"])
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--picture", type=pathlib.Path)
    o = parser.parse_args(arguments)
    result, found = load(o.results)
    made = "\n".join(table(result, found))
    if o.page:
        o.page.write_text(tables.replaced(o.page.read_text(encoding="utf-8"), o.results[0].stem, made), encoding="utf-8")
    else:
        print(made)
    if o.picture:
        draw(result, found, o.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
