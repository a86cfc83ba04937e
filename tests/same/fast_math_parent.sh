#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A parent project's flags for inexact arithmetic must not reach libswd: built inside such a project, it passes the tests
# that depend on every rounding, and loading it leaves denormals on. Usage: fast_math_parent.sh SOURCE_DIR WORK_DIR TEST_PROGRAM...
set -euo pipefail
source_dir=$1 work=$2
shift 2
rm -rf "$work"
mkdir -p "$work"
# Each wide instruction set takes as long as all the rest, and one of them runs here: the other is left out.
unused=v4
! grep -qw avx512vl /proc/cpuinfo || unused=v3
left_out=("-DSWD_loops_${unused}_option_"{1,2,3}"=OFF")
cmake -S "$source_dir/tests/interface/consumer" -B "$work/build" -DSWD_SOURCE="$source_dir" -DQUICKSTART="$source_dir/tests/interface/consumer/float_state.c" \
  -DSWD_CUDA=OFF -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_FLAGS="-O3 -funsafe-math-optimizations -ffinite-math-only -fno-math-errno -march=native" -DBUILD_SHARED_LIBS=ON "${left_out[@]}" > "$work/log" 2>&1
cmake --build "$work/build" >> "$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
"$work/build/consumer"
library=$work/build/swd/libswd.so
for program in "$@"; do
  SWD_TEST_BACKEND=cpu LD_PRELOAD=$library "$program" > "$work/$(basename "$program").log" 2>&1 ||
    { tail -n 30 "$work/$(basename "$program").log"; exit 1; }
  echo "$(basename "$program"): passed on the library from a project with inexact arithmetic"
done
