#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced after nvcc.sh by scripts that build the sharded example over NCCL: leaves an NCCL that CMake finds, or says why
# not and returns 1. It is the machine's own; where there is none, the one that NVIDIA publishes on PyPI, installed into
# build/nccl-RELEASE (some 200 MB, once). SWD_NCCL=2.28.9 takes that from PyPI even where the machine has its own.
swd_own_nccl() {
  local root
  for root in "$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")" /usr/local /usr; do
    if [ -e "$root/include/nccl.h" ] && [ -n "$(compgen -G "$root/lib*/libnccl.so"; compgen -G "$root/lib/*/libnccl.so")" ]; then
      return
    fi
  done
  return 1
}

swd_pypi_nccl() {  # release
  local folder=$PWD/build/nccl-$1 nccl
  nccl=$folder/nvidia/nccl
  if [ ! -e "$nccl/complete" ]; then
    echo "installing NCCL $1 from PyPI into build/nccl-$1"
    /usr/bin/python3 -c 'import ensurepip' 2> /dev/null || scripts/install_deps.sh python || return 1
    rm -rf "$folder"
    /usr/bin/python3 -m venv "$folder.pip" && "$folder.pip/bin/python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder" \
      "nvidia-nccl-cu13==$1" || { echo "NCCL is not here, and PyPI did not give it" >&2; return 1; }
    rm -rf "$folder.pip"
    ln -s libnccl.so.2 "$nccl/lib/libnccl.so"
    touch "$nccl/complete"
  fi
  export NCCL_ROOT=$nccl
}

if [ -n "${SWD_NCCL:-}" ]; then
  swd_pypi_nccl "$SWD_NCCL"
else
  swd_own_nccl || swd_pypi_nccl 2.28.9
fi
