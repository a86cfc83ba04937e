#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one part of gpu.sh, or lists them: part.sh list | part.sh NAME. Its output is the part's log. Status 0: passed;
# 77: cannot run here, and the last line says why; else failed. gpu.sh sets the folders, and `simulated` if there is no
# real device.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
run=${run:?} programs=${programs:?} tests=${tests:?} simulated=${simulated-}
export SWD_TEST_BACKEND=cuda

cannot() {
  echo "cannot run here: $*"
  exit 77
}
needs() { command -v "$1" > /dev/null || cannot "$1 is not installed"; }
needs_device() { [ -z "$simulated" ] || cannot "needs a real device"; }

# Equal bits first: nothing else matters without them.
list() {
  echo info
  printf 'test:%s\n' cuda_equality_test cuda_conversion_test
  local file
  for file in "$tests"/*_test; do
    case "$(basename "$file")" in
      cuda_equality_test | cuda_conversion_test | cpu_* | host_* | simulator_*) ;;
      *) echo "test:$(basename "$file")" ;;
    esac
  done
  printf '%s\n' large:fp32 large:bf16 bench peers ncu
  printf 'sanitizer:%s\n' memcheck racecheck synccheck initcheck
}

info() {
  if [ -z "$simulated" ]; then nvidia-smi || return; fi
  echo "commit $(cat "$programs/commit" 2> /dev/null || git rev-parse --short HEAD), $(nproc) cores"
}

# large DTYPE BYTES: elements past 2^32 if the memory holds them at so many bytes each, else past 2^31.
large() {
  local elements free
  if [ -n "$simulated" ]; then
    "$tests/large/cuda_large" 3000000 "$1"
    return
  fi
  free=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits | head -n 1)
  for elements in $(((1 << 32) + (1 << 23))) $(((1 << 31) + (1 << 23))); do
    if [ $((elements * $2 / 1048576 + 1024)) -le "$free" ]; then
      "$programs/cuda_large" "$elements" "$1"
      return
    fi
    echo "$elements elements of $2 bytes do not fit into $free MiB"
  done
  cannot "too little memory"
}

bench() {
  needs_device
  [ -x "$programs/bench_step" ] || cannot "bench_step was not built"
  "$programs/bench_step" --backend=cuda --quick --benchmark_out="$run/step.json" --benchmark_out_format=json \
    --benchmark_context=commit="$(cat "$programs/commit")"
}

peers() {
  needs_device
  [ -f bench/peers/run.py ] || cannot "bench/peers is not here"
  python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null || cannot "no python3 with torch on CUDA"
  python3 bench/peers/run.py --library "$programs/libswd.so" --backend cuda --quick --json "$run/peers.json"
}

# The first step of 2^28 elements; its first reduction is one that the test makes for itself.
counters() {
  needs_device
  needs ncu
  local metrics=gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum
  metrics+=,dram__throughput.avg.pct_of_peak_sustained_elapsed,lts__t_sectors_op_read.sum,lts__t_sectors_op_write.sum
  metrics+=,sm__inst_executed.sum,sm__inst_executed.avg.per_cycle_active,launch__registers_per_thread
  metrics+=,sm__warps_active.avg.pct_of_peak_sustained_active,smsp__inst_executed_op_local_ld.sum
  ncu --clock-control none --csv --page raw --kernel-name 'regex:reduce_kernel|update_kernel' --launch-skip 1 \
    --launch-count 2 --metrics "$metrics" --log-file "$run/ncu.csv" "$programs/cuda_large" 268435456 1 || return
  cat "$run/ncu.csv"
  grep -q update_kernel "$run/ncu.csv"
}

sanitizer() {
  needs_device
  needs compute-sanitizer
  local options=()
  if [ "$1" = memcheck ]; then options=(--leak-check full); fi
  compute-sanitizer --tool "$1" "${options[@]}" --error-exitcode 1 "$tests/cuda_equality_test" \
    --gtest_filter="-*deep_tree:*many_segments"
}

case "$1" in
  list) list ;;
  info) info ;;
  test:*) "$tests/${1#test:}" --gtest_brief=1 ;;
  large:fp32) large 1 16 ;;
  large:bf16) large 2 14 ;;
  bench) bench ;;
  peers) peers ;;
  ncu) counters ;;
  sanitizer:*) sanitizer "${1#sanitizer:}" ;;
  *)
    echo "no such part: $1"
    exit 2
    ;;
esac
