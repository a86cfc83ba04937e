#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that wants a real device, in parts, each with a marker: a run that was cut off goes on where it was.
#
#   gpu.sh --build           where nvcc is: builds into build/gpu, a few MiB to be carried to the device
#   gpu.sh [PART...]         where the device is, without nvcc: the parts without a marker, or the named ones again
#   gpu.sh --list            the parts
#   gpu.sh --simulated DIR [PART...]   the same flow under a simulated runtime in DIR, with the programs of build/test
#
# SWD_GPU_SECONDS (default 520): no part starts later, and each is cut off there. build/gpu/run holds markers, logs and
# JSON; build/gpu/run.tar.gz is the same for the way home, written after every part, also to $OUT where that is set. A
# run.tar.gz in build/gpu resumes: it is unpacked where there is no run. Figures also go to bench/results/<gpu>/. Status
# 0 only if no part failed and none is left; parts that cannot run here say why.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
started=$SECONDS
budget=${SWD_GPU_SECONDS:-520}
export programs=build/gpu tests=build/gpu run=build/gpu/run simulated=""

case "${1:-}" in
  --build) exec scripts/gpu/build.sh ;;
  --list) exec scripts/gpu/part.sh list ;;
  --simulated)
    programs=build/test tests=build/test/tests run=build/gpu-simulated/run simulated=$2
    export LD_LIBRARY_PATH=$simulated
    shift 2
    ;;
esac
if [ ! -x "$tests/cuda_equality_test" ]; then
  echo "$tests has no programs: gpu.sh --build makes them, where nvcc is" >&2
  exit 2
fi

# What a run that is killed leaves behind; $OUT takes eight files.
keep() {
  cat "$run"/*.part > "$run/parts.jsonl" 2> /dev/null
  tar czf "$run.tar.gz" -C "$(dirname "$run")" run
  [ -n "${OUT:-}" ] || return 0
  local file
  for file in "$run.tar.gz" "$run"/{parts.jsonl,step.json,peers.json,roof.txt,ncu.csv,ncu.ncu-rep}; do
    if [ -f "$file" ]; then cp "$file" "$OUT/"; fi
  done
}

left_over=()
run_part() {
  local part=$1 name=${1/:/-} left=$((budget - SECONDS + started)) begun=$SECONDS status code
  rm -f "$run/$name.part"
  code=124
  if [ $left -gt 5 ]; then
    timeout "$left" scripts/gpu/part.sh "$part" > "$run/$name.log" 2>&1
    code=$?
  fi
  case $code in
    0) status=passed ;;
    77) status=unavailable ;;
    124)  # out of time, not wrong: no marker
      left_over+=("$part")
      return
      ;;
    *) status=failed ;;
  esac
  printf '{"part": "%s", "status": "%s", "seconds": %d}\n' "$part" $status $((SECONDS - begun)) > "$run/$name.part"
  keep
  printf '%-30s %-11s %4d s  %s\n' "$part" $status $((SECONDS - begun)) "$(tail -n 1 "$run/$name.log" | cut -c1-70)"
}

if [ ! -d "$run" ] && [ -f "$run.tar.gz" ]; then tar xzf "$run.tar.gz" -C "$(dirname "$run")"; fi
mkdir -p "$run"
if [ $# -gt 0 ]; then
  for part in "$@"; do run_part "$part"; done
else
  for part in $(scripts/gpu/part.sh list); do
    if [ ! -f "$run/${part/:/-}.part" ]; then run_part "$part"; fi
  done
fi

keep
machine=simulated
if [ -z "$simulated" ]; then
  machine=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 |
    tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9]\+/-/g')
  mkdir -p "bench/results/$machine"
  for file in step.json peers.json peers-148.json peers-268435456.json roof.txt ncu.csv parts.jsonl; do
    if [ -f "$run/$file" ]; then cp "$run/$file" "bench/results/$machine/gpu-$file"; fi
  done
fi
count() { grep -c "\"$1\"" "$run/parts.jsonl"; }
echo "$machine: $(count passed) passed, $(count failed) failed, $(count unavailable) cannot run here," \
  "${#left_over[@]} left${left_over:+: ${left_over[*]}}"
[ ${#left_over[@]} -eq 0 ] && [ "$(count failed)" -eq 0 ]
