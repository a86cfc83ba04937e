#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests a wheel in a new environment, without a compiler on PATH. Usage: wheel_test.sh WHEEL WORK; called by wheel.sh, after
# nvcc.sh. WORK/cmake/CMakeFiles/swd.dir holds the objects that the wheel was linked from.
set -euo pipefail
wheel=$1 work=$2
cd "$(dirname "$0")/.."
root=$PWD
scripts/python_env.sh  # PyTorch
venv=$root/build/python/venv
environment=$work/environment
"$venv/bin/python" -m venv --clear "$environment"
"$environment/bin/python" -m pip install -q --disable-pip-version-check --no-index --no-deps "$wheel"
bare() { (cd "$work" && env -i HOME="$work" PATH=/nonexistent "$@"); }
python=$environment/bin/python

bare "$python" -m swd --info
# The plainest loops give the same bits, and so pass everything else, in twice the time.
if grep -qw avx2 /proc/cpuinfo && bare "$python" -c 'import swd; exit(swd.cpu_isa() != "base")'; then
  echo "wheel_test.sh: this CPU has AVX2, and the wheel does not use it" >&2
  exit 1
fi
bare "$python" "$root/scripts/wheel_step.py" cpu

# C through the package's own CMake files, then without CMake: pkg-config where it is there.
cmake -S tests/interface/consumer -B "$work/consumer" -Dswd_DIR="$("$python" -m swd --cmake-dir)" -DQUICKSTART="$root/examples/quickstart.c" > "$work/consumer.log"
cmake --build "$work/consumer" > "$work/consumer.log"
bare "$work/consumer/consumer" > "$work/consumer.log"
libraries=$(dirname "$("$python" -c 'import swd; print(swd.library_path)')")
# shellcheck disable=SC2046  # words
cc -std=c99 examples/quickstart.c -o "$work/by-pkg-config" \
  $(PKG_CONFIG_PATH=$("$python" -m swd --pkgconfig-dir) pkg-config --cflags --libs swd) -Wl,-rpath,"$libraries"
bare "$work/by-pkg-config" > "$work/consumer.log"
echo "C: find_package and pkg-config"

# PyTorch's folder comes after the environment's own, so that the wheel's swd counts.
"$venv/bin/python" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))' > \
  "$(echo "$environment"/lib/python3*/site-packages)/torch.pth"
bare "$python" "$root/scripts/wheel_step.py" torch

if "$python" -c 'import swd; swd.check_backend("cuda")' 2> /dev/null; then
  "$python" scripts/wheel_step.py cuda
  exit
fi
# The wheel's runtime is inside its library, where no simulator can take its place: the same objects, linked to the shared one.
simulator=$root/build/test/cudasim
if [ ! -e "$simulator/libcudart.so.13" ]; then
  cmake -S tools/cudasim -B "$work/simulator" > "$work/simulator.log"
  cmake --build "$work/simulator" -j "$(nproc)" --target cudasim > "$work/simulator.log"
  simulator=$work/simulator/cudasim
fi
mapfile -t objects < <(find "$work/cmake/CMakeFiles/swd.dir" -name '*.o')
c++ -shared -Wl,-soname,libswd.so.0.2 -Wl,--version-script=cmake/libswd.map "${objects[@]}" -L"$simulator" -lcudart -pthread \
  -o "$libraries/libswd.so.0.2"
echo "CUDA, simulated"
bare LD_LIBRARY_PATH="$simulator" "$python" "$root/scripts/wheel_step.py" cuda
