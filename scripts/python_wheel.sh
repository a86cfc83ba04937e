#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Python package as a wheel into build/python/NAME and installs it into the virtual environment of python_env.sh, which
# it makes. Usage: python_wheel.sh [NAME [CUDART]], by default wheel and static: how it is linked with the CUDA runtime.
# Exit code 77: the packages are not there and cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-wheel} cudart=${2:-static}
work=$PWD/build/python
venv=$work/venv

scripts/python_env.sh

. scripts/architectures.sh  # as test.sh builds it, for ccache.sh
echo "building the wheel"
rm -rf "${work:?}/$name"
settings=(build-dir="$work/cmake_$name" cmake.define.SWD_CUDART="$cudart")
for setting in SWD_CUDA_ARCHITECTURES="$swd_architectures" SWD_WERROR=ON SWD_LINE_INFO=ON; do settings+=("cmake.define.$setting"); done
CC=${CC:-cc} CXX=${CXX:-c++} CMAKE_GENERATOR=${CMAKE_GENERATOR:-Unix Makefiles} "$venv/bin/python" -m pip wheel -q \
  --disable-pip-version-check --no-deps . -w "$work/$name" "${settings[@]/#/--config-settings=}"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-index --force-reinstall "$work/$name"/libswd-*.whl
