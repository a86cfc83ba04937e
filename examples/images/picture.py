# SPDX-License-Identifier: Apache-2.0
"""The demo's picture: norm and effective decay over time, and what both end in over the total decay. Used by run.py."""
from statistics import mean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter  # noqa: E402

import results  # noqa: E402

NUMBER = FuncFormatter(lambda value, _: f"{value:g}")
SHADES = {"matched": plt.cm.Oranges, "swd": plt.cm.Blues}


NAMES = {"fashion-mnist": "Fashion-MNIST", "mnist": "MNIST"}


def subject(result):
    """What the network learns from."""
    name = NAMES.get(result["data"].lower(), result["data"])
    kind = f"images at {result['width']} x {result['height']}" if result["width"] > 1 else f"curves of {result['height']} points"
    net = "BatchNorm" if result["norm"] else "no normalisation"
    return f"{name}, {result['train']:,} training {kind}, a ConvNet with {net}"


def ticks(axis, low, high):
    """1, 2, 5 times powers of ten, and no label between."""
    steps = [m * 10.0**e for e in range(-9, 10) for m in (1, 2, 5)]
    axis.set_major_locator(FixedLocator([s for s in steps if low <= s <= high]))
    axis.set_major_formatter(NUMBER)
    axis.set_minor_formatter(NullFormatter())


def average(runs, key, width):
    """The mean curve over seeds, smoothed over `width` of its points."""
    curve = [mean(values) for values in zip(*(run[key] for run in runs))]
    half = width // 2
    return [mean(curve[max(0, i - half):i + half + 1]) for i in range(len(curve))]


def lines(found):
    """Methods that are drawn over time, with how: no decay, then pairs of equal total decay in one shade each."""
    drawn = [(("adamw", 0.0), {"color": "black", "linewidth": 1.8}, "no decay")] if ("adamw", 0.0) in found else []
    pairs = results.matched_pairs(found)
    for i, (strength, _, matched) in enumerate(pairs):
        shade = 0.5 + 0.45 * i / max(1, len(pairs) - 1)
        drawn.append((("matched", strength), {"color": SHADES["matched"](shade), "linewidth": 2.2, "linestyle": "--"},
                      results.name(("matched", strength), matched)))
        drawn.append((("swd", strength), {"color": SHADES["swd"](shade), "linewidth": 2.2}, f"SWD {strength:g}"))
    return drawn


def draw_curves(axes, result, found, key, title):
    lowest, highest = float("inf"), 0.0
    for method, style, label in lines(found):
        if key == "lambda" and method == ("adamw", 0.0):
            continue
        curve = average(found[method], key, 9 if key == "norms" else 3)
        x = [(i + 0.5) * result["steps"] / len(curve) for i in range(len(curve))]
        axes.plot(x, curve, label=label, **style)
        lowest, highest = min(lowest, *curve), max(highest, *curve)
    if highest <= 0:
        return
    axes.set_yscale("log")
    axes.set_ylim(lowest / 1.5, highest * 1.15)  # the marks of lr stand below the curves
    ticks(axes.yaxis, *axes.get_ylim())
    if result["schedule"] == "steps":
        for at, text in ((0.4, "lr / 10"), (0.8, "lr / 100")):
            axes.axvline(at * result["steps"], color="grey", linestyle=":", linewidth=1)
            axes.text(at * result["steps"], 0.02, f" {text}", fontsize=11, color="grey", transform=axes.get_xaxis_transform())
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)


