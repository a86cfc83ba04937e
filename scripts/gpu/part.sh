#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one part of gpu.sh, or lists them: part.sh list | part.sh NAME. Its output is the part's log, and what it leaves in
# $figures counts if it passes. Status 0: passed; 77: cannot run here, and the last line says why; else failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
programs=${programs:-build/gpu} figures=${figures:-}
export SWD_TEST_BACKEND=cuda PATH=$PATH:/usr/local/cuda/bin
for folder in /opt/nvidia/nsight-compute/*/; do PATH=$PATH:$folder; done

cannot() {
  echo "cannot run here: $*"
  exit 77
}
needs() { command -v "$1" > /dev/null || cannot "$1 is not installed"; }
needs_program() { [ -x "$programs/$1" ] || cannot "$1 was not built"; }
needs_torch() { python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null || cannot "no python3 with torch on CUDA"; }

# Equal bits first, those that times wait for (gpu.sh) before all else. Then what only a device can say, in the order of its
# worth; the tests that a simulator has passed; last what takes long and may be missed.
list() {
  local file
  printf 'test:%s\n' cuda_equality_test cuda_narrow_test cuda_block8_usual_test
  printf '%s\n' info test:narrow_laws_test test:cuda_conversion_test test:cuda_graph_test overlap wide roof bench \
    bench:states peers peers:148 peers:268435456 peers:narrow train:fp32 train:mixed16 train:compact8 ncu ncu:narrow \
    large:fp32 large:bf16 python overlap_norm nccl sanitizer:{memcheck,racecheck,synccheck,initcheck} \
    sanitizer:{memcheck,racecheck,synccheck,initcheck}:narrow
  for file in "$programs"/*_test; do
    case "$(basename "$file")" in
      cuda_equality_test | cuda_narrow_test | cuda_block8_usual_test | narrow_laws_test) ;;
      cuda_conversion_test | cuda_graph_test | cuda_overlap_test | cpu_* | host_* | simulator_*) ;;
      *) echo "test:$(basename "$file")" ;;
    esac
  done
  printf '%s\n' paper:adams paper:adamw paper:adam bench:all ncu:full experiments paper:long
}

info() {
  needs nvidia-smi
  nvidia-smi || return
  nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current --format=csv
  ldd --version | head -n 1
  command -v ncu compute-sanitizer nvcc python3
  nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr '[:upper:]' '[:lower:]' |
    sed 's/[^a-z0-9]\+/-/g' > "$figures/device"
  echo "commit $(cat "$programs/commit" 2> /dev/null || echo unknown), $(nproc) cores"
  [ -s "$figures/device" ]
}

# shellcheck source=scripts/gpu/tools.sh
. scripts/gpu/tools.sh

# A filter that matches no test and a test that is skipped end well for the program; here they are failures.
all_ran() { ! grep -qF '[  SKIPPED ]' "$1" && grep -qE '^\[  PASSED  \] [1-9]' "$1"; }

gtest() {
  local program=$1 output=$figures/output
  shift
  needs_program "$program"
  "$programs/$program" --gtest_brief=1 "$@" 2>&1 | tee "$output"
  [ "${PIPESTATUS[0]}" -eq 0 ] && all_ran "$output" && rm "$output"
}

# large DTYPE BYTES: elements past 2^32 if the memory holds them at so many bytes each, else past 2^31.
large() {
  local elements free
  needs_program cuda_large
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

# A case that lacks memory is no failure; any other that did not run is.
bench() {  # name of the JSON, options
  local json=$figures/$1
  shift
  needs_program bench_step
  "$programs/bench_step" --backend=cuda "$@" --benchmark_out="$json" --benchmark_out_format=json \
    --benchmark_context=commit="$(cat "$programs/commit" 2> /dev/null || echo unknown)" || return
  if grep '"error_message"' "$json" | grep -v ' MiB are available'; then return 1; fi
  echo "$(grep -c '"ratio_to_roof"' "$json") cases against their roofs"
  grep -q '"ratio_to_roof"' "$json"
}

roof() {
  needs_program bench_step
  "$programs/bench_step" --backend=cuda --roof=28 | tee "$figures/roof.txt"
}

# The package without an installation: a copy, so that the tree stays as it is.
python_package() {  # folder
  mkdir -p "$1"
  cp -r bindings/python/swd "$1/"
  mkdir -p "$1/swd/lib"
  cp -L "$programs"/libswd.so.* "$programs"/libcudart.so.* "$1/swd/lib/"
}

# The bindings on PyTorch's own device memory, streams and graphs.
python() {
  local site=$figures/site
  needs_torch
  python3 -c 'import pytest' || cannot "no pytest"
  python_package "$site"
  # Another PyTorch than ours may warn of other things.
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$site python3 -m pytest -q --maxfail=10 -c bindings/python/pytest.ini \
    --rootdir bindings/python -p no:cacheprovider -W default -m cuda bindings/python/tests || return
  rm -r "$site"
}

overlap_norm() { # backward and step of transformer blocks, without and with the first pass in backward's hooks
  needs_torch
  python_package "$figures/site"
  PYTHONPATH=$figures/site python3 bench/overlap_norm.py --device cuda > "$figures/overlap_norm.txt" && rm -r "$figures/site"
}

# Those on narrow states are a part of their own: one of them compiles its step, which takes its time.
narrow='8bit|flashoptim'
peers() {  # name of the JSON, options
  local json=$figures/$1
  shift
  needs_torch
  python3 bench/peers/run.py --library "$programs/libswd.so" --backend cuda --json "$json" "$@"
}

# 100 M parameters on the text of this repository, the same batches for each way to store the state; a part each, as one is
# cut off after a few minutes. At home: experiments/text/report.py bench/results/GPU/gpu-train-*.json
train() {
  needs_torch
  python3 experiments/text/train.py --library "$programs/libswd.so" --device cuda --methods "$1" --seeds 0:1 --width 832 \
    --layers 12 --heads 13 --context 256 --batch 32 --steps 400 --lr 6e-4 --results "$figures/train-$1.json"
}

# The paper's ResNet18 on Fashion-MNIST: a few epochs of each method. `long` has the paper's 200, in turns of an epoch,
# for $SWD_GPU_LONG_SECONDS; called again by name on the same machine it goes on, as checkpoints stay there.
paper() {  # method, or long
  local site=$figures/site data=$programs/fashion-mnist output=$programs/paper begun=$SECONDS method
  needs_torch
  [ -d "$data" ] || cannot "Fashion-MNIST was not carried: --build takes it from Debian's package, where that is installed"
  python_package "$site"
  train_paper() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$site python3 experiments/paper/train.py --data "$data" --output "$output" "$@"
  }
  if [ "$1" != long ]; then
    train_paper --method "$1" --epochs 5 || return
    cp "$output"/*-5-"$1"-0.json "$figures/"
  else
    while [ $((SECONDS - begun)) -lt "${SWD_GPU_LONG_SECONDS:-120}" ]; do
      for method in adams adamw adam; do train_paper --method $method --epochs 200 --stop-after 1 || return; done
    done
    cp "$output"/*-200-*.json "$figures/"
  fi
  rm -r "$site"
}

experiments() {
  compgen -G "$programs/variants/*/libswd.so.*" > /dev/null || cannot "no variants were built"
  scripts/gpu/variants.sh --measure > "$figures/variants.txt"
  local status=$?
  cat "$figures/variants.txt"
  return $status
}

