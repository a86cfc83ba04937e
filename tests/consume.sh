#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The ways to get libswd into a program, each with the quickstart: installed and found by CMake, by pkg-config, moved to
# another folder, as a subdirectory; shared or static. Usage: consume.sh SOURCE_DIR BUILD_DIR WORK_DIR
set -euo pipefail
source_dir=$1 build=$2 work=$3
quickstart=$source_dir/examples/quickstart.c
rm -rf "$work"
mkdir -p "$work"

run() {  # name, command...
  local name=$1
  shift
  "$@" > "$work/$name.log" 2>&1 || { echo "$name failed:"; tail -n 20 "$work/$name.log"; exit 1; }
}

use_prefix() {  # name, prefix: by find_package, then by pkg-config
  run "$1.configure" cmake -S "$source_dir/tests/consumer" -B "$work/$1" -DCMAKE_PREFIX_PATH="$2" -DQUICKSTART="$quickstart"
  run "$1.build" cmake --build "$work/$1"
  run "$1.run" "$work/$1/consumer"
  local lib flags
  lib=$(dirname "$(find "$2" -name swd.pc)")
  flags=$(PKG_CONFIG_PATH=$lib pkg-config --cflags --libs swd)
  # shellcheck disable=SC2086  # flags are words
  run "$1.pkgconfig" "${CC:-cc}" -std=c99 "$quickstart" -o "$work/$1.pkgconfig.program" $flags -Wl,-rpath,"$lib/.."
  run "$1.pkgconfig.run" "$work/$1.pkgconfig.program"
  echo '#include <swd/swd.hpp>' > "$work/$1.owners.cpp"
  # shellcheck disable=SC2086
  run "$1.owners" "${CXX:-c++}" -std=c++17 -fsyntax-only "$work/$1.owners.cpp" $flags
  echo "$1: find_package and pkg-config"
}

run install cmake --install "$build" --prefix "$work/prefix"
use_prefix installed "$work/prefix"
mv "$work/prefix" "$work/moved"
use_prefix moved "$work/moved"

run static.configure cmake -S "$source_dir" -B "$work/static.build" -DBUILD_SHARED_LIBS=OFF -DSWD_CUDA=OFF \
  -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_EXAMPLES=OFF -DSWD_BUILD_BENCH=OFF
run static.build cmake --build "$work/static.build"
run static.install cmake --install "$work/static.build" --prefix "$work/static.prefix"
use_prefix static "$work/static.prefix"

run subdirectory.configure cmake -S "$source_dir/tests/consumer" -B "$work/subdirectory" -DSWD_SOURCE="$source_dir" \
  -DQUICKSTART="$quickstart" -DSWD_CUDA=OFF
run subdirectory.build cmake --build "$work/subdirectory"
run subdirectory.run "$work/subdirectory/consumer"
echo "subdirectory: built and run"

# A version that is not there must not be found.
sed 's/find_package(swd 0.2/find_package(swd 9.9/' "$source_dir/tests/consumer/CMakeLists.txt" > "$work/CMakeLists.txt"
if cmake -S "$work" -B "$work/wrong" -DCMAKE_PREFIX_PATH="$work/moved" -DQUICKSTART="$quickstart" > "$work/wrong.log" 2>&1; then
  echo "find_package(swd 9.9) succeeded" >&2
  exit 1
fi
