#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and tests the Rust crates from this clone, offline: formatting, lints and documentation without a warning, the ways
# to find the library, the example, then the tests; ends with cargo's summary. Exit code 77: it cannot run here, and says what is missing.
# SWD_RUST_FEATURES=cuda also tests the CUDA backend, which needs nvcc and a device, or a simulator of the CUDA runtime
# (then with SWD_CMAKE_ARGS="-DSWD_CUDART=shared" and LD_LIBRARY_PATH). CARGO_TARGET_DIR moves cargo's output.
set -euo pipefail
cd "$(dirname "$0")/../bindings/rust"

missing=()
for tool in cargo cmake c++ cc; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "Rust tests not run, missing: ${missing[*]}" >&2
  exit 77
fi
options=(--offline --features "${SWD_RUST_FEATURES:-}")
export SWD_CMAKE_ARGS=${SWD_CMAKE_ARGS:--DSWD_WERROR=ON}

if cargo fmt --version > /dev/null 2>&1; then
  cargo fmt --check
else
  echo "cargo fmt is not there: formatting not checked"
fi
if cargo clippy --version > /dev/null 2>&1; then
  cargo clippy "${options[@]}" --quiet --all-targets -- -D warnings
else
  echo "cargo clippy is not there: lints not checked"
fi
RUSTDOCFLAGS="-D warnings" cargo doc "${options[@]}" --quiet --no-deps
if [ "${SWD_TEST_TIER:-all}" != short ]; then ./test_linking.sh; fi
cargo run "${options[@]}" --quiet --example train
cargo test "${options[@]}"
