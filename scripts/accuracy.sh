#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long tier of the accuracy tests: `accuracy.sh [POINTS [STEPS]]` runs one step on POINTS random points (default
# 1e8) against long double, then a soak of STEPS steps (default 1e6) of the running sums, then what narrow states rest
# on: every pattern of fp32, every code, the battery of the rounding bits, second moments over 10,000 to 100,000 steps.
# Prints the largest errors seen; fails where a frozen bound is passed. CPU backend; two threads.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/accuracy

scripts/install_deps.sh
cmake -S . -B "$build" -DSWD_CUDA=OFF -DSWD_BUILD_EXAMPLES=OFF -DSWD_BUILD_BENCH=OFF > /dev/null
narrow=(cpu_split_test cpu_block8_test cpu_rounding_bits_test cpu_rounding_bias_test cpu_narrow_tracking_test)
cmake --build "$build" -j "$(nproc)" --target accuracy_test soak_test "${narrow[@]}" > /dev/null
SWD_ACCURACY_POINTS=${1:-1e8} "$build/tests/accuracy_test"
SWD_SOAK_STEPS=${2:-1e6} "$build/tests/soak_test"
for test in "${narrow[@]}"; do SWD_LONG_TIER=1 "$build/tests/$test"; done
