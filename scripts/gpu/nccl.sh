#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The part `nccl` of gpu.sh: the sharded example with a rank on each device that is here. NCCL is too large to be carried,
# so it is the machine's, or comes with its PyTorch. Status as of part.sh, which calls it: nccl.sh PROGRAM FIGURES
set -uo pipefail
program=$1 figures=$2

cannot() {
  echo "cannot run here: $*"
  exit 77
}

[ -x "$program" ] || cannot "$(basename "$program") was not built"
if ldd "$program" 2> /dev/null | grep -q 'libnccl.*not found'; then
  folder=$(python3 -c 'import nvidia.nccl; print(nvidia.nccl.__path__[0])') || cannot "no libnccl.so.2, nor a python3 with nvidia.nccl"
  export LD_LIBRARY_PATH=$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
tests/interface/example_sharded_nccl.sh "$program" 2>&1 | tee "$figures"
