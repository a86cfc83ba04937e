#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every way in which swd-sys finds libswd: a folder with the shared library, with the archive, with both; pkg-config; and
# what is said where nothing is found. Run by scripts/test_rust.sh; works in cargo's target folder.
set -euo pipefail
cd "$(dirname "$0")"
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)/linking
export CARGO_TARGET_DIR=$target/cargo
unset SWD_LIB_DIR SWD_STATIC SWD_NO_PKG_CONFIG LD_LIBRARY_PATH

for kind in shared static; do
  cmake -S ../.. -B "$target/$kind" -DCMAKE_INSTALL_PREFIX="$target/$kind/prefix" -DCMAKE_INSTALL_LIBDIR=lib -DSWD_CUDA=OFF \
    -DBUILD_SHARED_LIBS="$([ "$kind" = shared ] && echo ON || echo OFF)" -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_EXAMPLES=OFF \
    -DSWD_BUILD_BENCH=OFF -DSWD_WERROR=ON > /dev/null
  cmake --build "$target/$kind" -j "${SWD_TEST_JOBS:-$(nproc)}" > /dev/null
  cmake --install "$target/$kind" > /dev/null
done
shared=$target/shared/prefix/lib
static=$target/static/prefix/lib
mkdir -p "$target/both" "$target/bare"
cp -P "$shared"/libswd.so* "$static/libswd.a" "$target/both"
cp "$static/libswd.a" "$target/bare"

# Runs the tests of swd-sys, which call the library, and checks whether the program loads libswd.so.
expect() {
  local name=$1 wanted=$2
  shift 2
  local program
  program=$(env "$@" cargo test --offline -p swd-sys --test header --no-run --message-format short 2>&1 |
    sed -n 's/.*Executable tests.header.rs (\(.*\))/\1/p')
  [ -n "$program" ] || { echo "linking, $name: did not build" >&2; exit 1; }
  LD_LIBRARY_PATH=$shared "$program" --quiet > /dev/null || { echo "linking, $name: tests failed" >&2; exit 1; }
  local found=static
  [[ $(LD_LIBRARY_PATH=$shared ldd "$program") != *libswd.so* ]] || found=shared  # no pipe: grep -q may break it
  [ $found = "$wanted" ] || { echo "linking, $name: $found, expected $wanted" >&2; exit 1; }
  echo "linking, $name: ok"
}
expect "folder of an installed shared library" shared SWD_LIB_DIR="$shared"
expect "folder of an installed archive" static SWD_LIB_DIR="$static"
expect "folder with both" shared SWD_LIB_DIR="$target/both"
expect "folder with both, SWD_STATIC" static SWD_LIB_DIR="$target/both" SWD_STATIC=1
expect "folder with nothing but the archive" static SWD_LIB_DIR="$target/bare"
if command -v pkg-config > /dev/null; then
  expect "pkg-config, shared" shared PKG_CONFIG_PATH="$shared/pkgconfig"
  expect "pkg-config, archive" static PKG_CONFIG_PATH="$static/pkgconfig"
  expect "pkg-config not wanted" static PKG_CONFIG_PATH="$shared/pkgconfig" SWD_NO_PKG_CONFIG=1
  mkdir -p "$target/newer"
  sed 's/^Version: .*/Version: 0.99.0/' "$shared/pkgconfig/swd.pc" > "$target/newer/swd.pc"
  expect "pkg-config knows another minor release only" static PKG_CONFIG_PATH="$target/newer"
else
  echo "pkg-config is not there: not tried"
fi

refuse() {
  local name=$1 words=$2 output
  shift 2
  if output=$(env "$@" cargo build --offline -p swd-sys 2>&1); then echo "linking, $name: built" >&2; exit 1; fi
  [[ $output = *$words* ]] || { echo "linking, $name: does not say '$words': $output" >&2; exit 1; }
  echo "linking, $name: refused"
}
refuse "folder without a library" "neither libswd.so nor libswd.a" SWD_LIB_DIR="$target"
refuse "SWD_STATIC without an archive" "has no libswd.a" SWD_LIB_DIR="$shared" SWD_STATIC=1
refuse "cmake fails" "SWD_CUDA must be AUTO, ON or OFF" SWD_NO_PKG_CONFIG=1 SWD_CMAKE_ARGS=-DSWD_CUDA=MAYBE
