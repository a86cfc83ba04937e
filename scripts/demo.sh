#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains a character-level language model through libswd with three kinds of weight decay, prints a table and draws the
# curves. Usage: demo.sh [TEXT FILE ...]; by default the text of this repository.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")/.."
build=build/demo
files=()
for file in "$@"; do
  [[ $file = /* ]] || file=$caller/$file
  [ -r "$file" ] || { echo "demo.sh: cannot read $file" >&2; exit 1; }
  files+=("$file")
done
if [ ${#files[@]} -eq 0 ]; then
  mapfile -t files < <(find . -path ./build -prune -o -path ./tests/golden -prune -o -type f \
    \( -name '*.md' -o -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inl' -o -name '*.c' \) -print | sort)
fi

scripts/install_deps.sh demo
cuda=OFF  # without a device the CUDA backend would only cost time to build
if [ -e /dev/nvidiactl ] && command -v nvcc > /dev/null; then cuda=ON; fi
echo "building in $build (CUDA $cuda)"
cmake -S . -B "$build" -DSWD_CUDA=$cuda -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES="75-virtual;90-virtual" -DSWD_BUILD_TESTS=OFF \
  -DSWD_BUILD_EXAMPLES=ON > /dev/null
cmake --build "$build" -j "$(nproc)" > /dev/null
/usr/bin/python3 examples/charlm/run.py "$build/examples/charlm" "$build" "${files[@]}"
