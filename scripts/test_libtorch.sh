#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds examples/libtorch, AdamS as a torch::optim::Optimizer, against the libtorch and the libswd of the environment that
# test_python.sh has made, and runs it. Exit code 77: there is no such environment.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/build/python/venv/bin/python
build=$PWD/build/libtorch
"$python" -c 'import swd, torch' || { echo "scripts/test_python.sh has not made an environment" >&2; exit 77; }
torch=$("$python" -c 'import torch, pathlib; print(pathlib.Path(torch.__file__).parent)')
# -O0: PyTorch's headers are what takes the time, and libswd comes built.
cmake -S examples/libtorch -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O0 -DTORCH_DIR="$torch" \
  -DCMAKE_PREFIX_PATH="$(cd build/python && "$python" -m swd --cmake-dir)" > "$build.log"
cmake --build "$build" -j "$(nproc)" > "$build.log" 2>&1 || { tail -n 40 "$build.log"; exit 1; }
"$build/train"
