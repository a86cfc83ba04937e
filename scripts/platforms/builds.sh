# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Rows of scripts/platforms.sh: the same bytes from another build; the newest nvcc; the oldest CMake that CMakeLists.txt
# names and the newest on PyPI.

library_in() {  # folder, cmake arguments...: builds libswd.so there, from a copy of the sources
  local folder=$build/$1
  shift
  rm -rf "$folder"
  mkdir -p "$folder/tree"
  git ls-files -z CMakeLists.txt cmake include src | xargs -0 cp --parents -t "$folder/tree"
  quietly "$build/configure.log" cmake -S "$folder/tree" -B "$folder/build" -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_BENCH=OFF \
    -DSWD_BUILD_EXAMPLES=OFF -DCMAKE_CXX_COMPILER_LAUNCHER= -DCMAKE_CUDA_COMPILER_LAUNCHER= "$@"
  quietly "$build/build.log" cmake --build "$folder/build" -j "$jobs" --target swd
}

row_same_bytes() {
  library_in here -DSWD_CUDA=OFF
  library_in elsewhere/deeper -DSWD_CUDA=OFF
  cmp "$build/here/build/libswd.so" "$build/elsewhere/deeper/build/libswd.so"
  what="libswd.so without CUDA, built in two folders by gcc $(c++ -dumpfullversion)"
  tested="equal bytes"
}

row_same_bytes_cuda() {
  . scripts/nvcc.sh
  local settings=(-DSWD_CUDA=ON "-DSWD_CUDA_ARCHITECTURES=75-virtual;90-real")
  library_in here "${settings[@]}"
  library_in elsewhere/deeper "${settings[@]}"
  cmp "$build/here/build/libswd.so" "$build/elsewhere/deeper/build/libswd.so"
  what="libswd.so with CUDA, built in two folders by nvcc $(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')"
  tested="equal bytes"
}

# The newest release that scripts/nvcc.sh knows; the usual tests run by 13.0.
row_nvcc_newest() {
  export SWD_NVCC=13.5
  . scripts/nvcc.sh
  unset SWD_NVCC
  library_in here -DSWD_CUDA=ON "-DSWD_CUDA_ARCHITECTURES=75-virtual;90-real;90-virtual" -DSWD_WERROR=ON
  what="nvcc $(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p'), for sm_90, and PTX"
  tested="compiled without a warning"
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
