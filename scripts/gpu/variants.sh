#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds variants of the library for sm_90 alone into build/gpu/variants, to be compared on a device in one call:
#   variants.sh [NAME...]         where nvcc is
#   variants.sh --measure         on the device: a table of every variant that was carried
set -euo pipefail
cd "$(dirname "$0")/../.."

# A variant is one or more edits of the sources.
edit() {
  local cuda=$2/src/kernels/cuda
  case "$1" in
    as_is) ;;
    no_overlap) sed -i 's/launch_update(plan, args, true, stream)/launch_update(plan, args, false, stream)/' "$cuda/backend_cuda.cu" ;;
    no_prefetch) sed -i 's/^    prefetch<Grad, Copy, kAmsgrad, kNorms>(pass, items - 1 - warp);/    (void)0;/' "$cuda/pass2_update.cu" ;;
    forward) sed -i 's/items - 1 - warp/warp/' "$cuda/pass2_update.cu" ;;
    fence) sed -i 's/^  cudaGridDependencySynchronize();.*/&\n  asm volatile("fence.acq_rel.gpu;" ::: "memory");/' "$cuda/pass2_update.cu" ;;
    reduce_2) sed -i 's/kReduceBlocksPerSm = 3/kReduceBlocksPerSm = 2/' "$cuda/tuning.h" ;;
    reduce_4_of_4) sed -i 's/kReduceBlocksPerSm = 3/kReduceBlocksPerSm = 4/; s/kReduceLoads = 8/kReduceLoads = 4/' "$cuda/tuning.h" ;;
    update_4) sed -i 's/|| norms ? 4 : 5/|| norms ? 4 : 4/' "$cuda/tuning.h" ;;
    update_6) sed -i 's/|| norms ? 4 : 5/|| norms ? 4 : 6/' "$cuda/tuning.h" ;;
    no_fast_zero) sed -i 's/bool no_v = v == 0.0f, no_m = m == 0.0f;/bool no_v = false, no_m = false;/' "$2/src/kernels/element.h" ;;
    no_hint) sed -i 's/if constexpr (kHint == Hint::kStream) return __ldcs(from);//' "$cuda/vector.cuh" ;;
    *) echo "variants.sh: no variant $1" >&2; exit 2 ;;
  esac
}
all=(as_is no_overlap no_prefetch forward fence reduce_2 reduce_4_of_4 update_4 update_6 no_fast_zero no_hint)

if [ "${1:-}" = --measure ]; then
  filter=${SWD_VARIANT_FILTER:-'^(norm|update|step)/cuda/(4194304|67108864|1073741824)/grad:f32/copy:none.*eager.*warm'}
  for lib in build/gpu/variants/*/libswd.so.*; do
    name=$(basename "$(dirname "$lib")")
    bits=$(LD_LIBRARY_PATH=$(dirname "$lib") SWD_TEST_BACKEND=cuda build/gpu/cuda_equality_test --gtest_brief=1 > /dev/null 2>&1 &&
      echo equal || echo DIFFERENT)
    LD_LIBRARY_PATH=$(dirname "$lib") build/gpu/bench_step --backend=cuda --quick --benchmark_filter="$filter" \
      --benchmark_format=json 2> /dev/null | python3 -c '
import json, sys
name, bits = sys.argv[1:]
try:
    rows = json.load(sys.stdin)["benchmarks"]
except ValueError:
    rows = []
    print("%-14s %-9s did not run" % (name, bits))
for row in rows:
    case = row["name"].split("/grad")[0]
    if "median_us" in row:
        print("%-14s %-9s %-24s %10.1f us %8.1f GB/s  of roof %.3f" %
              (name, bits, case, row["median_us"], row["GB_per_s"], row["ratio_to_roof"]))
    else:
        print("%-14s %-9s %-24s %s" % (name, bits, case, row.get("error_message")))
' "$name" "$bits" || true
  done
  exit
fi

if [ $# -gt 0 ]; then all=("$@"); fi
for name in "${all[@]}"; do
  tree=build/variants/$name
  rm -rf "$tree/source"
  mkdir -p "$tree/source"
  cp -r CMakeLists.txt cmake include src "$tree/source/"
  edit "$name" "$tree/source"
  if [ "$name" != as_is ] && diff -rq src "$tree/source/src" > /dev/null; then
    echo "variants.sh: $name changes nothing" >&2
    exit 1
  fi
  cmake -S "$tree/source" -B "$tree/build" -DSWD_CUDA=ON -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES=90-real \
    -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF -DSWD_INSTALL=OFF \
    -DCMAKE_BUILD_RPATH="\$ORIGIN:\$ORIGIN/../.." > /dev/null
  cmake --build "$tree/build" -j "${SWD_TEST_JOBS:-$(nproc)}" > /dev/null
  soname=$(readelf -d "$tree/build/libswd.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
  mkdir -p "build/gpu/variants/$name"
  cp "$(readlink -f "$tree/build/libswd.so")" "build/gpu/variants/$name/$soname"
  strip "build/gpu/variants/$name/$soname"
  du -sh "build/gpu/variants/$name"
done
