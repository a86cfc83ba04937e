#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library by other compilers, for other processors, by other versions of CMake, Python and PyTorch: builds each row of
# docs/platforms.md and runs tests of the CPU backend on it; a failure or a skip fails. Usage: platforms.sh [--short] [--page] [ROW]...
#
#   --short  of the processors the tests that decide: bits, laws, bad input, layouts, and on Arm also errors and states
#   --page   writes the rows that ran into docs/platforms.md; those that did not stay as they are there
#
# Rows, all by default: i686, aarch64 (scripts/platforms/processors.sh); gcc-11, gcc-12, clang, musl,
# static, lto (compilers.sh); nvcc-newest, same-bytes, same-bytes-cuda, cmake-oldest, cmake-newest (builds.sh); python-oldest, python-newest (pythons.sh).
# Builds into build/platforms/ROW.
set -euo pipefail
cd "$(dirname "$0")/.."
short=0 page=0 rows=()
all=(i686 aarch64 gcc-11 gcc-12 clang musl static lto nvcc-newest same-bytes same-bytes-cuda cmake-oldest cmake-newest python-oldest python-newest)
for word in "$@"; do
  case $word in
    --short) short=1 ;;
    --page) page=1 ;;
    *)
      [[ " ${all[*]} " = *" $word "* ]] || { echo "platforms.sh: no row named $word" >&2; exit 2; }
      rows+=("$word")
      ;;
  esac
done
[ ${#rows[@]} -gt 0 ] || rows=("${all[@]}")
jobs=${SWD_TEST_JOBS:-$(nproc)}
tools=$PWD/build/platforms/tools  # a virtual environment for what comes from PyPI

quietly() {  # log file, command...: its last lines if it fails
  local log=$1
  shift
  "$@" > "$log" 2>&1 || { tail -n 40 "$log"; echo "platforms.sh: $* failed" >&2; exit 1; }
}

tool() {  # package==version...: from PyPI
  [ -x "$tools/bin/python" ] || { scripts/install_deps.sh python; python3 -m venv "$tools"; }
  "$tools/bin/python" -m pip install -q --disable-pip-version-check "$@"
}

# Configures what the row asks for in `options`, builds `targets` (empty: all) and runs the tests that `tests` names, or all.
suite() {
  local begun=$SECONDS select=()
  [ ${#targets[@]} = 0 ] || select=(--target "${targets[@]}")
  # -O1 is what the tests are built with; the library adds its own -O3.
  quietly "$build/configure.log" "${cmake:-cmake}" -S . -B "$build/build" -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DSWD_CUDA=OFF -DSWD_BUILD_TESTS=ON \
    -DSWD_BUILD_EXAMPLES=OFF -DSWD_BUILD_BENCH=OFF "${options[@]}"
  quietly "$build/build.log" "${cmake:-cmake}" --build "$build/build" -j "$jobs" "${select[@]}"
  echo "== $row: built in $((SECONDS - begun)) s"
  ctest --test-dir "$build/build" --output-on-failure --no-tests=error -j "$jobs" -L cpu ${tests:+-R "$tests"} | tee "$build/ctest.log"
  tested="$(sed -n 's/.*tests failed out of \([0-9]*\).*/\1/p' "$build/ctest.log") tests"
}

googletest() {  # cmake arguments...: GoogleTest from Debian's sources; its package has only what this machine runs
  scripts/install_deps.sh googletest
  quietly "$build/gtest.log" cmake -S /usr/src/googletest -B "$build/gtest" "$@" -DCMAKE_BUILD_TYPE=None -DBUILD_GMOCK=OFF \
    -DCMAKE_INSTALL_PREFIX="$build/prefix" -DCMAKE_INSTALL_LIBDIR=lib
  quietly "$build/gtest.log" cmake --build "$build/gtest" -j "$jobs" --target install
  options+=(-DGTest_DIR="$build/prefix/lib/cmake/GTest")
}

. scripts/platforms/processors.sh
. scripts/platforms/compilers.sh
. scripts/platforms/builds.sh
. scripts/platforms/pythons.sh

# What decides where the compiler is another one: the bits, the laws and every argument.
deciding=(hash_test law_test bad_input_test cpu_isa_test)
expression() { local IFS='|'; echo "^($*)\.cpu\$"; }

for row in "${rows[@]}"; do
  build=$PWD/build/platforms/$row
  mkdir -p "$build"
  options=() targets=("${deciding[@]}") tests=$(expression "${deciding[@]}") cmake=cmake what='' tested=''
  "row_${row//-/_}"
  echo "| $row | $what | $tested |" > "$build/row.md"
  [ $page = 0 ] || scripts/platforms/page.py "$build/row.md"
done
