#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/gpu.sh without a device: a few of its programs run under a simulated runtime, small programs stand in for the
# others, for the tools and for Python. Shows that results come back after every part, that a run which was cut off goes
# on from its tarball on a bare machine, and that nothing is counted or published that has not passed.
# Usage: gpu_rehearsal.sh SOURCE BUILD, with the simulated runtime on LD_LIBRARY_PATH.
set -euo pipefail
source=$(cd "$1" && pwd) build=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export WORK=$work REAL=$build SWD_GPU_DIR=$work/gpu SWD_GPU_RESULTS=$work/results OUT=$work/out
export SWD_GPU_SECONDS=800 SWD_GPU_LONG_SECONDS=2
mkdir -p "$work/bin" "$work/gpu" "$work/out"

die() {
  echo "gpu_rehearsal: $*" >&2
  if [ -f "$work/said" ]; then tail -n 60 "$work/said" >&2; fi
  for log in "$work"/gpu/run/*.log; do
    if [ -f "$log" ]; then { echo "-- $log"; tail -n 5 "$log"; } >&2; fi
  done
  exit 1
}

# shellcheck source=tests/hostile/gpu_stand_ins.sh
. "$source/tests/hostile/gpu_stand_ins.sh"

# ---- Scenes ----
gpu() { "$source/scripts/gpu.sh" "$@" > "$work/said" 2>&1; }
scene() {  # expected status, arguments of gpu.sh
  local expected=$1 status=0
  shift
  : > "$work/calls"
  gpu "$@" || status=$?
  [ $status = "$expected" ] || die "gpu.sh $* ended with $status, not $expected"
}
says() { grep -qE "$1" "$work/said" || die "gpu.sh did not say: $1"; }
called() { grep -q "^$1" "$work/calls" || die "not called: $1"; }
not_called() { if grep -q "^$1" "$work/calls"; then die "called, though it was done: $1"; fi; }
is() { grep -q "\"part\": \"$1\", \"status\": \"$2\"" "$work/gpu/run/parts.jsonl" || die "$1 is not $2"; }
published=$work/results/nvidia-stand-in-80gb
bare() { rm -rf "$work/gpu/run" "$work/gpu/run.tar.gz"; }

echo "- no time: nothing starts, nothing passes"
SWD_GPU_SECONDS=3 scene 3
says ' 0 passed, 0 failed, 0 cannot run here, [0-9]+ left'
bare

echo "- killed in the middle of a part: what was done before is in the tarball, and whole"
touch "$work/hang"
: > "$work/calls"
setsid "$source/scripts/gpu.sh" > "$work/said" 2>&1 &
runner=$!
for _ in $(seq 1200); do
  if [ -f "$work/hanging" ]; then break; fi
  sleep 0.1
done
[ -f "$work/hanging" ] || die "ncu was not reached"
kill -9 -- -$runner
kill -9 "$(cat "$work/hanging")"
wait $runner 2> /dev/null || true
rm "$work/hang" "$work/hanging"
cmp "$work/gpu/run.tar.gz" "$work/out/run.tar.gz" || die "\$OUT has another tarball"
mkdir "$work/look"
tar xzf "$work/out/run.tar.gz" -C "$work/look"
for part in roof/roof.txt bench/step.json peers/peers.json peers-148/peers-148.json train-compact8/train-compact8.json; do
  [ -s "$work/look/run/$part" ] || die "$part did not come back"
done
if compgen -G "$work/look/run/ncu*" > /dev/null; then die "half of the counters came back"; fi
if [ -d "$published" ]; then die "published before the end"; fi

echo "- a bare machine: the tarball resumes; failures and what cannot run are told apart"
rm -rf "$work/gpu/run"
touch "$work/race" "$work/no_torch" "$work/no_nccl"
scene 1
not_called cuda_overlap_test
not_called 'bench_step.*--quick.*--benchmark_out='
called 'ncu --set detailed .*cuda_large'
is ncu passed
called 'ncu --set detailed .*bench_step .*states:compact8'
is ncu:narrow passed
is sanitizer:racecheck failed
is python unavailable
is nccl unavailable
is experiments failed # one of the variants has other bits
says '3 failed .*racecheck.*7 cannot run here \(python overlap_norm nccl paper:adams paper:adamw paper:adam paper:long\), 0 left'
[ -s "$published/gpu-step.json" ] && [ -s "$published/gpu-ncu.csv" ] || die "figures were not published"
grep -q 'as_is .* of roof' "$work/gpu/run/experiments.log" || die "the right variant was not timed"
grep -q 'wrong .*DIFFERENT BITS' "$work/gpu/run/experiments.log" || die "the wrong variant was timed"

echo "- the next call tries what could not run, and only that"
rm "$work/no_torch" "$work/race"
touch "$work/torch_nccl" "$work/wrong_rank"
scene 1
is python passed
is nccl failed
grep -q 'other bits than swd_step' "$work/gpu/run/nccl.log" || die "the NCCL of PyTorch was not used"
rm "$work/wrong_rank" "$work/no_nccl"
is paper:long passed
[ -s "$work/gpu/run/overlap_norm/overlap_norm.txt" ] || die "backward with hooks left no figures"
[ -s "$work/gpu/run/paper-adamw/fashion-mnist-resnet18-64-5-adamw-0.json" ] || die "the paper's network left no figures"
not_called compute-sanitizer
rm -rf "$work/gpu/variants/wrong"
scene 0 nccl sanitizer:racecheck sanitizer:racecheck:narrow experiments
called 'compute-sanitizer --tool racecheck .*cuda_narrow_test'
is nccl passed
[ -s "$published/gpu-nccl.txt" ] || die "what the ranks said was not published"
is sanitizer:racecheck passed
touch "$work/gives_up"
scene 1 sanitizer:memcheck
is sanitizer:memcheck failed
rm "$work/gives_up"
scene 0 sanitizer:memcheck
scene 0
says ' 0 failed, 0 cannot run here, 0 left'
[ "$(wc -l < "$work/calls")" -le 1 ] || die "parts that had passed ran again"

echo "- an attempt that is cut off leaves an earlier result alone; one that hangs has failed"
touch "$work/hang"
SWD_GPU_SECONDS=8 scene 0 ncu
says 'ncu +cut off'
is ncu passed
[ "$(cat "$work/gpu/run/ncu/ncu.ncu-rep" "$work/out/ncu.ncu-rep" | sort -u)" = whole ] || die "the counters are the cut off ones"
SWD_GPU_PART_SECONDS=2 scene 1 ncu:full
is ncu:full failed
rm "$work/hang" "$work/hanging"

echo "- counters that the driver keeps for itself are no failure; a test that runs nothing is"
touch "$work/no_counters"
scene 3 ncu
is ncu unavailable
[ ! -e "$work/gpu/run/ncu" ] || die "figures of a part that did not pass"
echo no_such_case > "$work/wide"
scene 1 wide
is wide failed
rm "$work/no_counters" "$work/wide"

echo "- no equal bits, no figures; the tarball publishes at home"
rm -rf "$published"
touch "$work/wrong_bits"
scene 1 test:cuda_equality_test
says 'not published: equal bits'
if [ -d "$published" ]; then die "published without equal bits"; fi
rm "$work/wrong_bits"
scene 0 test:cuda_equality_test
rm -rf "$published"
scene 0 --publish "$work/out/run.tar.gz"
[ -s "$published/gpu-step.json" ] || die "the tarball was not published"

echo "- no equal bits of narrow states, no figures of theirs; those of fp32 states all the same"
withholds() {  # the test that fails
  rm -rf "$published"
  scene 1 "$1"
  says "withheld, .* not shown: bench:all bench:states ncu:narrow peers:narrow train:compact8 train:mixed16\$"
  for file in step roof peers peers-148 train-fp32 nccl; do
    compgen -G "$published/gpu-$file.*" > /dev/null || die "fp32 figures were withheld: $file"
  done
  if compgen -G "$published/*"{narrow,states,all,mixed16,compact8}"*" > /dev/null; then die "published without equal bits of $1"; fi
  grep -q '"bench:states", "status": "passed".*"said": "withheld' "$published/gpu-parts.jsonl" || die "the last line of a log was published"
  scene 1 --publish "$work/out/run.tar.gz"
  says '^withheld'
}
touch "$work/wrong_narrow"
withholds test:cuda_narrow_test
SWD_VARIANT_FILTER=step/cuda/1000/ scene 1 experiments
grep -q 'as_is .*DIFFERENT BITS' "$work/gpu/run/experiments.log" || die "a variant was timed without equal bits of narrow states"
rm "$work/wrong_narrow"
scene 0 test:cuda_narrow_test
[ -s "$published/gpu-step-states.json" ] && [ -s "$published/gpu-train-compact8.json" ] || die "narrow figures are withheld for ever"
touch "$work/wrong_block8"
withholds test:cuda_block8_usual_test
rm "$work/wrong_block8"

echo "- the tests that times wait for come first"
mapfile -t first < <("$source/scripts/gpu.sh" --list | head -n 3)
[ "${first[*]}" = "test:cuda_equality_test test:cuda_narrow_test test:cuda_block8_usual_test" ] || die "${first[*]} come first"

echo "- other programs: the run is put aside, not mixed; half a tarball is refused"
echo >> "$work/gpu/cuda_large"
echo >> "$work/gpu/cuda_graph_test"
SWD_GPU_SECONDS=3 scene 3
says 'other programs'
bare
head -c 100 "$work/out/run.tar.gz" > "$work/gpu/run.tar.gz"
scene 2
scene 2 no_such_part

echo "- every variant finds what it edits"
"$source/scripts/gpu/variants.sh" --check > "$work/said" || die "variants.sh --check"
echo "rehearsed"
