#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lines and branches of src/host and src/kernels/cpu that the CPU suite executes, by gcov and gcovr: prints both and
# fails below 95 % of lines or 90 % of branches. Report per file: build/coverage/report.txt.
#
# Not counted: branches that exist only because something might throw, which gcc adds to every call (the one catch of
# the library is tested, tests/hostile/host_faults_test.cpp). The loops are built once per instruction set from one text; a
# line of it counts as executed if any of the builds ran it, and all of them run here.
set -euo pipefail
cd "$(dirname "$0")/.."
least_lines=95
least_branches=90
jobs=${SWD_TEST_JOBS:-$(nproc)}
build=$PWD/build/coverage
scripts/install_deps.sh coverage
# Sizes and repetitions execute no other lines.
export SWD_TEST_SCALE=1024 SWD_ACCURACY_POINTS=20000 SWD_SOAK_STEPS=300

# Only the library is measured, so only it is built with counters; atomic ones, because its threads share them.
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1 -DSWD_COVERAGE=ON -DSWD_CUDA=OFF \
  -DSWD_BUILD_EXAMPLES=OFF -DSWD_BUILD_BENCH=OFF > /dev/null
cmake --build "$build" -j "$jobs" > "$build/build.log" 2>&1 || { tail -n 40 "$build/build.log"; exit 1; }
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -L cpu --no-tests=error -j "$jobs" -E '^(consume|fast_math_parent|isa_symbols.*|vectors)$' > "$build/test.log" 2>&1 || {
  grep -A 30 'The following tests FAILED' "$build/test.log"
  exit 1
}
# Children that leave by _exit write no counts, so what they pick runs here once more.
for isa in base v3; do
  SWD_CPU_ISA=$isa ctest --test-dir "$build" --no-tests=error -R '^(law|skip)_test' > "$build/test_$isa.log" 2>&1 || { tail -n 30 "$build/test_$isa.log"; exit 1; }
done
gcovr --root . --object-directory "$build" --filter src/host/ --filter src/kernels/cpu/ --exclude-throw-branches \
  --exclude-unreachable-branches --print-summary --txt "$build/report.txt" --json-summary "$build/summary.json" \
  "$build/CMakeFiles/swd.dir" > "$build/summary.txt"
/usr/bin/python3 - "$build/summary.json" $least_lines $least_branches <<'PYTHON'
import json, sys
total = json.load(open(sys.argv[1]))
lines, branches = total["line_percent"], total["branch_percent"]
for file in sorted(total["files"], key=lambda f: f["line_percent"])[:3]:
    print(f'{file["filename"]}: {file["line_percent"]} % of lines, {file["branch_percent"]} % of branches')
verdict = lines >= float(sys.argv[2]) and branches >= float(sys.argv[3])
print(f'coverage: {lines} % of {total["line_total"]} lines, {branches} % of {total["branch_total"]} branches'
      f' (at least {sys.argv[2]} and {sys.argv[3]}){"" if verdict else ": TOO LOW"}')
sys.exit(0 if verdict else 1)
PYTHON
