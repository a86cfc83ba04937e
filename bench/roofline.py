# SPDX-License-Identifier: Apache-2.0
"""Draws what bench_step and the peers measured: bandwidth over size under its roof, the ratio to the roof of every case
at the base size, and step times beside the peers'. Called by scripts/bench.sh.

    roofline.py PICTURE.png STEP.json [PEERS.json ...]"""
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import matplotlib.ticker  # noqa: E402

import results  # noqa: E402

COLOURS = {"norm": "#4477aa", "update": "#228833", "step": "#cc3311", "memcpy": "#777777"}
GOAL = {"cpu": 0.90, "cuda": 0.95}
NAMES = {"norm": "pass 1 (norm)", "update": "pass 2 (update)", "step": "whole step", "memcpy": "memcpy"}


def draw_bandwidth(axes, found):
    for part, colour in COLOURS.items():
        rows = [r for r in found.rows if r.part == part and r.is_base and not r.error]
        rows.sort(key=lambda r: r.elements)
        if not rows:
            continue
        x = [r.elements for r in rows]
        axes.plot(x, [r["GB_per_s"] for r in rows], "o-", color=colour, markersize=4, label=NAMES[part])
        if part != "memcpy":
            axes.plot(x, [r["roof_GB_per_s"] for r in rows], "--", color=colour, linewidth=1)
    axes.plot([], [], "--", color="black", linewidth=1, label="roof: plain loops, same bytes")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xlabel("parameters")
    axes.set_ylabel("GB/s")
    axes.set_title("Bandwidth, fp32, warm caches")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8, frameon=False)


def draw_ratios(axes, found):
    quoted = results.QUOTED[found.context["backend"]]
    rows = [r for r in found.rows if "ratio_to_roof" in r.counters and r.part != "memcpy"
            and (r.elements == results.BASE or (r.elements == quoted and r.is_base))]
    rows = [r for r in rows if r.part == "step" or "states" not in r.changed]
    rows.sort(key=lambda r: (len(r.changed), r.elements != quoted, r.label), reverse=True)

    def label(row):
        return row.label if row.elements == results.BASE else f"{row.label}, {results.power(row.elements)}"
    axes.barh([label(r) for r in rows], [r["ratio_to_roof"] for r in rows], color=[COLOURS[r.part] for r in rows],
              height=0.7)
    goal = GOAL[found.context["backend"]]
    axes.axvline(goal, color="black", linewidth=1, linestyle=":")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.tick_params(axis="y", labelsize=7)
    for place, row in enumerate(rows):
        axes.text(0.02, place, f"{row['ratio_to_roof']:.2f}", va="center", fontsize=7, color="white")
    axes.set_ylim(-0.7, max(len(rows), 8) - 0.3)
    axes.set_title(f"Ratio to the roof, {results.power(results.BASE)} parameters (goal {goal:.2f})")


def draw_peers(axes, run):
    rows = sorted(run["peers"], key=lambda r: r["ratio"])
    for place, row in enumerate(rows):
        ours, theirs = row["libswd"]["median_s"] * 1e3, row["peer"]["median_s"] * 1e3
        axes.barh(place + 0.2, theirs, height=0.38, color="#bbbbbb", label="peer" if place == 0 else None)
        axes.barh(place - 0.2, ours, height=0.38, color=COLOURS["step"],
                  label="libswd, same work" if place == 0 else None)
        axes.text(theirs, place + 0.2, f" {row['ratio']:.2f}x", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [r["name"].replace("_", " ") for r in rows], fontsize=8)
    axes.margins(x=0.12)
    axes.set_xlabel("ms per step")
    context = run["context"]
    axes.set_title(f"Peers, {context['elements']:,} parameters in {context['tensors']} tensor(s)")
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def main():
    picture, step_json, *peer_jsons = sys.argv[1:]
    found = results.read(step_json, peer_jsons)
    runs = [run for run in found.peers if run["peers"]][:1]
    figure, axes = plt.subplots(1, 2 + len(runs), figsize=(6.5 * (2 + len(runs)), 8), layout="constrained")
    draw_bandwidth(axes[0], found)
    draw_ratios(axes[1], found)
    for place, run in enumerate(runs):
        draw_peers(axes[2 + place], run)
    figure.suptitle(f"libswd on {found.context['machine']}, {found.context['date'][:10]}", fontsize=15)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
