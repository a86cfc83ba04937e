#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts that build with CUDA: leaves an nvcc on PATH that CMake finds, or says why not and returns 1. It is the
# machine's own; where there is none, or one older than 13 and no device that might need it, the one that NVIDIA publishes
# on PyPI, installed into build/nvcc-RELEASE (some 300 MB, once; x86-64 only).
# SWD_NVCC=13.0 or 13.5 takes that release from PyPI even where the machine has its own. 13.0 is the default because every
# driver for CUDA 13 takes its PTX; older ones refuse that of 13.5.
swd_own_nvcc() {
  local found release
  found=$(command -v "${CUDACXX:-nvcc}" || command -v /usr/local/cuda/bin/nvcc) || return 1
  release=$("$found" --version 2> /dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  [ "${release:-0}" -ge 13 ] || [ -e /dev/nvidiactl ] || return 1
  found=$(readlink -f "$found")
  [ "$found" = "$(readlink -f "$(command -v nvcc)")" ] || PATH=$(dirname "$found"):$PATH
}

swd_pypi_nvcc() {  # release
  local folder=$PWD/build/nvcc-$1 cuda packages
  cuda=$folder/nvidia/cu13
  case $1 in
    13.0) packages=(nvcc==13.0.88 crt==13.0.88 runtime==13.0.96 cccl==13.0.85) ;;
    13.5) packages=(nvcc==13.5.37 crt==13.5.37 runtime==13.5.37 cccl==13.3.5.0.6) ;;
    *) echo "nvcc.sh: no release $1" >&2; return 1 ;;
  esac
  [ "$(uname -m)" = x86_64 ] || { echo "no nvcc here, and PyPI's is for x86-64" >&2; return 1; }
  if [ ! -e "$cuda/complete" ]; then
    echo "installing nvcc $1 from PyPI into build/nvcc-$1"
    /usr/bin/python3 -c 'import ensurepip' 2> /dev/null || scripts/install_deps.sh python || return 1
    rm -rf "$folder"
    /usr/bin/python3 -m venv "$folder.pip" && "$folder.pip/bin/python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder" \
      "${packages[@]/#/nvidia-cuda-}" "nvidia-nvvm==${packages[0]#nvcc==}" || { echo "nvcc is not here, and PyPI did not give it" >&2; return 1; }
    rm -rf "$folder.pip"
    # The two names by which CMake and nvcc's own profile look for the runtime.
    ln -s lib "$cuda/lib64"
    ln -s libcudart.so.13 "$cuda/lib/libcudart.so"
    touch "$cuda/complete"
  fi
  PATH=$cuda/bin:$PATH
  export CUDACXX=$cuda/bin/nvcc CUDAToolkit_ROOT=$cuda
}

# Called by CI after that: leaves an nvdisasm on PATH, which scripts/ptxas_report.py needs to hold instructions to their
# limits. The machine's, or PyPI's (6 MB).
swd_nvdisasm() {
  local folder=$PWD/build/nvdisasm
  command -v nvdisasm > /dev/null && return
  if [ ! -e "$folder/nvidia/cu13/bin/nvdisasm" ]; then
    /usr/bin/python3 -c 'import ensurepip' 2> /dev/null || scripts/install_deps.sh python || return 1
    /usr/bin/python3 -m venv "$folder.pip" && "$folder.pip/bin/python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder" \
      nvidia-cuda-nvdisasm==13.2.51 || { echo "nvdisasm is not here, and PyPI did not give it" >&2; return 1; }
    rm -rf "$folder.pip"
  fi
  PATH=$folder/nvidia/cu13/bin:$PATH
}

if [ -n "${SWD_NVCC:-}" ]; then
  swd_pypi_nvcc "$SWD_NVCC"
else
  swd_own_nvcc || swd_pypi_nvcc 13.0
fi
