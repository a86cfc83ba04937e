#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the tests do not see: format, file sizes, stray markers, clang-tidy, and a manual without gaps. Needs a build with
# compile_commands.json. Usage: lint.sh [BUILD_DIR], by default build/test.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/test}
scripts/install_deps.sh lint
failed=0
complain() {
  echo "lint: $1" >&2
  failed=1
}

mapfile -t sources < <(git ls-files '*.h' '*.hpp' '*.c' '*.cpp' '*.inl' '*.cu' '*.cuh')
clang-format --dry-run -Werror "${sources[@]}" 2> build/format.log || complain "clang-format -i would change: $(grep -oE '^[^ :]+:[0-9]+' build/format.log | cut -d: -f1 | sort -u | head -n 5 | tr '\n' ' ')"

# The header is the manual; every other source file holds one idea. The simulator is a tool: files of one subject.
while read -r lines file; do
  most=220
  [[ $file != tools/cudasim/* ]] || most=600
  [ "$file" = total ] || [ "$file" = include/swd/swd.h ] || [ "$lines" -le $most ] || complain "$file has $lines lines, over $most"
done < <(git ls-files '*.h' '*.hpp' '*.c' '*.cpp' '*.inl' '*.cu' '*.cuh' '*.py' '*.rs' '*.sh' '*.cmake' '*CMakeLists.txt' | xargs wc -l)

! git grep -nIE '\b(TO''DO|FIX''ME|XX''X)\b' -- . ':!*.txt' ':!scripts/lint.sh' || complain "markers of unfinished work"
! git grep -nIE '^(<<<<<<<|>>>>>>>) ' || complain "markers of a merge"
mapfile -t unlicensed < <(git ls-files '*.h' '*.hpp' '*.c' '*.cpp' '*.inl' '*.cu' '*.cuh' '*.py' '*.rs' '*.sh' '*.cmake' | xargs grep -L 'SPDX-License-Identifier: Apache-2.0' || true)
[ ${#unlicensed[@]} -eq 0 ] || complain "no SPDX line: ${unlicensed[*]}"

git ls-files '*.sh' .ci/run | xargs shellcheck -S warning || complain "shellcheck"
doxygen docs/Doxyfile || complain "doxygen: a name without a comment, or a comment that does not fit"

mapfile -t units < <(git ls-files 'src/host/*.cpp' 'src/kernels/cpu/*.cpp')
printf '%s\n' "${units[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy -p "$build" --quiet --extra-arg=-Wno-overriding-t-option > build/tidy.log 2>&1 || { grep -E 'error|warning:' build/tidy.log | head -n 20; complain "clang-tidy"; }

[ $failed = 0 ] && echo "lint passed: ${#sources[@]} source files, ${#units[@]} through clang-tidy"
exit $failed
