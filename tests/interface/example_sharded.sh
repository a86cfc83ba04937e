#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The sharded example gives the same training for one, two and three ranks, and for a checkpoint of three ranks that two
# ranks go on with. Registered by examples.cmake. Usage: example_sharded.sh PROGRAM [MPIEXEC]
set -euo pipefail
program=$1
mpiexec=${2:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

run() {  # RANKS STEPS [SAVE [LOAD]]
  if [ -z "$mpiexec" ]; then
    "$program" "$@"
  else
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
      PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe \
      "$mpiexec" -n "$1" "$program" 0 "${@:2}"
  fi
}

# Gradients are summed in another order for each number of ranks, so the numbers agree in five digits, not in all bits.
expect_close() {  # NAME: compares $folder/NAME with the run of one rank
  paste "$folder/whole" "$folder/$1" | awk -v name="$1" '
    function far(a, b) { return a - b > 1e-4 * b || b - a > 1e-4 * b }
    { print name ": " $0; exit far($2, $11) || far($5, $14) || far($7, $16) || $9 != $18 || $9 != 200 }' ||
    { echo "$1 differs from the run of one rank" >&2; exit 1; }
}

run 1 200 > "$folder/whole"
for ranks in 2 3; do
  run $ranks 200 > "$folder/$ranks"
  expect_close $ranks
done
if [ -z "$mpiexec" ]; then  # 27 slices of 20 elements cover 520: the last rank holds nothing
  run 27 200 > "$folder/27"
  expect_close 27
fi
run 3 120 "$folder/checkpoint" > /dev/null
run 2 80 /dev/null "$folder/checkpoint" > "$folder/resumed"
expect_close resumed
