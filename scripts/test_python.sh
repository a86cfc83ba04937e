#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Python package as a wheel, installs it into the virtual environment of python_env.sh and runs its tests. Ends with
# pytest's summary. Usage: test_python.sh [PYTEST ARGUMENT ...]; SWD_PYTHON names another python3.
# Exit code 77: the packages are not there and cannot be installed.
#
# Tests marked cuda run where there is a device; else they are not selected, and the script says so. Where
# SWD_CUDA_SIMULATOR names a folder with a simulated libcudart.so.13, they alone run, on it (tests/simulated_cuda.py).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/python
venv=$work/venv

scripts/python_env.sh

build() {  # folder, CUDA runtime
  # PTX only: quick to build, runs on any device through the driver's compiler. As test.sh builds it (ccache.sh).
  echo "building the wheel"
  rm -rf "${work:?}/$1"
  local settings=(build-dir="$work/cmake_$1" cmake.define.SWD_CUDART="$2") setting
  for setting in "SWD_CUDA_ARCHITECTURES=75-virtual;90-virtual" SWD_WERROR=ON SWD_LINE_INFO=ON; do settings+=("cmake.define.$setting"); done
  CC=${CC:-cc} CXX=${CXX:-c++} CMAKE_GENERATOR=${CMAKE_GENERATOR:-Unix Makefiles} "$venv/bin/python" -m pip wheel -q \
    --disable-pip-version-check --no-deps . -w "$work/$1" "${settings[@]/#/--config-settings=}"
  wheels=("$work/$1"/libswd-*.whl)
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-index --force-reinstall "${wheels[0]}"
}

run_tests() {
  cd "$work"  # away from the sources: what is tested is what was installed
  exec env SWD_WHEEL="${wheels[0]}" "$@"
}

pytest=("$venv/bin/python" -m pytest -q -c "$root/bindings/python/pytest.ini" --rootdir "$root/bindings/python"
        -p no:cacheprovider "$root/bindings/python/tests")
if [ -n "${SWD_CUDA_SIMULATOR:-}" ]; then
  build wheel_simulated shared
  run_tests env SWD_SIMULATED_CUDA=1 LD_LIBRARY_PATH="$SWD_CUDA_SIMULATOR" \
    LD_PRELOAD="$SWD_CUDA_SIMULATOR/libcudart.so.13" "${pytest[@]}" -m cuda "$@"
fi
build wheel static
if reason=$(cd "$work" && "$venv/bin/python" -c 'import torch, swd
if not torch.cuda.is_available(): raise SystemExit(print("PyTorch finds no CUDA device") or 1)
try: swd.check_backend("cuda")
except swd.Error as error: raise SystemExit(print(error) or 1)'); then
  run_tests "${pytest[@]}" "$@"
fi
echo "tests marked cuda are not selected: $reason"
run_tests "${pytest[@]}" -m "not cuda" "$@"
