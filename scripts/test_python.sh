#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and installs the Python package (python_wheel.sh) and runs its tests. Ends with pytest's summary.
# Usage: test_python.sh [PYTEST ARGUMENT ...]; SWD_TEST_TIER=short or long runs a part (docs/testing.md); SWD_PYTHON names
# another python3; SWD_PYTHON_WHEEL=made takes the wheel that python_wheel.sh has just built and installed.
# Exit code 77: the packages are not there and cannot be installed.
#
# Tests marked cuda run where there is a device; else they are not selected, and the script says so. Where
# SWD_CUDA_SIMULATOR names a folder with a simulated libcudart.so.13, they alone run, on it (tests/simulated_cuda.py).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/python
venv=$work/venv

run_tests() {  # folder of the wheel, command...
  local wheels=("$work/$1"/libswd-*.whl)
  shift
  cd "$work"  # away from the sources: what is tested is what was installed
  exec env SWD_WHEEL="${wheels[0]}" "$@"
}

case ${SWD_TEST_TIER:-all} in
  short) tier="not long" ;;
  long) tier=long ;;
  *) tier="long or not long" ;;
esac
pytest=("$venv/bin/python" -m pytest -q -c "$root/bindings/python/pytest.ini" --rootdir "$root/bindings/python"
        -p no:cacheprovider "$root/bindings/python/tests")
if [ -n "${SWD_CUDA_SIMULATOR:-}" ]; then
  scripts/python_wheel.sh wheel_simulated shared
  run_tests wheel_simulated env SWD_SIMULATED_CUDA=1 LD_LIBRARY_PATH="$SWD_CUDA_SIMULATOR" \
    LD_PRELOAD="$SWD_CUDA_SIMULATOR/libcudart.so.13" "${pytest[@]}" -m cuda "$@"
fi
if [ "${SWD_PYTHON_WHEEL:-}" = made ]; then
  "$venv/bin/python" -c 'import swd, torch, pytest' || { echo "scripts/python_wheel.sh has not made an environment" >&2; exit 77; }
else
  scripts/python_wheel.sh
fi
if reason=$(cd "$work" && "$venv/bin/python" -c 'import torch, swd
if not torch.cuda.is_available(): raise SystemExit(print("PyTorch finds no CUDA device") or 1)
try: swd.check_backend("cuda")
except swd.Error as error: raise SystemExit(print(error) or 1)'); then
  run_tests wheel "${pytest[@]}" -m "$tier" "$@"
fi
echo "tests marked cuda are not selected: $reason"
run_tests wheel "${pytest[@]}" -m "not cuda and ($tier)" "$@"
