# SPDX-License-Identifier: Apache-2.0
"""Reads what bench_step and peers/run.py wrote. Used by report.py and roofline.py."""
import json
import pathlib
from dataclasses import dataclass, field

BASE = 1 << 26  # elements of the case around which the axes vary
# Elements of the figure to quote. A device's second pass finds some of what the first has read in its L2 cache: up to
# 2 % of the bytes at 2^26, nothing to speak of at 2^30.
QUOTED = {"cpu": BASE, "cuda": 1 << 30}


def power(elements):
    """2^n of a power of two."""
    return f"2^{elements.bit_length() - 1}"



@dataclass
class Row:
    part: str
    backend: str
    elements: int
    axes: dict
    counters: dict
    error: str = ""

    @property
    def is_base(self):
        """fp32 in all arrays, scheduled decay, clipped, one segment, eager, warm, all threads."""
        return not self.changed

    @property
    def changed(self):
        base = dict(grad="f32", copy="none", states="fp32", decay="scheduled", clip="1", segments="1", launch="eager",
                    cache="warm", threads="0")
        return {k: v for k, v in self.axes.items() if base.get(k) != v}

    @property
    def label(self):
        return self.part + "".join(f", {k} {v}" for k, v in self.changed.items())

    def __getitem__(self, counter):
        return self.counters[counter]


@dataclass
class Results:
    context: dict
    rows: list = field(default_factory=list)
    peers: list = field(default_factory=list)  # the JSON of each peers run

    def find(self, part, elements=BASE, **changed):
        for row in self.rows:
            if row.part == part and row.elements == elements and row.changed == changed and not row.error:
                return row
        return None

    def peer(self, name):
        for run in self.peers:
            for row in run["peers"]:
                if row["name"] == name and run["context"]["elements"] == BASE:
                    return row
        return None


def read(step_json, peer_jsons=()):
    document = json.loads(pathlib.Path(step_json).read_text())
    results = Results(document["context"])
    for b in document["benchmarks"]:
        part, backend, elements, *axes = b["name"].split("/")
        axes = dict(axis.split(":") for axis in axes if ":" in axis and not axis.startswith("iterations"))
        numbers = {k: v for k, v in b.items() if isinstance(v, (int, float))}
        results.rows.append(Row(part, backend, int(elements), axes, numbers, b.get("error_message", "")))
    results.peers = [json.loads(pathlib.Path(path).read_text()) for path in peer_jsons]
    return results
