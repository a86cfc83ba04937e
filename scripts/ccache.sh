# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced: a compiler cache of this clone alone, empty at first. The library is built some ten times for tests, wheels,
# crates and users; what was compiled once is not compiled again. Without ccache all works, and takes longer.
# The same file has the same command in each of these builds only while these do not ask for other warnings, compilers or
# generators: that is why test_python.sh, test_rust.sh and test_linking.sh ask for those of test.sh.
scripts/install_deps.sh ccache || echo "without ccache each build of the library takes its full time" >&2
if command -v ccache > /dev/null; then
  # Absolute paths stay as they are: they are those of this clone in every build, and relative ones are not.
  export CCACHE_DIR=$PWD/build/ccache CCACHE_NOHASHDIR=1
  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
  unset CCACHE_BASEDIR
fi
