#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the tests can fail: applies one mutant after the other to a copy of the tree and runs the tests, which must
notice. Prints survivors and fails on one, on an edit that no longer applies, and on a mutant that does not build.

    tests/mutants/run.py                      the whole list of the CPU backend
    tests/mutants/run.py --cudasim FOLDER     also the CUDA backend, with the CUDA runtime found in FOLDER
    tests/mutants/run.py --python PYTHON      also swd.torch, with the wheel that scripts/test_python.sh left behind and that
                                              script's Python, build/python/venv/bin/python
    tests/mutants/run.py --sample 12          a part of it, always the same
    tests/mutants/run.py --generate 300 --seed 1 --record FILE
                                              instead of the list, mutants made from the sources (generate.py); goes on where
                                              FILE ends; without --generate, what FILE says of them
    tests/mutants/run.py --check              only whether every edit still applies"""
import argparse
import os
import pathlib
import sys
import time

import mutants as listing
import record
from python_scratch import PythonScratch
from scratch import DoesNotBuild, Scratch


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants, spread over the list")
    parser.add_argument("--only", metavar="TEXT", help="only mutants whose file or reason contains TEXT")
    parser.add_argument("--own-tests", action="store_true", help="only the tests that a mutant names: quicker, but a survivor may not be one")
    parser.add_argument("--cudasim", type=lambda folder: pathlib.Path(folder).resolve(), metavar="FOLDER",
                        help="a CUDA runtime for the mutants of the CUDA backend")
    parser.add_argument("--python", type=lambda file: pathlib.Path(file).absolute(), metavar="PYTHON",
                        help="a Python with torch and pytest for the mutants of the Python package")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel build jobs")
    parser.add_argument("--folder", type=lambda folder: pathlib.Path(folder).resolve(),
                        default=listing.ROOT / "build" / "mutants", help="where copy and builds go")
    parser.add_argument("--generate", type=int, metavar="N", help="N mutants made from the sources, instead of the list")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--record", type=pathlib.Path, metavar="FILE", help="where their verdicts are kept, as JSON lines")
    parser.add_argument("--again", action="store_true", help="judges those again that survive in the record")
    parser.add_argument("--check", action="store_true", help="only look whether every edit applies")
    return parser.parse_args()


def chosen(args):
    mutants = listing.load()
    wrong = listing.problems([*mutants, *listing.load_equivalent()])
    if wrong:
        sys.exit("\n".join(wrong) + f"\nmutants: the list is wrong in {len(wrong)} places")
    backends = {"cpu": True, "cuda": args.cudasim, "python": args.python}
    mutants = [m for m in mutants if backends[m.backend]]
    if args.only:
        mutants = [m for m in mutants if args.only in m.file or args.only in m.why]
    # One kind of build after the other.
    return sorted(listing.sample(mutants, args.sample) if args.sample else mutants, key=lambda m: m.kind)


def main():
    args = arguments()
    todo = chosen(args)
    if args.check:
        print(f"mutants: all {len(listing.load())} edits apply, and {len(listing.load_equivalent())} that change nothing")
        return
    if args.generate or args.record:
        sys.exit(1 if record.run(args) else 0)
    scratch = Scratch(args.folder, args.jobs, args.cudasim)
    python = PythonScratch(args.folder / "python", args.python) if args.python else None
    survivors, broken, start = [], [], time.monotonic()
    for number, mutant in enumerate(todo, 1):
        try:
            killer = (python if mutant.kind == "python" else scratch).killer(mutant, not args.own_tests)
        except DoesNotBuild as error:
            broken.append(mutant)
            verdict = f"DOES NOT BUILD\n{error}"
        else:
            verdict = f"killed by {killer}" if killer else "SURVIVES"
            if not killer:
                survivors.append(mutant)
        print(f"{number}/{len(todo)} {mutant.file}: {mutant.why}: {verdict}", flush=True)
    for mutant in survivors:
        print(f"survivor: {mutant.file}: {mutant.old!r} -> {mutant.new!r}")
    killed = len(todo) - len(survivors) - len(broken)
    print(f"mutants: {killed} of {len(todo)} killed, {len(survivors)} survive, {len(broken)} do not build, {time.monotonic() - start:.0f} s")
    sys.exit(1 if survivors or broken else 0)


main()
