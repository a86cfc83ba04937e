#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What CMake makes of what it finds: without GoogleTest the tests are left out, or the error says what to install; sources
# without tests, as a source distribution has them; a build for another processor takes no nvcc of this one; the
# architectures that a user names count. Usage: configure.sh SOURCE_DIR WORK_DIR WITH_CUDA
set -euo pipefail
source_dir=$1 work=$2 with_cuda=$3
rm -rf "$work"
mkdir -p "$work"
cd "$work"
unset CMAKE_CUDA_ARCHITECTURES CUDAARCHS

configure() {  # name, what its output must hold, cmake arguments...
  local name=$1 holds=$2
  shift 2
  if ! cmake -B "$name" "$@" > "$name.log" 2>&1; then
    [ "${fails:-}" = yes ] || { tail -n 20 "$name.log"; echo "$name: failed" >&2; exit 1; }
  elif [ "${fails:-}" = yes ]; then
    echo "$name: CMake should have failed" >&2
    exit 1
  fi
  # CMake breaks the lines of errors.
  tr -s '\n ' ' ' < "$name.log" | grep -qF -- "$holds" || { cat "$name.log"; echo "$name: not said: $holds" >&2; exit 1; }
}

plain=(-DSWD_CUDA=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF)
without_gtest=("${plain[@]}" -DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON)
configure without_gtest "not found: GoogleTest (Debian: libgtest-dev); the tests are not built" -S "$source_dir" "${without_gtest[@]}"
fails=yes configure asked "but this is not there: GoogleTest" -S "$source_dir" "${without_gtest[@]}" -DSWD_BUILD_TESTS=ON

mkdir distribution
cp -r "$source_dir"/{CMakeLists.txt,cmake,include,src} distribution/
configure distribution_build "Configuring done" -S distribution "${plain[@]}"
fails=yes configure distribution_tests "a source distribution has no tests" -S distribution "${plain[@]}" -DSWD_BUILD_TESTS=ON

# CUDA is left at AUTO.
elsewhere=(-DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64)
(unset CUDACXX
 configure elsewhere "cross-compiling, and no CMAKE_CUDA_COMPILER names a CUDA compiler for the target" -S "$source_dir" "${elsewhere[@]}")

if [ "$with_cuda" = ON ]; then
  configure architectures "runtime, for 90" -S "$source_dir" -DSWD_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90 -DSWD_BUILD_TESTS=OFF \
    -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_EXAMPLES=OFF
  grep -q -- 'arch=compute_90,code=\[compute_90,sm_90\]' architectures/compile_commands.json
fi
echo "configured as it should be, CUDA $with_cuda"
