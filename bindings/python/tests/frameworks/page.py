# SPDX-License-Identifier: Apache-2.0
"""The blocks of docs/frameworks.md: their text is what the cases run. Asked by matrix.py for those that none ran.

A line `<!-- block: NAME -->` stands before each. A block NAME or NAME-... belongs to the part NAME. Where SWD_BLOCKS_RUN
names a folder, each block that ran leaves a file there.
"""
import os
import pathlib
import re
from types import SimpleNamespace

PAGE = pathlib.Path(__file__).resolve().parents[4] / "docs" / "frameworks.md"
_BLOCK = re.compile(r"<!-- block: ([a-z0-9-]+) -->\n```(\w+)\n(.*?)^```$", re.S | re.M)


def text(name):
    """(text, line of the page) of a block. Asking for it counts as running it."""
    whole = PAGE.read_text(encoding="utf-8")
    found = [match for match in _BLOCK.finditer(whole) if match[1] == name]
    assert len(found) == 1, f"{PAGE} has {len(found)} blocks called {name}"
    if os.environ.get("SWD_BLOCKS_RUN"):
        (pathlib.Path(os.environ["SWD_BLOCKS_RUN"]) / name).touch()
    return found[0][3], whole.count("\n", 0, found[0].start(3))


def run(name, **names):
    """Runs a block of Python with these names; returns all names that there are afterwards."""
    source, line = text(name)
    exec(compile("\n" * line + source, str(PAGE), "exec"), names)
    return SimpleNamespace(**names)


def problems(folder, left_out):
    """What is wrong with the page, by the files that blocks left in the folder; parts that were left out may lack theirs."""
    whole = PAGE.read_text(encoding="utf-8")
    names = [match[1] for match in _BLOCK.finditer(whole)]
    not_run = [name for name in names if not (pathlib.Path(folder) / name).exists()
               and name.split("-")[0] not in left_out]
    unnamed = len(re.findall("^```", whole, re.M)) // 2 - len(names)
    return [f"no case ran block {name}" for name in not_run] + [f"{unnamed} blocks have no name"] * (unnamed != 0)
