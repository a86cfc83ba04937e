#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compares the ABI of this tree with that of the last release by abidiff: additions pass, a removal or a change fails.
# Usage: abi_check.sh [TAG, default: the last one that begins with v]. Says so where there is none yet. Both libraries
# are built without CUDA and without optimisation: the ABI is the same, and it is quick.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-$(git describe --tags --abbrev=0 --match 'v*' HEAD 2> /dev/null || true)}
if [ -z "$tag" ]; then
  echo "abi_check: no tag yet, nothing to compare with"
  exit 0
fi
scripts/install_deps.sh abi
build=$PWD/build/abi
rm -rf "$build/old.src" && mkdir -p "$build/old.src"
git archive "$tag" | tar -x -C "$build/old.src"

# $1: source, $2: build folder
build_library() {
  cmake -S "$1" -B "$2" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O0 -g" -DSWD_CUDA=OFF -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_EXAMPLES=OFF \
    -DSWD_BUILD_BENCH=OFF > /dev/null
  cmake --build "$2" -j "$(nproc)" --target swd > "$2.log" 2>&1 || { tail -n 30 "$2.log"; exit 1; }
}
build_library "$build/old.src" "$build/old"
build_library . "$build/new"

# Bits of its exit status: 1 an error, 2 wrong usage, 4 the ABI changed, 8 in a way that breaks programs.
status=0
abidiff --headers-dir1 "$build/old.src/include" --headers-dir2 include --no-added-syms "$build/old/libswd.so" "$build/new/libswd.so" \
  > "$build/report.txt" 2>&1 || status=$?
if [ $status -ne 0 ]; then
  cat "$build/report.txt"
  echo "abi_check: FAILED against $tag (abidiff said $status)" >&2
  exit 1
fi
echo "abi_check: nothing removed or changed since $tag"
