#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing need and the machine lacks, with apt-get where that is allowed; else says what is
# missing and fails. Quick when nothing is missing.
#   install_deps.sh              building and testing
#   install_deps.sh demo         also the demo
#   install_deps.sh lint         also the checks of scripts/lint.sh
set -euo pipefail

missing=()
need_command() { command -v "$1" > /dev/null || missing+=("$2"); }
need_file() { compgen -G "$1" > /dev/null || missing+=("$2"); }
need_command g++ g++
need_command cmake cmake
need_command make make
need_command nm binutils
need_command pkg-config pkg-config
need_file '/usr/include/gtest/gtest.h' libgtest-dev
if [ "${1:-}" = demo ]; then
  need_file '/usr/include/eigen3/Eigen/Dense' libeigen3-dev
  need_file '/usr/include/CLI/CLI.hpp' libcli11-dev
  need_file '/usr/lib/python3/dist-packages/matplotlib' python3-matplotlib
  need_file '/usr/lib/python3/dist-packages/tqdm' python3-tqdm
fi
if [ "${1:-}" = lint ]; then
  need_command clang-format clang-format
  need_command clang-tidy clang-tidy
  need_command doxygen doxygen
  need_command shellcheck shellcheck
fi
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
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
