#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs every test that this machine can run; says which it could not, and why.
# SWD_TEST_JOBS: parallel jobs (default: one per core). Ends with ctest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${SWD_TEST_JOBS:-$(nproc)}
build=build/test

scripts/install_deps.sh
# PTX only: quick to build, runs on any device through the driver's compiler.
cmake -S . -B "$build" -DSWD_CUDA=AUTO -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES="75-virtual;90-virtual" -DSWD_WERROR=ON
cmake --build "$build" -j "$jobs"

if reason=$("$build/tests/swd_has_device"); then
  ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs"
else
  echo "CUDA tests not run: $reason"
  ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" -L cpu
fi
