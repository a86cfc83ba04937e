# SPDX-License-Identifier: Apache-2.0
"""The run over generated mutants: goes on where a record ends, and sums up by area. Used by run.py."""
import json

import areas
import generate
import mutants as listing
from judge import KILLED, SAME, SURVIVES, UNBUILT, Judge

EQUIVALENT = "equivalent"
VERDICTS = (KILLED, SURVIVES, EQUIVALENT, SAME, UNBUILT)


def key_of(mutant):
    return mutant.file, mutant.old, mutant.new


def equivalents():
    """What the files become by the changes that are known to show in no result."""
    return {(m.file, m.apply((listing.ROOT / m.file).read_text(encoding="utf-8"))) for m in listing.load_equivalent()}


def read(path):
    """The latest verdict on each mutant."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["file"], row["old"], row["new"]): row for row in rows}


def available(args):
    return [area for area in areas.AREAS if {"cuda": args.cudasim, "python": args.python}.get(area, True)]


def run(args):
    """Judges the first args.generate mutants; without that number, those that the record knows. Returns the survivors."""
    known, harmless, judge, verdicts = read(args.record), equivalents(), Judge(args), {}
    todo = generate.generated(args.generate or None, args.seed, available(args) if args.generate else areas.AREAS)
    if not args.generate:
        todo = [mutant for mutant in todo if key_of(mutant) in known]
    if args.only:
        todo = [mutant for mutant in todo if args.only in mutant.file or args.only in mutant.why]
    for number, mutant in enumerate(todo, 1):
        row = known.get(key_of(mutant))
        if (mutant.file, mutant.apply((listing.ROOT / mutant.file).read_text(encoding="utf-8"))) in harmless:
            verdicts[mutant] = EQUIVALENT
        elif row and not (args.again and row["verdict"] == SURVIVES):
            verdicts[mutant] = row["verdict"]
        else:
            verdict, killer, seconds = judge.verdict(mutant)
            verdicts[mutant] = verdict
            if args.record:
                with args.record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dict(file=mutant.file, why=mutant.why, verdict=verdict, killer=killer, seconds=seconds,
                                               old=mutant.old, new=mutant.new)) + "\n")
            by = f" by {killer}" if killer else ""
            print(f"{number}/{len(todo)} {mutant.file} {mutant.why}: {verdict}{by}, {seconds} s", flush=True)
    return summary(verdicts)


def summary(verdicts):
    survivors = [mutant for mutant, verdict in verdicts.items() if verdict == SURVIVES]
    for mutant in survivors:
        print(f"\nsurvivor: {mutant.why}\n[[mutant]]\nfile = '{mutant.file}'\nold = '''\n{mutant.old}'''\nnew = '''\n{mutant.new}'''")
    print("\n" + " | ".join(("area", *VERDICTS, "killed of those that could be")))
    for area, mutants in [*generate.by_area(verdicts).items(), ("all", list(verdicts))]:
        counts = [sum(verdicts[mutant] == verdict for mutant in mutants) for verdict in VERDICTS]
        told = counts[0] + counts[1]
        print(" | ".join((area, *map(str, counts), f"{100 * counts[0] / told:.0f} %" if told else "-")))
    return survivors
