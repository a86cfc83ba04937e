# SPDX-License-Identifier: Apache-2.0
"""One line per case of a bench_step JSON, for a table of variants. Called by variants.sh.

    variant_rows.py VARIANT STEP.json"""
import json
import pathlib
import sys

variant, path = sys.argv[1:]
try:
    rows = json.loads(pathlib.Path(path).read_text())["benchmarks"]
except ValueError:
    rows = []
failed = not rows
for row in rows:
    case = row["name"].split("/grad")[0]
    if "median_us" in row:
        print(f"{variant:<14} {case:<24} {row['median_us']:10.1f} us {row['GB_per_s']:8.1f} GB/s  of roof "
              f"{row['ratio_to_roof']:.3f}")
    else:
        failed = True
        print(f"{variant:<14} {case:<24} {row.get('error_message')}")
if not rows:
    print(f"{variant:<14} did not run")
sys.exit(failed)
