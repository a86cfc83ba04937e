# SPDX-License-Identifier: Apache-2.0
"""Mutants made from the sources: the same ones for a seed, in an order of which every beginning is spread evenly over areas and
kinds of change, but that one of eight is of CUDA, where building takes long. A mutant keeps its place where other lines change."""
import hashlib
import itertools

import mutate_cpp
import mutate_python
from areas import AREAS, area_of, first_tests, sources
from mutants import ROOT, Mutant


def as_mutant(name, text, kind, start, end, new):
    """The change as text that occurs once: whole lines, and as many before as it takes."""
    first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    last = len(text) if last < 0 else last
    while text.count(text[first:last]) != 1 and first > 0:
        first = text.rfind("\n", 0, first - 1) + 1
    line = text.count("\n", 0, start) + 1
    was = " ".join(text[start:end].split())
    why = f"line {line}, {kind}: {was!r} -> {' '.join(new.split())!r}"
    return Mutant(name, text[first:last], text[first:start] + new + text[end:last], why, first_tests(name))


def changes_of(area, name):
    text = (ROOT / name).read_text(encoding="utf-8")
    found = mutate_python.changes(text) if area == "python" else mutate_cpp.changes(text, device=area == "cuda")
    return [(kind, as_mutant(name, text, kind, *change)) for kind, *change in found]


def place(seed, mutant):
    return hashlib.sha256(f"{seed}\0{mutant.file}\0{mutant.old}\0{mutant.new}".encode()).digest()


def in_turns(lists):
    for row in itertools.zip_longest(*lists):
        yield from (item for item in row if item is not None)


def of_area(area, seed):
    """The area's mutants, one of each kind of change in turn."""
    kinds = {}
    for name in (name for found, name in sources() if found == area):
        for kind, mutant in changes_of(area, name):
            kinds.setdefault(kind, []).append(mutant)
    names = sorted(kinds)
    turn = AREAS.index(area) % len(names)  # no two areas begin with the same kind
    return in_turns(sorted(kinds[kind], key=lambda mutant: place(seed, mutant)) for kind in names[turn:] + names[:turn])


def generated(count, seed, areas=AREAS):
    """The first `count`, or all, of the areas that can be run here."""
    queues = {area: of_area(area, seed) for area in AREAS}
    usual = itertools.cycle(area for area in AREAS if area != "cuda")
    order = ("cuda" if i % 8 == 7 else next(usual) for i in itertools.count())
    out, empty = [], set()
    for area in order:
        mutant = next(queues[area], None)
        if mutant is None:
            empty.add(area)
        elif area in areas:
            out.append(mutant)
        if len(out) == count or len(empty) == len(AREAS):
            return out


def by_area(mutants):
    return {area: [mutant for mutant in mutants if area_of(mutant.file) == area] for area in AREAS}
