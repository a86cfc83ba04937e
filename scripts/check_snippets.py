#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every code block of a document stands, line by line, in the file that the document names for it.

Usage: check_snippets.py ROOT DOCUMENT ...      or: check_snippets.py --self-test
The paragraph before a block says `From [name](path)` or `From `path``, the last one counts; the path is relative to the
document or to ROOT. The block may be indented less than the source, by the same number of spaces in every line.
"""
import pathlib
import re
import sys
import tempfile

NAMED = re.compile(r"\b[Ff]rom\s(?:\[[^]]*\]\(([^)]+)\)|`([^`]+)`)")


def blocks(text):
    """(line number, path or None, lines) of each fenced block."""
    out, paragraph, ended, inside = [], "", False, None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is not None:
            if line.startswith("```"):
                out.append(inside)
                inside, paragraph = None, ""
            else:
                inside[2].append(line)
        elif line.startswith("```"):
            names = NAMED.findall(paragraph)
            inside = (number, names[-1][0] or names[-1][1] if names else None, [])
        elif line.strip():
            paragraph = line if ended else f"{paragraph} {line}"
            ended = False
        else:
            ended = True
    if inside is not None:
        out.append((inside[0], None, inside[2]))  # never closed: reported as a block without a source
    return out


def contains(source, block):
    """Is `block` a run of consecutive lines of `source`, but for a common indentation?"""
    first = next((line for line in block if line.strip()), None)
    if first is None:
        return False
    for start in range(len(source) - len(block) + 1):
        here = source[start : start + len(block)]
        indent = here[block.index(first)].removesuffix(first)
        if indent.strip() == "" and all((indent + line).rstrip() == there.rstrip() for line, there in zip(block, here)):
            return True
    return False


def check(root, document):
    problems = []
    found = blocks(document.read_text())
    for number, path, lines in found:
        where = f"{document.relative_to(root)}:{number}"
        candidates = [document.parent / path, root / path] if path else []
        source = next((c for c in candidates if c.is_file()), None)
        if path is None:
            problems.append(f"{where}: no 'From ...' line names the source of this block")
        elif source is None:
            problems.append(f"{where}: {path} is not there")
        elif not contains(source.read_text().splitlines(), lines):
            problems.append(f"{where}: this block does not stand in {path}")
    if not found:
        problems.append(f"{document}: no code block")
    return problems


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "a.c").write_text("int main(void) {\n  step();\n\n  stats();\n}\n")
        document = root / "d.md"
        for text, good in (("From `a.c`:\n\n```c\nstep();\n\nstats();\n```\n", True),
                           ("From [a.c](a.c), the step:\n```\nint main(void) {\n  step();\n```\n", True),
                           ("From `a.c`:\n```\nstep();\nstats();\n```\n", False),
                           ("From `a.c`:\n```\nstep()\n```\n", False),
                           ("From `b.c`:\n```\nstep();\n```\n", False),
                           ("Some words.\nFrom\n[a.c](a.c), words:\n\n```\nstep();\n```\n", True),
                           ("From `b.c`, or from `a.c`:\n```\nstep();\n```\n", True),
                           ("From `a.c`:\n\nwords\n\n```\nstep();\n```\n", False),
                           ("From `a.c`:\n```\nstep();\n```\n\n```\nstep();\n```\n", False),
                           ("From `a.c`:\n```\nstep();\n", False),
                           ("From `a.c`:\n```\n```\n", False),
                           ("no blocks\n", False)):
            document.write_text(text)
            if (check(root, document) == []) != good:
                print(f"self-test: wrong verdict on {text!r}", file=sys.stderr)
                return 1
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = pathlib.Path(sys.argv[1]).resolve()
    problems = [p for name in sys.argv[2:] for p in check(root, root / name)]
    print("\n".join(problems))
    return 1 if problems or len(sys.argv) < 3 else 0


if __name__ == "__main__":
    sys.exit(main())