case "$1" in
  list) list ;;
  info) info ;;
  test:*) gtest "${1#test:}" ;;
  overlap) gtest cuda_overlap_test ;;
  wide) SWD_TEST_WIDE=1 gtest cuda_equality_test --gtest_filter='*wide_*' ;;
  roof) roof ;;
  bench) bench step.json --quick --benchmark_filter=/states:fp32/ ;;  # narrow ones are a part of their own
  bench:states) bench step-states.json --benchmark_filter='^(update|step)/.*/states:(master16|mixed16|compact8|tiny8)/' ;;
  bench:all) bench step-all.json ;;
  peers) peers peers.json --only "^(?!.*($narrow))" ;;
  peers:narrow) peers peers-narrow.json --only "$narrow" ;;
  peers:148) peers peers-148.json --tensors 148 --elements 124439808 ;;  # GPT-2
  peers:*) peers "peers-${1#peers:}.json" --elements "${1#peers:}" --only "^(?!.*($narrow))" ;;
  train:*) train "${1#train:}" ;;
  paper:*) paper "${1#paper:}" ;;
  ncu) counters detailed ncu ;;
  ncu:narrow) narrow_counters ;;
  ncu:full) counters full ncu-full ;;
  large:fp32) large 1 16 ;;
  large:bf16) large 2 14 ;;
  python | overlap_norm) "$1" ;;
  nccl) scripts/gpu/nccl.sh "$programs/swd_sharded_nccl" "$figures/nccl.txt" ;;
  sanitizer:*) sanitizer "${1#sanitizer:}" ;;
  experiments) experiments ;;
  *)
    echo "no such part: $1"
    exit 2
    ;;
esac
