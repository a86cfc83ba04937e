#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The corpus of a fuzz target is one file in the repository, an input a line in hexadecimal, sorted; libFuzzer wants a
folder. corpus.py unpack FILE FOLDER | corpus.py pack FOLDER FILE."""
import hashlib
import pathlib
import sys


def unpack(file: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = file.read_text().splitlines() if file.exists() else []
    for line in lines:
        data = bytes.fromhex(line)
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(folder: pathlib.Path, file: pathlib.Path) -> None:
    inputs = sorted({path.read_bytes() for path in folder.iterdir()}, key=lambda data: (len(data), data))
    file.write_text("".join(data.hex() + "\n" for data in inputs))


if __name__ == "__main__":
    {"unpack": unpack, "pack": pack}[sys.argv[1]](pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
