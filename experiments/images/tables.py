# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of docs/evidence.md from the results of grow.py, each between its two marks: a sentence there holds only
as long as its table carries it, so read them again after new seeds.

    tables.py [--results FOLDER] [--page PAGE]     without --page it prints them
"""
import argparse
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "examples" / "images"))
import results  # noqa: E402


def methods_table(found):
    yield "| method | mean lambda_eff | total decay | " + " | ".join(name for name, _, _ in results.MEASURES.values()) + " |"
    yield "|---" * (3 + len(results.MEASURES)) + "|"
    for method, runs in found.items():
        note = f", matched to SWD {method[1]:g}" if method[0] == "matched" else ""
        cells = [results.name(method, runs) + note, *results.decay_cells(method, runs),
                 *(results.cells(runs, key) for key in results.MEASURES)]
        yield "| " + " | ".join(cells) + " |"


def pairs(found):
    """What is compared: name, ours, theirs."""
    for strength, swd, matched in results.matched_pairs(found):
        yield f"SWD {strength:g} - AdamW {results.spread(matched, 'mean_lambda')[0]:.2f}, at equal total decay", swd, matched
    for kind, strength in found:
        if kind == "replay" and ("matched", strength) in found:
            yield f"replay of SWD {strength:g} - AdamW at equal total decay", found[kind, strength], found["matched", strength]
    best = [results.best(found, kinds) for kinds in (("swd",), ("adamw", "matched"))]
    if all(best) and len(found) > 3:
        names = [results.name(method, found[method]) for method in best]
        yield f"best by validation: {names[0]} - {names[1]}", found[best[0]], found[best[1]]


def pairs_table(found):
    yield "| difference, seed by seed | " + " | ".join(name for name, _, _ in results.MEASURES.values()) + " |"
    yield "|---" * (1 + len(results.MEASURES)) + "|"
    for name, ours, theirs in pairs(found):
        cells = [results.Difference(ours, theirs, key).text(factor, digits) for key, (_, factor, digits) in results.MEASURES.items()]
        yield f"| {name} | " + " | ".join(cell.replace(" seeds", "").replace(", lower in", ", lower") for cell in cells) + " |"


def about(result):
    seeds = sorted({run["seed"] for run in result["runs"]})
    parts = [result["data"], f"{result['train']:,} training images", "BatchNorm" if result["norm"] else "no normalisation",
             "only weights decayed" if result["weights_only"] else "all parameters decayed",
             f"{result['steps']:,} steps, {result['schedule']}"]
    if result["label_noise"]:
        parts.append(f"{100 * result['label_noise']:g} % of the labels drawn at random")
    return f"{', '.join(parts)}; {len(seeds)} seed{'s' if len(seeds) > 1 else ''}. Mean +- standard deviation; differences +- standard error."


def section(result):
    found = results.groups(result)
    return "\n".join([about(result), "", *methods_table(found), "", *pairs_table(found)])


def replaced(text, name, section_text):
    """The page with what stands between the marks of a setting exchanged."""
    pattern = re.compile(rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)", re.S)
    if not pattern.search(text):
        raise SystemExit(f"the page has no mark <!-- table {name} -->")
    return pattern.sub(lambda match: match[1] + section_text + "\n" + match[2], text)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    parser.add_argument("--page", type=pathlib.Path)
    o = parser.parse_args(arguments)
    text = o.page.read_text(encoding="utf-8") if o.page else ""
    for path in sorted(o.results.glob("*.json")):
        made = section(results.load(path))
        if o.page:
            text = replaced(text, path.stem, made)
        else:
            print(f"## {path.stem}\n\n{made}\n")
    if o.page:
        o.page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
