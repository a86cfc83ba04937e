# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Rows of scripts/platforms.sh: other compilers for this machine, musl, and an archive whose objects the linker optimises
# across. The pinned hashes are those that gcc's shared library gives.

compiler() {  # C compiler, C++ compiler
  options+=(-DCMAKE_C_COMPILER="$1" -DCMAKE_CXX_COMPILER="$2" -DSWD_WERROR=ON)
  suite
}

with_examples() {  # they must compile without a warning, too
  scripts/install_deps.sh demo
  options+=(-DSWD_BUILD_EXAMPLES=ON)
  targets+=(swd_quickstart swd_sharded charlm images images_gradient_check)
}

row_gcc_11() {
  scripts/install_deps.sh gcc-11
  with_examples
  compiler gcc-11 g++-11
  what="gcc $(g++-11 -dumpfullversion), the examples, too"
}

row_gcc_12() {
  scripts/install_deps.sh gcc-12
  with_examples
  compiler gcc-12 g++-12
  what="gcc $(g++-12 -dumpfullversion), the examples, too"
}

# Without the examples: the newest clang finds what is deprecated in libstdc++ 12 itself.
row_clang() {
  local newest
  newest=$(apt-cache pkgnames clang- 2> /dev/null | sed -n 's/^clang-\([0-9]*\)$/\1/p' | sort -n | tail -n 1)
  scripts/install_deps.sh "clang-${newest:?no package of clang}"
  compiler "clang-$newest" "clang++-$newest"
  what="clang $("clang++-$newest" -dumpversion), the newest package"
}

row_musl() {
  local version=0.13.0
  tool "ziglang==$version"
  # CMake wants one program.
  for language in cc c++; do
    printf '#!/bin/sh\nexec "%s" -m ziglang %s -target x86_64-linux-musl "$@"\n' "$tools/bin/python" $language > "$build/zig-$language"
    chmod +x "$build/zig-$language"
  done
  local target=(-DCMAKE_C_COMPILER="$build/zig-cc" -DCMAKE_CXX_COMPILER="$build/zig-c++")
  googletest "${target[@]}"
  options+=("${target[@]}" -DBUILD_SHARED_LIBS=OFF -DCMAKE_EXE_LINKER_FLAGS=-static)
  suite
  what="zig cc $version to musl, static"
}

row_static() {
  options+=(-DBUILD_SHARED_LIBS=OFF)
  suite
  what="gcc $(c++ -dumpfullversion), an archive"
}

row_lto() {
  options+=(-DBUILD_SHARED_LIBS=OFF -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON -DCMAKE_POLICY_DEFAULT_CMP0069=NEW)
  suite
  what="gcc $(c++ -dumpfullversion), an archive, optimised by the linker"
}
