#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Variants of the library, one per question of tuning, to be compared on a device in one call. Built for sm_90 alone into
# variants/ beside the programs of gpu.sh.
#   variants.sh [NAME...]   where nvcc is; all of them takes some 10 minutes on two cores
#   variants.sh --check     no building: every edit still finds what it edits
#   variants.sh --measure   on the device: bits, then times, of every variant that was carried; `as_is` comes first and
#                           again last, which shows the noise. Status 1 if one has other bits: it is not timed.
#                           SWD_VARIANT_FILTER: other cases than steps on fp32 states; bits of narrow ones are looked at, too
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=${SWD_GPU_DIR:-build/gpu}
all=(as_is resident no_overlap no_prefetch forward fence no_fast_zero no_hint reduce_1 reduce_2 reduce_4 update_3 update_4 update_6)

fail() {
  echo "variants.sh: $*" >&2
  exit 1
}

# change FILE FROM TO: all of FROM, which has to be there.
change() {
  local text
  text=$(< "$1")
  [[ $text = *"$2"* ]] || fail "${1##*/} does not contain: $2"
  printf '%s\n' "${text//"$2"/"$3"}" > "$1"
}

# constant FILE PATTERN VALUE: the number behind what matches PATTERN.
constant() {
  grep -qE "$2[0-9]+" "$1" || fail "${1##*/} has no number behind: $2"
  sed -i -E "s/($2)[0-9]+/\1$3/" "$1"
}

# A variant is one or more edits of a copy of the sources.
edit() {
  local cuda=$2/src/kernels/cuda
  case "$1" in
    as_is) ;;
    no_overlap) change "$cuda/backend_cuda.cu" 'launch_update(plan, args, true, stream)' 'launch_update(plan, args, false, stream)' ;;
    no_prefetch) change "$cuda/pass2_kernel.cuh" 'if (args.may_prefetch) prefetch' 'if (false) prefetch' ;;
    forward) change "$cuda/pass2_kernel.cuh" 'items - 1 - warp' 'warp' ;;
    fence)
      if ! grep -q 'fence\.acq_rel\.gpu' "$cuda/pass2_kernel.cuh"; then
        change "$cuda/pass2_kernel.cuh" 'cudaGridDependencySynchronize();' \
          'cudaGridDependencySynchronize(); asm volatile("fence.acq_rel.gpu;" ::: "memory");'
      fi
      ;;
    no_fast_zero) change "$2/src/kernels/element.h" 'bool no_v = v == 0.0f, no_m = m == 0.0f;' 'bool no_v = false, no_m = false;' ;;
    resident) constant "$cuda/tuning.h" 'kWavesInOrder = ' 1000000 ;;
    no_hint) change "$cuda/vector.cuh" 'if constexpr (kHint == Hint::kStream) return __ldcs(from);' '' ;;
    # Blocks per multiprocessor. Four of pass 1 leave 64 registers, which hold four loads, not eight.
    reduce_4)
      constant "$cuda/tuning.h" 'kReduceBlocksPerSm = ' 4
      constant "$cuda/tuning.h" 'kReduceLoads = ' 4
      ;;
    reduce_[1-9]) constant "$cuda/tuning.h" 'kReduceBlocksPerSm = ' "${1#reduce_}" ;;
    update_[1-9]) constant "$cuda/tuning.h" 'amsgrad \|\| norms \? [0-9]+ : ' "${1#update_}" ;;
    *) fail "no variant $1" ;;
  esac
}

# The sources of a variant into a folder. False if it is what is there already.
make_sources() {
  rm -rf "$2"
  mkdir -p "$2"
  cp -r CMakeLists.txt cmake include src "$2/"
  edit "$1" "$2"
  [ "$1" = as_is ] || ! diff -rq src "$2/src" > /dev/null
}

build() {
  local name=$1 tree=build/variants/$1 soname
  if ! make_sources "$name" "$tree/source"; then
    echo "$name is what is there already"
    return
  fi
  cmake -S "$tree/source" -B "$tree/build" -DSWD_CUDA=ON -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES=90-real \
    -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF -DSWD_INSTALL=OFF \
    -DCMAKE_BUILD_RPATH="\$ORIGIN:\$ORIGIN/../.." > /dev/null
  cmake --build "$tree/build" -j "${SWD_TEST_JOBS:-$(nproc)}" > /dev/null
  soname=$(readelf -d "$tree/build/libswd.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
  mkdir -p "$programs/variants/$name"
  cp "$(readlink -f "$tree/build/libswd.so")" "$programs/variants/$name/$soname"
  strip "$programs/variants/$name/$soname"
  du -sh "$programs/variants/$name"
}

measure() {
  local name=$1 folder=$programs/variants/$1 json loaded bits status=0 tests=(cuda_equality_test)
  local filter=${SWD_VARIANT_FILTER:-'^(norm|update|step)/cuda/(4194304|67108864|1073741824)/grad:f32/copy:none/states:fp32/.*eager.*warm'}
  # Without this a program that finds another library would time that.
  export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  loaded=$(ldd "$programs/cuda_conversion_test") || true
  if [[ $loaded != *"=> $folder/libswd"* ]]; then
    printf '%-14s is not what the programs load\n' "$name"
    return 1
  fi
  if [ -n "${SWD_VARIANT_FILTER:-}" ]; then tests+=(cuda_narrow_test cuda_block8_usual_test); fi
  for bits in "${tests[@]}"; do
    if ! SWD_TEST_BACKEND=cuda "$programs/$bits" --gtest_brief=1 > /dev/null 2>&1; then
      printf '%-14s DIFFERENT BITS, not timed\n' "$name"
      return 1
    fi
  done
  json=$(mktemp)
  "$programs/bench_step" --backend=cuda --quick --benchmark_filter="$filter" --benchmark_format=json > "$json" 2> /dev/null || status=1
  python3 scripts/gpu/variant_rows.py "$name" "$json" || status=1
  rm "$json"
  return $status
}

case "${1:-}" in
  --check)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    for name in "${all[@]}"; do
      if make_sources "$name" "$folder/$name"; then echo "$name"; else echo "$name is what is there already"; fi
    done
    ;;
  --measure)
    names=()
    for lib in "$programs"/variants/*/libswd.so.*; do
      name=$(basename "$(dirname "$lib")")
      if [ "$name" != as_is ]; then names+=("$name"); fi
    done
    if [ -d "$programs/variants/as_is" ]; then names=(as_is "${names[@]}" as_is); fi
    status=0
    for name in "${names[@]}"; do (measure "$name") || status=1; done
    exit $status
    ;;
  *)
    if [ $# -gt 0 ]; then all=("$@"); fi
    for name in "${all[@]}"; do build "$name"; done
    ;;
esac
