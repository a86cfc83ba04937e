# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Rows of scripts/platforms.sh: the same bytes from another folder; the oldest CMake that CMakeLists.txt names and the
# newest on PyPI.

row_same_bytes() {
  local folder
  # Without CUDA: nvcc puts a hash of a source's whole path into the names of what is local to it.
  for folder in here elsewhere/deeper; do
    rm -rf "${build:?}/$folder"
    mkdir -p "$build/$folder/tree"
    git ls-files -z CMakeLists.txt cmake include src | xargs -0 cp --parents -t "$build/$folder/tree"
    quietly "$build/configure.log" cmake -S "$build/$folder/tree" -B "$build/$folder/build" -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF \
      -DSWD_BUILD_EXAMPLES=OFF -DSWD_CUDA=OFF -DCMAKE_CXX_COMPILER_LAUNCHER=
    quietly "$build/build.log" cmake --build "$build/$folder/build" -j "$jobs" --target swd
  done
  cmp "$build/here/build/libswd.so" "$build/elsewhere/deeper/build/libswd.so"
  what="libswd.so without CUDA, built in two folders by gcc $(c++ -dumpfullversion)"
  tested="equal bytes"
}

cmake_of() {  # version or nothing for the newest
  tool "cmake${1:+==}${1:-}"
  cmake=$tools/bin/cmake
  options+=(-DPython3_EXECUTABLE=/usr/bin/python3)  # 3.24 takes no wrapper of pyenv for one
  suite
  what="CMake $("$cmake" --version | sed -n 's/cmake version //p')"
}

row_cmake_oldest() { cmake_of 3.24.0; }
row_cmake_newest() { tool --upgrade cmake; cmake_of; }
