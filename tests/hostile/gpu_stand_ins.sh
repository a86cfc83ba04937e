#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tools and programs of a device for tests/hostile/gpu_rehearsal.sh, which sources it: small ones in $work/bin and $work/gpu
# around what is quick under a simulated runtime in $build.
# shellcheck disable=SC2154  # work and build are the rehearsal's

# A stand-in notes that it was called; the rest is its own. WORK/NAME is a file that a scene makes to have it misbehave.
stand_in() {
  { printf '#!/usr/bin/env bash\necho "%s $*" >> "$WORK/calls"\n' "$(basename "$1")"; cat; } > "$1"
  chmod +x "$1"
}

# ---- Tools ----
stand_in "$work/bin/nvidia-smi" << 'END'
case "$*" in
  *memory.free*) echo 81000 ;;
  --query-gpu=name*noheader*) echo "NVIDIA Stand-in 80GB" ;;
  *) echo "NVIDIA-SMI" ;;
esac
END
stand_in "$work/bin/ncu" << 'END'
while [ $# -gt 0 ]; do
  case $1 in
    --import)
      [ -f "$2" ] && echo '"reduce_kernel","update_kernel<'"$(basename "$2" .ncu-rep | sed 's/.*narrow/NarrowItem/; s/^ncu.*/WideItem/')"'>"'
      exit
      ;;
    --export) report=$2 ;;
  esac
  shift
done
if [ -f "$WORK/hang" ]; then
  echo half > "$report.ncu-rep"
  echo $$ > "$WORK/hanging"
  exec sleep 60
fi
if [ -f "$WORK/no_counters" ]; then
  echo "==ERROR== ERR_NVGPUCTRPERM"
  exit 1
fi
echo whole > "$report.ncu-rep"
END
stand_in "$work/bin/compute-sanitizer" << 'END'
if [ -f "$WORK/race" ] && [ "$2" = racecheck ]; then
  echo "========= ERROR SUMMARY: 1 error"
  exit 1
fi
if [ -f "$WORK/gives_up" ]; then exit; fi
echo "[  PASSED  ] 12 tests."
if [ "$2" = racecheck ]; then
  echo "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
else
  echo "========= ERROR SUMMARY: 0 errors"
fi
END
stand_in "$work/bin/ldd" << 'END'
case "$*" in
  *swd_sharded_nccl) [ ! -f "$WORK/no_nccl" ] || echo "libnccl.so.2 => not found" ;;
  *) exec /usr/bin/ldd "$@" ;;
esac
END
stand_in "$work/bin/python3" << 'END'
case "$*" in
  *"import nvidia.nccl"*) [ -f "$WORK/torch_nccl" ] && echo "$WORK/torch_nccl" ;;
  *"import torch"* | *"import pytest"*) [ ! -f "$WORK/no_torch" ] ;;
  *"-m pytest"*) echo "50 passed" ;;
  *bench/peers/run.py*)
    while [ "$1" != --json ]; do shift; done
    echo '{"peers": []}' > "$2"
    ;;
  *bench/overlap_norm.py*) echo "both plain 1.0 overlap 1.0" ;;
  *experiments/text/train.py*)
    while [ "$1" != --results ]; do shift; done
    echo '{"runs": []}' > "$2"
    ;;
  *experiments/paper/train.py*)
    [ -f "$PYTHONPATH/swd/torch/__init__.py" ] && [ -f "$3/t10k-labels-idx1-ubyte.gz" ] || exit 1
    # --data DIR --output FOLDER --method METHOD --epochs EPOCHS
    mkdir -p "$5"
    echo '{"history": []}' > "$5/fashion-mnist-resnet18-64-$9-$7-0.json"
    ;;
  *) exec /usr/bin/python3 "$@" ;;
esac
END
export PATH=$work/bin:$PATH

# ---- Programs: the real ones where they are quick under a simulated runtime ----
for name in cuda_conversion_test skip_test; do ln -s "$build/tests/$name" "$work/gpu/"; done
cp -P "$build"/libswd.so* "$work/gpu/"
mkdir "$work/gpu/fashion-mnist"
touch "$work/gpu/fashion-mnist/t10k-labels-idx1-ubyte.gz"
touch "$work/gpu/libcudart.so.13" # the one on LD_LIBRARY_PATH is loaded
stand_in "$work/gpu/cuda_equality_test" << 'END'
if [ -f "$WORK/wrong_bits" ] || [[ ${LD_LIBRARY_PATH:-} = *variants/wrong* ]]; then
  echo "[  FAILED  ] 1 test, listed below:"
  exit 1
fi
filter=*sizes
if [ -n "${SWD_TEST_WIDE:-}" ]; then filter=*$(cat "$WORK/wide" 2> /dev/null || echo amsgrad_pieces); fi
exec "$REAL/tests/cuda_equality_test" --gtest_brief=1 --gtest_filter="$filter"
END
stand_in "$work/gpu/cuda_narrow_test" <<< '[ ! -f "$WORK/wrong_narrow" ] && echo "[  PASSED  ] 2 tests."'
stand_in "$work/gpu/cuda_block8_usual_test" <<< '[ ! -f "$WORK/wrong_block8" ] && echo "[  PASSED  ] 4 tests."'
stand_in "$work/gpu/narrow_laws_test" <<< 'echo "[  PASSED  ] 5 tests."'
stand_in "$work/gpu/cuda_overlap_test" <<< 'echo "[  PASSED  ] 1 test."'
stand_in "$work/gpu/cuda_graph_test" <<< 'echo "[  PASSED  ] 3 tests."'
stand_in "$work/gpu/cuda_large" <<< 'echo "$1 elements"'
stand_in "$work/gpu/bench_step" << 'END'
if [ -x "$REAL/bench/bench_step" ]; then
  exec "$REAL/bench/bench_step" "${@/--roof=*/--roof=10}" --trial --benchmark_filter='step/cuda/(1000|1024)/.*cache:warm'
fi
for argument in "$@"; do
  case $argument in --benchmark_out=*) out=${argument#*=} ;; esac
done
row='{"benchmarks": [{"name": "step/cuda/1000/grad:f32", "median_us": 1, "GB_per_s": 1, "ratio_to_roof": 1}]}'
if [ -n "${out:-}" ]; then echo "$row" > "$out"; else echo "$row"; fi
END
stand_in "$work/gpu/swd_sharded_nccl" << 'END'
if [ -f "$WORK/no_nccl" ] && [[ ${LD_LIBRARY_PATH:-} != "$WORK/torch_nccl/lib:"* ]]; then exit 127; fi
if [ -f "$WORK/wrong_rank" ] && [ "${2:-}" = 1 ]; then echo "loss 2"; fi
if [ -x "$REAL/examples/swd_sharded_nccl" ]; then
  exec env CUDASIM_DEVICES=2 LD_LIBRARY_PATH="$REAL/nccl_stand_in:$LD_LIBRARY_PATH" "$REAL/examples/swd_sharded_nccl" "$@"
fi
echo "loss 1   gradient norm 1   vbar 1   steps $1"
END
soname=$(readelf -d "$build/libswd.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
for name in as_is wrong; do
  mkdir -p "$work/gpu/variants/$name"
  cp -L "$build/libswd.so" "$work/gpu/variants/$name/$soname"
done
