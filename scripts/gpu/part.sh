#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one part of gpu.sh, or lists them: part.sh list | part.sh NAME. Its output is the part's log. Status 0: passed;
# 77: cannot run here, and the last line says why; else failed. gpu.sh sets the folders, and `simulated` if there is no
# real device.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
run=${run:?} programs=${programs:?} tests=${tests:?} simulated=${simulated-}
export SWD_TEST_BACKEND=cuda PATH=$PATH:/usr/local/cuda/bin:/opt/nvidia/nsight-compute/2025.3.1

cannot() {
  echo "cannot run here: $*"
  exit 77
}
needs() { command -v "$1" > /dev/null || cannot "$1 is not installed"; }
needs_device() { [ -z "$simulated" ] || cannot "needs a real device"; }

# Equal bits first: nothing else matters without them. Then what only a device can say, in the order of its worth; last
# the tests that the simulator has passed.
list() {
  echo info
  printf 'test:%s\n' cuda_equality_test cuda_conversion_test cuda_graph_test cuda_overlap_test
  printf '%s\n' wide roof bench peers ncu large:fp32 large:bf16 python
  printf 'sanitizer:%s\n' memcheck racecheck synccheck initcheck
  local file
  for file in "$tests"/*_test; do
    case "$(basename "$file")" in
      cuda_* | cpu_* | host_* | simulator_*) ;;
      *) echo "test:$(basename "$file")" ;;
    esac
  done
}

info() {
  if [ -z "$simulated" ]; then
    nvidia-smi || return
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current --format=csv
    ldd --version | head -n 1
    command -v ncu compute-sanitizer nvcc python3
  fi
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
  # Half a file of a run that was cut off is no result.
  "$programs/bench_step" --backend=cuda --quick --benchmark_out="$run/step.partial" --benchmark_out_format=json \
    --benchmark_context=commit="$(cat "$programs/commit")" && mv "$run/step.partial" "$run/step.json"
}

roof() {
  needs_device
  [ -x "$programs/roof_lab" ] || cannot "roof_lab was not built"
  "$programs/roof_lab" "${SWD_ROOF_POWER:-28}" > "$run/roof.txt" && cat "$run/roof.txt"
}

# The bindings on PyTorch's own device memory, streams and graphs.
python() {
  needs_device
  [ -d bindings/python ] || cannot "bindings/python is not here"
  python3 -c 'import torch, pytest; assert torch.cuda.is_available()' 2> /dev/null || cannot "no torch on CUDA, or no pytest"
  cp "$(readlink -f "$programs/libswd.so")" bindings/python/swd/libswd.so
  PYTHONPATH=bindings/python python3 -m pytest -q -x -c bindings/python/pytest.ini --rootdir bindings/python \
    -p no:cacheprovider -W default -m cuda bindings/python/tests
}

peers() {
  needs_device
  [ -f bench/peers/run.py ] || cannot "bench/peers is not here"
  python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null || cannot "no python3 with torch on CUDA"
  local run_peers=(python3 bench/peers/run.py --library "$programs/libswd.so" --backend cuda --rounds 25)
  "${run_peers[@]}" --json "$run/peers.json" || return
  "${run_peers[@]}" --tensors 148 --elements 124439808 --json "$run/peers-148.json" || return
  "${run_peers[@]}" --elements 268435456 --json "$run/peers-268435456.json"
}

# The first step of 2^28 elements; its first reduction is one that the test makes for itself.
counters() {
  needs_device
  needs ncu
  local metrics=gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum
  metrics+=,dram__throughput.avg.pct_of_peak_sustained_elapsed,lts__t_sectors_op_read.sum,lts__t_sectors_op_write.sum
  metrics+=,sm__inst_executed.sum,sm__inst_executed.avg.per_cycle_active,launch__registers_per_thread
  metrics+=,sm__warps_active.avg.pct_of_peak_sustained_active
  local profile=(ncu --clock-control none --kernel-name "regex:reduce_kernel|update_kernel" --launch-skip 1
    --launch-count 2)
  local program=("$programs/cuda_large" 268435456 1)
  # Everything, for reading at home: stalls, source lines. By sections, which leave out what this ncu does not know.
  "${profile[@]}" --set full --import-source no --force-overwrite -o "$run/ncu" "${program[@]}" > "$run/ncu-full.log" 2>&1
  "${profile[@]}" --csv --page raw --metrics "$metrics" --log-file "$run/ncu.csv" "${program[@]}" || return
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
  test:cuda_overlap_test)
    [ -n "$simulated" ] || export SWD_OVERLAP_STEPS=20000
    "$tests/cuda_overlap_test" --gtest_brief=1
    ;;
  test:*) "$tests/${1#test:}" --gtest_brief=1 ;;
  wide)
    needs_device
    SWD_TEST_WIDE=1 "$tests/cuda_equality_test" --gtest_brief=1 --gtest_filter='*wide_*'
    ;;
  roof) roof ;;
  python) python ;;
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
