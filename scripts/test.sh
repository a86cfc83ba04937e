#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs every test that this machine can run: the library, the Python package, the Rust
# crates. CUDA tests run on a device; where there is none, on the CPU under the simulator (tools/cudasim). nvcc is the
# machine's, or comes from PyPI (scripts/nvcc.sh). Says which tests it could not run, and why; with SWD_TEST_ALL=1 that is
# a failure. SWD_TEST_TIER=all: also the long tier (docs/testing.md), which CI runs by itself. SWD_TEST_JOBS: parallel jobs
# (default: one per core). Ends with ctest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${SWD_TEST_JOBS:-$(nproc)}
export SWD_TEST_TIER=${SWD_TEST_TIER:-short}
build=build/test

scripts/install_deps.sh demo test
mkdir -p "$build"
cuda=ON
. scripts/nvcc.sh || cuda=OFF
# 200 MB where the machine has none, for one example: CI gets it, others are told.
if [ $cuda = ON ] && [ "${SWD_TEST_ALL:-0}" != 0 ]; then . scripts/nccl.sh; fi
. scripts/ccache.sh
# PyTorch is fetched beside the build. What goes wrong here test_python.sh meets again, and says.
set -m  # a process group of its own, so that what it started ends with it
scripts/python_env.sh > "$build/python_env.log" 2>&1 &
beside=$!
set +m
trap 'kill -- "-$beside" 2> /dev/null || true' EXIT
# A compiler that was configured stays, also where it is gone or another one is asked for now.
configured=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt" 2> /dev/null || true)
[ "$configured" = "$(command -v nvcc)" ] || rm -f "$build/CMakeCache.txt"
. scripts/architectures.sh
cmake -S . -B "$build" -DSWD_CUDA=$cuda -DSWD_CUDART=shared -DSWD_CUDA_ARCHITECTURES="$swd_architectures" -DSWD_WERROR=ON \
  -DSWD_LINE_INFO=ON -DSWD_BUILD_TESTS=ON  # not AUTO: what is missing must fail, not be left out
cmake --build "$build" -j "$jobs"
wait "$beside" || true

# The bindings are tested beside the library's tests, two at a time: each uses one core, or waits.
binding() {  # name, command...; exit code 77: it cannot run here
  local name=$1 status=0 begun=$SECONDS
  shift
  echo "== $name"
  "$@" || status=$?
  echo "== $name: $((SECONDS - begun)) s"
  if [ $status = 77 ] && [ "${SWD_TEST_ALL:-0}" = 0 ]; then
    echo "not run: $name" >> "$build/not_run"
  elif [ $status != 0 ]; then
    echo "$name: failed" >&2
    return 1
  fi
}
bindings() {
  local rust package status=0
  set +m  # one group
  binding "Rust crates" scripts/test_rust.sh > "$build/rust.log" 2>&1 &
  rust=$!
  # The wheel is for the tests of the package, the examples and JAX.
  if binding "Python wheel" scripts/python_wheel.sh > "$build/wheel.log" 2>&1; then
    binding "Python package" env SWD_PYTHON_WHEEL=made scripts/test_python.sh > "$build/python.log" 2>&1 &
    package=$!
    wait "$rust" || status=1
    binding "Python examples" scripts/test_python_examples.sh > "$build/examples.log" 2>&1 || status=1
    binding "JAX" scripts/test_jax.sh > "$build/jax.log" 2>&1 || status=1
    wait "$package" || status=1
  else
    status=1
    wait "$rust" || true
  fi
  return $status
}
logs=("$build"/{wheel,python,examples,jax,rust}.log)
rm -f "$build/not_run"
touch "$build/not_run"
! grep -q '^NCCL_.*NOTFOUND$' "$build/CMakeCache.txt" || echo "not run: example.sharded_nccl: NCCL is not here" >> "$build/not_run"
for log in "${logs[@]}"; do : > "$log"; done
echo "== bindings: ${logs[*]}"
set -m
bindings &
beside=$!
set +m

echo "== library"
labels='cpu|cuda'
if reason=$("$build/tests/swd_has_device"); then
  echo "CUDA tests run on the device"
elif [ -e "$build/cudasim/libcudart.so.13" ]; then
  echo "CUDA tests run under the simulator: $reason"
  export LD_LIBRARY_PATH=$PWD/$build/cudasim${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
else
  labels=cpu
  echo "not run: CUDA tests: $reason" >> "$build/not_run"
  [ "${SWD_TEST_ALL:-0}" = 0 ] || { cat "$build/not_run" >&2; exit 1; }
fi
tier=()
[ "$SWD_TEST_TIER" != short ] || tier=(-LE '^long$')
library=0
ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs" -L "$labels" "${tier[@]}" 2>&1 | tee "$build/ctest.log" || library=$?

status=0
wait "$beside" || status=$?
trap - EXIT
cat "${logs[@]}" "$build/not_run"
[ $status = 0 ] || { grep -h ': failed$' "${logs[@]}" >&2; exit $status; }
echo "== library"
sed -n '/% tests passed/,$p' "$build/ctest.log"  # again: this script ends with it
exit $library
