#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The sharded example over NCCL: one rank has the bits of swd_step, and a rank on each device trains as one does. Over a
# stand-in for NCCL where the devices are simulated. Registered by examples.cmake; on a device a part of scripts/gpu.sh.
# Usage: example_sharded_nccl.sh PROGRAM [STAND_IN_DIR [PROGRAM_ON_THE_CPU]]
set -euo pipefail
program=$1 stand_in=${2:-} steps=200
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
case $(ldd "$program" 2> /dev/null || true) in
  *libcudart*cudasim/*)
    echo "simulated devices, and a stand-in for NCCL"
    steps=60
    export CUDASIM_DEVICES=3 LD_LIBRARY_PATH=$stand_in:$LD_LIBRARY_PATH
    ;;
esac

# Gradients are summed in another order for each number of ranks, so the numbers agree in five digits, not in all bits.
expect_close() {  # NAME: compares the first line of $folder/NAME with that of the run that is not sharded
  paste <(head -n 1 "$folder/whole") <(head -n 1 "$folder/$1") | awk -v name="$1" -v steps="$steps" '
    function far(a, b) { return a - b > 1e-4 * b || b - a > 1e-4 * b }
    { print name ": " $0; exit far($2, $11) || far($5, $14) || far($7, $16) || $9 != $18 || $9 != steps }' ||
    { echo "$1 differs from the run that is not sharded" >&2; exit 1; }
}

"$program" "$steps" whole > "$folder/whole"
"$program" "$steps" 1 > "$folder/1"
cmp <(head -n 2 "$folder/whole") <(head -n 2 "$folder/1") || { cat "$folder"/*; echo "one rank has other bits than swd_step" >&2; exit 1; }
cat "$folder/1"
"$program" "$steps" > "$folder/all"
tail -n 1 "$folder/all"
expect_close all
if [ -n "${3:-}" ]; then
  "$3" 1 "$steps" > "$folder/cpu"
  expect_close cpu
fi
