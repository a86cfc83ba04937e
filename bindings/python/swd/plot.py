# SPDX-License-Identifier: Apache-2.0
"""Telemetry as one picture: gradient norm, effective decay, largest decay and skipped steps over time.

    log.append({"step": step, **optimizer.log()})             # or Plan.stats(workspace), or lines of a JSONL file
    swd.plot.draw(log, "telemetry.png")
    swd.plot.draw({"AdamW": "adamw.jsonl", "SWD": "swd.jsonl"}, "both.png")

Needs matplotlib: ``pip install libswd[plot]``. Nothing else of the package imports it.
"""
from __future__ import annotations

import json
import math
import os
from typing import Any, Iterable, Mapping, Sequence, Union

Records = Union[str, "os.PathLike[str]", Iterable[Any]]

_LARGE_DECAY = 0.01  # SWD_STATS_LARGE_DECAY of swd.h
_PANELS = (("grad_norm", "gradient norm, before clipping"), ("lambda_eff", "effective decay, in AdamW's unit"),
           ("largest_decay", "largest share of a parameter that a step takes"), ("skipped", "skipped steps, so far"))


def read(path: Union[str, "os.PathLike[str]"]) -> "list[dict[str, Any]]":
    """The records of a JSONL file: an object per line, empty lines left out. ValueError names a line that is none."""
    records = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{os.fspath(path)}, line {number}: {error}") from None
            if not isinstance(record, dict):
                raise ValueError(f"{os.fspath(path)}, line {number}: not an object")
            records.append(record)
    return records


def draw(records: Union[Records, Mapping[str, Records]], path: "Union[str, os.PathLike[str], None]" = None, *,
         title: "str | None" = None) -> Any:
    """Draws records, or several runs by name, and returns the matplotlib Figure; with `path` it is written there.

    A record is what ``AdamS.log()`` or ``AdamS.stats()`` gives, a Stats, or any mapping with some of their members. Its
    place is its "step", else the steps applied and skipped so far, else its number. Panels without a value say so; a
    value that is not finite leaves a gap."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("swd.plot needs matplotlib: pip install libswd[plot]") from error
    runs = records if isinstance(records, Mapping) else {"": records}
    series = {str(name): _series(str(name), run) for name, run in runs.items()}
    if not series:
        raise ValueError("records: no run to draw")
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    for axes, (key, heading) in zip(panels, _PANELS):
        _panel(axes, key, heading, series)
    named: "dict[str, Any]" = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            named.setdefault(label, handle)
    if named:  # once, where there is room: skipped steps are few
        panels[3].legend(named.values(), named.keys(), fontsize=9, loc="upper left")
    if title:
        figure.suptitle(title)
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure


def _series(name: str, records: Records) -> "dict[str, tuple[list[float], list[float]]]":
    """Lines by name: x and y. Those of several groups are lambda_eff/0, lambda_eff/1 and so on."""
    rows = read(records) if isinstance(records, (str, os.PathLike)) else [_row(one) for one in records]
    lines: "dict[str, tuple[list[float], list[float]]]" = {}
    skipped = 0.0
    for number, row in enumerate(rows):
        x = row.get("step")
        if x is None:
            x = row["steps_applied"] + row.get("steps_skipped", 0) if "steps_applied" in row else number
        skipped += float(row.get("skipped", 0))
        values = {key: row[key] for key in ("grad_norm", "largest_decay") if key in row}
        values.update(_lambdas(row))
        if "steps_skipped" in row or "skipped" in row:
            values["skipped"] = row.get("steps_skipped", skipped)
        for key, value in values.items():
            xs, ys = lines.setdefault(key, ([], []))
            xs.append(float(x))
            ys.append(float(value) if math.isfinite(value) else math.nan)
    if not lines:
        run = f"run {name!r}" if name else "records"
        raise ValueError(f"{run}: {'no record' if not rows else 'no record has a member of AdamS.log()'}")
    return lines


def _row(record: Any) -> "Mapping[str, Any]":
    if hasattr(record, "_asdict"):
        record = record._asdict()
    if not isinstance(record, Mapping):
        raise TypeError(f"records: a {type(record).__name__} is neither a mapping nor a Stats")
    return record


def _lambdas(row: "Mapping[str, Any]") -> "dict[str, Any]":
    found = {key: value for key, value in row.items() if key == "lambda_eff" or key.startswith("lambda_eff/")}
    many = found.get("lambda_eff")
    if isinstance(many, Sequence):
        found = {"lambda_eff" if len(many) == 1 else f"lambda_eff/{i}": value for i, value in enumerate(many)}
    return found


def _panel(axes: Any, key: str, heading: str, series: "Mapping[str, Mapping[str, tuple[list[float], list[float]]]]") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.set_title(heading)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    largest = 0.0
    drawn = False
    for name, lines in series.items():
        for line, (x, y) in lines.items():
            if line.split("/")[0] != key:
                continue
            group = f"group {line.split('/')[1]}" if "/" in line else ""
            axes.plot(x, y, linewidth=1.3, marker="." if len(x) == 1 else None,
                      label=", ".join(part for part in (name, group) if part) or None)
            drawn = True
            largest = max([largest, *(value for value in y if value == value)])
    if not drawn:
        axes.text(0.5, 0.5, "not in the records", ha="center", va="center", transform=axes.transAxes, color="grey")
        return
    if key == "skipped":
        axes.set_ylim(-0.05 * max(largest, 1), 2.1 * max(largest, 1))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    elif largest > 0:
        axes.set_yscale("log")  # zeros are left out
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if key == "largest_decay" and largest > _LARGE_DECAY / 10:
        axes.axhline(_LARGE_DECAY, color="grey", linestyle=":", linewidth=1)
        axes.text(0.01, _LARGE_DECAY, "large: see docs/weight_decay.md", transform=axes.get_yaxis_transform(), va="bottom",
                  fontsize=8, color="grey")
