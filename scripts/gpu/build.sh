#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the programs that gpu.sh runs on a device into build/gpu, a few MiB to be carried there: machine code for sm_90
# and PTX for later devices. Called by gpu.sh --build, where nvcc is.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=build/gpu-tree
bench=OFF targets=()
if [ -d bench ]; then
  scripts/install_deps.sh bench
  bench=ON targets=(bench_step)
else
  scripts/install_deps.sh
fi
for file in tests/*/*_test.cpp; do
  name=$(basename "$file" .cpp)
  case "$name" in cpu_* | host_* | simulator_*) ;; *) targets+=("$name") ;; esac
done
# The sharded example over NCCL, whose library the machine there has: it is too large to be carried.
. scripts/nccl.sh
targets+=(swd_sharded_nccl)

# The runtime and what else the machine there may lack go along once, beside the programs; its C library and C++ library
# must not be older than these here. Not for the instruction set of this machine.
cmake -S . -B $tree -DSWD_CUDA=ON -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES="90-real;90-virtual" -DSWD_LINE_INFO=ON \
  -DSWD_BUILD_EXAMPLES=ON -DSWD_BUILD_BENCH=$bench -DSWD_BENCH_HAS_NATIVE=OFF -DCMAKE_BUILD_RPATH="\$ORIGIN" \
  -DSWD_TEST_DATA_DIR=tests/golden -DSWD_TEST_LIBRARY=build/gpu/libswd.so
cmake --build $tree -j "${SWD_TEST_JOBS:-$(nproc)}" --target "${targets[@]}" cuda_large

mkdir -p build/gpu
rm -rf build/gpu/variants  # of other sources; what a device has shown stays
find build/gpu -maxdepth 1 \( -type f -o -type l \) ! -name '*.tar.gz' -delete
for name in "${targets[@]}" cuda_large; do
  find $tree -type f -name "$name" -perm -u+x -exec cp {} build/gpu/ \;
done
soname=$(readelf -d $tree/libswd.so | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
cp "$(readlink -f $tree/libswd.so)" "build/gpu/$soname"
strip build/gpu/*
ln -s "$soname" build/gpu/libswd.so
for file in build/gpu/*; do
  { ldd "$file" 2> /dev/null || true; } | sed -n 's/.*=> \(.*lib\(benchmark\|gtest\|cudart\)[^ ]*\) .*/\1/p'
done | sort -u | xargs -r cp -t build/gpu
mnist=/usr/share/datasets/fashion-mnist  # Debian's dataset-fashion-mnist: 30 MB, for the parts paper:*
rm -rf build/gpu/fashion-mnist
if [ -d $mnist ]; then cp -rL $mnist build/gpu/fashion-mnist; fi
git describe --always --dirty > build/gpu/commit
du -sh build/gpu
