#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What SWD is for, on real images: trains a small network on Fashion-MNIST through libswd with AdamW, SWD and L2 at several
# strengths and seeds, AdamW also at the same total decay as each SWD; prints the tables and draws the picture. A
# few minutes on two cores. Usage: demo.sh [--data DIR] [--quick] [--weights-only] [--no-norm] [--backend cpu] ...; --help lists
# the rest. DIR: four idx files, gzipped or not (MNIST and its successors). Without it Debian's package of Fashion-MNIST
# is taken, installed where this user may, else glyphs that the program makes.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/demo
packaged=/usr/share/datasets/fashion-mnist

"$root/scripts/install_deps.sh" demo
data=(--data "$packaged")
for argument in "$@"; do
  case $argument in --data | --data=* | -h | --help) data=() ;; esac
done
if [ ${#data[@]} -gt 0 ] && ! "$root/scripts/install_deps.sh" fashion-mnist; then
  echo "Fashion-MNIST is not there: generated glyphs instead"
  data=()
fi
cuda=OFF  # without a device the CUDA backend would only cost time to build
if [ -e /dev/nvidiactl ]; then
  pushd "$root" > /dev/null
  if . scripts/nvcc.sh; then cuda=ON; fi
  popd > /dev/null
fi
mkdir -p "$build"
echo "building in $build (CUDA $cuda)"
. "$root/scripts/architectures.sh"
cmake -S "$root" -B "$build" -DSWD_CUDA=$cuda -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES="$swd_architectures" \
  -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=ON > "$build.log"
cmake --build "$build" -j "$(nproc)" --target images > "$build.log"

# The Python package without an installation, for swd.plot: a copy, so that the tree stays as it is.
site=$build/site
rm -rf "$site"
mkdir -p "$site"
cp -r "$root/bindings/python/swd" "$site/"
mkdir -p "$site/swd/lib"
cp -L "$build"/libswd.so.* "$site/swd/lib/"
PYTHONPATH=$site exec /usr/bin/python3 "$root/examples/images/run.py" "$build/examples/images" "$build" "${data[@]}" "$@"
