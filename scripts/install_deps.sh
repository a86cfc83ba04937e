#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed and the machine lacks, with apt-get where that is allowed; else says what is missing and fails.
# Quick when nothing is missing. Usage: install_deps.sh [TOPIC...]; building and testing are always meant.
# Topics: demo, fashion-mnist, text, lint, fuzz, sanitize, coverage, abi, bench, python, test, ccache, docs, packages, bare-root;
# i686, aarch64, googletest, gcc-N, clang-N (scripts/platforms.sh).
set -euo pipefail

missing=()
need_command() { command -v "$1" > /dev/null || missing+=("$2"); }
need_file() { compgen -G "$1" > /dev/null || missing+=("$2"); }
need_module() { /usr/bin/python3 -c "import $1" 2> /dev/null || missing+=("$2"); }
need_command g++ g++
need_command cmake cmake
need_command make make
need_command nm binutils
need_command pkg-config pkg-config
need_file '/usr/include/gtest/gtest.h' libgtest-dev
need_file /usr/bin/python3 python3
need_module pycparser python3-pycparser
for topic in "$@"; do
  case $topic in
    demo)
      need_file '/usr/include/eigen3/Eigen/Dense' libeigen3-dev
      need_file '/usr/include/CLI/CLI.hpp' libcli11-dev
      need_file '/usr/include/zlib.h' zlib1g-dev
      need_module matplotlib python3-matplotlib
      need_module tqdm python3-tqdm
      ;;
    fashion-mnist) need_file /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz dataset-fashion-mnist ;;
    text) need_command bible bible-kjv ;;  # experiments/text
    lint)
      need_command clang-format clang-format
      need_command clang-tidy clang-tidy
      need_command doxygen doxygen
      need_command shellcheck shellcheck
      ;;
    fuzz)
      need_command clang++ clang
      need_file '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*' libclang-rt-14-dev
      ;;
    sanitize) need_command valgrind valgrind ;;
    ccache) need_command ccache ccache ;;
    coverage) need_command gcovr gcovr ;;
    abi) need_command abidiff abigail-tools ;;
    bench)
      need_file '/usr/include/benchmark/benchmark.h' libbenchmark-dev
      need_module matplotlib python3-matplotlib
      ;;
    test)  # a second compiler for the header, ranks for the sharded example
      need_command clang clang
      need_command mpicc libopenmpi-dev
      need_command mpiexec openmpi-bin
      ;;
    googletest) need_file /usr/src/googletest/CMakeLists.txt googletest ;;  # its sources, for other processors
    clang-*) need_command "$topic" "$topic" ;;
    gcc-*)
      need_command "$topic" "$topic"
      need_command "g++-${topic#gcc-}" "g++-${topic#gcc-}"
      ;;
    i686 | aarch64)
      need_command "$topic-linux-gnu-g++" "g++-$topic-linux-gnu"
      if [ "$topic" = aarch64 ]; then need_command qemu-aarch64 qemu-user; fi
      ;;
    python) need_module ensurepip python3-venv ;;
    packages)
      need_command lintian lintian
      need_command dpkg-shlibdeps dpkg-dev
      ;;
    docs) need_command doxygen doxygen ;;
    bare-root) need_command debootstrap debootstrap ;;
    *) echo "install_deps.sh: no topic $topic" >&2; exit 2 ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

run=()
if [ "$(id -u)" -ne 0 ]; then
  if sudo -n true 2> /dev/null; then
    run=(sudo -n)
  else
    echo "missing, and this user may not install: ${missing[*]}" >&2
    exit 1
  fi
fi
if ! command -v apt-get > /dev/null; then
  echo "missing, and there is no apt-get here: ${missing[*]}" >&2
  exit 1
fi
echo "installing: ${missing[*]}"
# apt-get does not wait for another one, and scripts run beside each other.
if command -v flock > /dev/null; then
  exec 9> "${TMPDIR:-/tmp}/libswd-apt-$(id -u).lock"
  flock 9
fi
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
