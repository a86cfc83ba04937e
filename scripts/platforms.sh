#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The CPU suite for other processors, cross-compiled, long tests shortened; a failure or a skip fails. Ends with ctest's summary.
# Usage: platforms.sh [--short] [i686 | aarch64]...; both by default. Builds into build/platform-NAME.
#
#   --short  builds and runs the tests that decide: bits, laws, bad input, layouts, and on Arm also accuracy and states
#
#   i686     32-bit x86 with SSE2, run on this machine; and a check that x87 arithmetic does not compile
#   aarch64  64-bit Arm, run by qemu-user
#
# Left out are the tests that build the library anew or look at its objects: they are of the building machine.
set -euo pipefail
cd "$(dirname "$0")/.."
short=0
if [ "${1:-}" = --short ]; then
  short=1
  shift
fi
platforms=("$@")
[ ${#platforms[@]} -gt 0 ] || platforms=(i686 aarch64)
jobs=${SWD_TEST_JOBS:-$(nproc)}
export SWD_TEST_SCALE=100 SWD_ACCURACY_POINTS=20000 SWD_SOAK_STEPS=300

quietly() {  # log file, command...: its last lines if it fails
  local log=$1
  shift
  "$@" > "$log" 2>&1 || { tail -n 40 "$log"; echo "platforms.sh: $* failed" >&2; exit 1; }
}

refuses_x87() {
  if i686-linux-gnu-g++ -std=c++17 -Iinclude -Isrc -fsyntax-only src/kernels/cpu/loops_base.cpp 2> "$build/x87.log"; then
    echo "x87 arithmetic compiled" >&2
    exit 1
  fi
  grep -q 'libswd needs arithmetic in the operands' "$build/x87.log" || { cat "$build/x87.log"; exit 1; }
}

for platform in "${platforms[@]}"; do
  case $platform in
    i686)
      flags="-msse2 -mfpmath=sse"
      chosen=(hash_test law_test bad_input_test)
      emulator="/usr/i686-linux-gnu/lib/ld-linux.so.2;--library-path;/usr/i686-linux-gnu/lib" ;;
    aarch64)
      flags=
      chosen=(hash_test golden_test law_test bad_input_test state_blob_test cpu_threads_test cpu_isa_test oracle_test ulp_test accuracy_test)
      emulator="qemu-aarch64;-L;/usr/aarch64-linux-gnu" ;;
    *) echo "platforms.sh: no platform named $platform" >&2; exit 2 ;;
  esac
  scripts/install_deps.sh "$platform"
  build=$PWD/build/platform-$platform
  mkdir -p "$build"
  target=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$platform" -DCMAKE_C_COMPILER="$platform-linux-gnu-gcc"
    -DCMAKE_CXX_COMPILER="$platform-linux-gnu-g++" -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags")
  begun=$SECONDS
  # GoogleTest from Debian's sources: its package has only what this machine runs.
  quietly "$build/gtest.log" cmake -S /usr/src/googletest -B "$build/gtest" "${target[@]}" -DCMAKE_BUILD_TYPE=None -DBUILD_GMOCK=OFF \
    -DCMAKE_INSTALL_PREFIX="$build/prefix"
  quietly "$build/gtest.log" cmake --build "$build/gtest" -j "$jobs" --target install
  # -O1 is what the tests are built with; the library adds its own -O3.
  quietly "$build/configure.log" cmake -S . -B "$build/build" "${target[@]}" -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DSWD_CUDA=OFF -DSWD_WERROR=ON \
    -DSWD_BUILD_TESTS=ON -DSWD_BUILD_EXAMPLES=OFF -DSWD_BUILD_BENCH=OFF -DGTest_DIR="$build/prefix/lib/cmake/GTest" \
    -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator"
  targets=() tests=()
  if [ $short = 1 ]; then
    targets=(--target abi_layout "${chosen[@]}")
    tests=(-R "^($(IFS='|' && echo "${chosen[*]}"))\.cpu\$|^abi\.layout\$")
  fi
  quietly "$build/build.log" cmake --build "$build/build" -j "$jobs" "${targets[@]}"
  if [ "$platform" = i686 ]; then refuses_x87; fi
  echo "== $platform: built in $((SECONDS - begun)) s"
  ctest --test-dir "$build/build" --output-on-failure --no-tests=error -j "$jobs" -L cpu "${tests[@]}"
done