def draw_ends(axes, found, key, title):
    """A measure over total decay: what no decay and L2 give are levels."""
    low, high = float("inf"), float("-inf")
    for kinds, style in ((("adamw", "matched"), {"color": "tab:orange", "marker": "o", "label": "AdamW"}),
                         (("swd",), {"color": "tab:blue", "marker": "s", "label": "SWD"}),
                         (("relative",), {"color": "tab:purple", "marker": "*", "markersize": 12, "linestyle": "",
                                          "label": "relative"})):
        points = []
        for (kind, strength), runs in found.items():
            if kind in kinds and strength > 0:
                middle, deviation = results.spread(runs, key)
                points.append((results.spread(runs, "total_decay")[0], middle, deviation / len(runs) ** 0.5))
        if points:
            x, y, error = zip(*sorted(points))
            axes.errorbar(x, y, error, **{"markersize": 7, "capsize": 4, "linewidth": 2.2, **style})
            low, high = min(low, *(a - b for a, b in zip(y, error))), max(high, *(a + b for a, b in zip(y, error)))
    for method, style in ((("adamw", 0.0), {"color": "black", "linestyle": "--", "label": "no decay"}),
                          (results.best(found, ("l2",)), {"color": "tab:green", "linestyle": "-.", "label": "Adam + L2"})):
        if method not in found:
            continue
        level = results.spread(found[method], key)[0]
        if low - 0.6 * (high - low) <= level <= high + 0.6 * (high - low):
            axes.axhline(level, linewidth=1.6, **style)
            low, high = min(low, level), max(high, level)
        else:
            axes.plot([], [], linewidth=1.6, **style)
            title += f"; {style['label']}: {level:.3g}"
    axes.set_xscale("log")
    ticks(axes.xaxis, *axes.get_xlim())
    margin = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)
    axes.set_title(title)
    axes.set_xlabel("total decay, the sum of lr times $\\lambda_{eff}$")
    axes.grid(alpha=0.3)


def legend(axes, panel, columns):
    """The legend of a panel in a strip of its own, where it covers nothing."""
    axes.axis("off")
    handles, labels = panel.get_legend_handles_labels()
    axes.legend(handles, labels, ncol=columns, loc="center", frameon=False, columnspacing=1.4, handlelength=2.2)


def draw(result, path):
    found = results.groups(result)
    seeds = len({run["seed"] for run in result["runs"]})
    with plt.rc_context({"font.size": 13, "axes.titlesize": 13.5, "legend.fontsize": 12.5}):
        figure = plt.figure(figsize=(13, 10.4), constrained_layout=True)
        grid = figure.add_gridspec(4, 2, height_ratios=[0.09, 1, 0.09, 1])
        top, bottom = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[2, :])
        panels = [figure.add_subplot(grid[row, column]) for row in (1, 3) for column in (0, 1)]
        draw_curves(panels[0], result, found, "norms", "gradient norm of the mini-batch")
        draw_curves(panels[1], result, found, "lambda", "effective decay $\\lambda_{eff}$, in AdamW's unit")
        draw_ends(panels[2], found, "norm", "gradient norm, last tenth")
        draw_ends(panels[3], found, "test_loss", "test loss")
        legend(top, panels[0], 8)
        legend(bottom, panels[2], 5)
        of = f"means of {seeds} seeds (bars: standard error)" if seeds > 1 else "one seed"
        figure.suptitle(f"{subject(result)},\n{of}; a dashed AdamW has the total decay of the SWD in the same shade", fontsize=14)
        figure.savefig(path, dpi=100)
        plt.close(figure)
    return path


def draw_telemetry(result, path):
    """Single runs of one seed as swd.plot shows them; None where the Python package is not there."""
    try:
        import swd.plot
    except ImportError:
        return None
    found, runs = results.groups(result), {}
    for method in ([m for m, _, _ in lines(found)] or list(found)):
        one = found[method][0]
        stretch = result["steps"] / len(one["norms"])
        runs[results.name(method, [one])] = [
            {"step": (i + 0.5) * stretch, "grad_norm": norm, "lambda_eff": decay, "largest_decay": share, "skipped": 0}
            for i, (norm, decay, share) in enumerate(zip(one["norms"], one["lambda"], one["decays"]))]
    swd.plot.draw(runs, path, title=f"seed {result['runs'][0]['seed']}, means over {stretch:g} steps")
    return path
