#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts rows of scripts/platforms.sh into the table of docs/platforms.md, each in the place of the one with its name.
Usage: page.py ROW_FILE..."""
import pathlib
import sys

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "platforms.md"


def name(line):
    return line.split("|")[1].strip()


def main():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for file in sys.argv[1:]:
        row = pathlib.Path(file).read_text(encoding="utf-8").strip()
        table = [i for i, line in enumerate(lines) if line.startswith("|")]
        same = [i for i in table if name(lines[i]) == name(row)]
        if same:
            lines[same[0]] = row
        else:
            lines.insert(table[-1] + 1, row)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


main()
