#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The ways to get libswd into a program, each with the quickstart: installed, moved to another folder and found by CMake and
# by pkg-config; as a subdirectory; shared or static; through the export of a parent project. Usage: consume.sh SOURCE_DIR
# BUILD_DIR WORK_DIR
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
  run "$1.configure" cmake -S "$source_dir/tests/interface/consumer" -B "$work/$1" -DCMAKE_PREFIX_PATH="$2" -DQUICKSTART="$quickstart"
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

# Moved after it was installed: what holds there holds where it was, and an absolute path would not.
run install cmake --install "$build" --prefix "$work/prefix"
mv "$work/prefix" "$work/moved"
use_prefix moved "$work/moved"

# One build, since it is a build of the library: a subdirectory, static, and exported by its parent. Without optimisation,
# because what is tested is how the files fit together.
run parent.configure cmake -S "$source_dir/tests/interface/consumer/parent" -B "$work/parent" -DSWD_SOURCE="$source_dir" \
  -DQUICKSTART="$quickstart" -DSWD_CUDA=OFF -DCMAKE_BUILD_TYPE=Debug -DCMAKE_INSTALL_LIBDIR=lib
run parent.build cmake --build "$work/parent"
run parent.run "$work/parent/consumer"
echo "subdirectory: built and run"
run parent.install cmake --install "$work/parent" --prefix "$work/static"
[ -e "$work/static/lib/libswd.a" ] || { echo "the parent's libswd is not static" >&2; exit 1; }
use_prefix static "$work/static"
run user.configure cmake -S "$source_dir/tests/interface/consumer/user" -B "$work/user" -DCMAKE_PREFIX_PATH="$work/static"
run user.build cmake --build "$work/user"
run user.run "$work/user/user"
echo "a static library in the parent's export set: found, linked and run"

# A version that is not there must not be found.
sed 's/find_package(swd 0.2/find_package(swd 9.9/' "$source_dir/tests/interface/consumer/CMakeLists.txt" > "$work/CMakeLists.txt"
if cmake -S "$work" -B "$work/wrong" -DCMAKE_PREFIX_PATH="$work/moved" -DQUICKSTART="$quickstart" > "$work/wrong.log" 2>&1; then
  echo "find_package(swd 9.9) succeeded" >&2
  exit 1
fi
