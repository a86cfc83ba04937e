#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the libFuzzer targets of tests/fuzz with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and runs each
# for SECONDS from the committed corpus. Usage: fuzz.sh [SECONDS, default 60] [TARGET: args struct_size state diff histories ...]
#
#   SWD_FUZZ_JOBS   targets at a time (default: one per core)
#   SWD_FUZZ_NICE   niceness of the targets, for long runs beside other work (default: 0)
#   SWD_FUZZ_MERGE  1: afterwards replaces the committed corpus (tests/fuzz/corpus/TARGET.hex) by the smallest one with the coverage that was reached
# Inputs that were found stay in build/fuzz/corpus, so that long runs go on where the last one stopped; an input that
# breaks something is left in build/fuzz/findings, and the target, run with that file, shows what happens.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(args struct_size state diff histories)
jobs=${SWD_FUZZ_JOBS:-$(nproc)}
build=$PWD/build/fuzz
scripts/install_deps.sh fuzz

# Edges and counters only: the inputs are short and structured, so comparing operands would cost more than it finds.
flags="-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
flags+=" -fsanitize-coverage=inline-8bit-counters,pc-table"
flags+=" -fsanitize-coverage-ignorelist=$PWD/tests/fuzz/without_coverage.txt"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" \
  -DBUILD_SHARED_LIBS=OFF -DSWD_CUDA=OFF -DSWD_BUILD_TESTS=OFF -DSWD_BUILD_EXAMPLES=OFF -DSWD_BUILD_BENCH=OFF -DSWD_BUILD_FUZZERS=ON > /dev/null
cmake --build "$build" -j "$(nproc)" --target "${targets[@]/#/fuzz_}" > "$build/build.log" 2>&1 || { tail -n 40 "$build/build.log"; exit 1; }

# Plans are made and freed all the time, which would fill the quarantine of freed memory.
export ASAN_OPTIONS=quarantine_size_mb=4:malloc_context_size=4:detect_stack_use_after_return=0
options=(-entropic=0 -reload=0 -print_final_stats=1 -timeout=20 "-artifact_prefix=$build/findings/")
mkdir -p "$build/findings"

run() {
  local target=$1 more=(-max_len=256)
  case $target in
    args|struct_size) more=(-max_len=64 -use_counters=0 -reduce_inputs=0) ;;  # for speed: these need many executions
    histories) more=(-max_len=400) ;;
  esac
  mkdir -p "$build/corpus/$target"
  rm -rf "$build/committed/$target"
  tests/fuzz/corpus.py unpack "tests/fuzz/corpus/$target.hex" "$build/committed/$target"
  nice -n "${SWD_FUZZ_NICE:-0}" "$build/tests/fuzz/fuzz_$target" "${options[@]}" "${more[@]}" -max_total_time="$seconds" "$build/corpus/$target" \
    "$build/committed/$target" > "$build/$target.log" 2>&1
}

failed=0
for ((i = 0; i < ${#targets[@]}; i += jobs)); do
  pids=()
  for target in "${targets[@]:i:jobs}"; do
    run "$target" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
done

total=0
for target in "${targets[@]}"; do
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log")
  summary=$(grep -E '^#[0-9]+[[:space:]]+DONE' "$build/$target.log" | tr -s '\t ' ' ' || true)
  calls=$(grep '^calls of public functions' "$build/$target.log" || true)
  echo "fuzz_$target: ${executions:-0} executions${calls:+, $calls}; ${summary:-did not end well}"
  if [ -z "$summary" ]; then tail -n 40 "$build/$target.log"; fi
  total=$((total + ${executions:-0}))
  if [ "${SWD_FUZZ_MERGE:-0}" = 1 ] && [ -n "$summary" ]; then
    rm -rf "$build/merged" && mkdir "$build/merged"
    "$build/tests/fuzz/fuzz_$target" -merge=1 -use_counters=0 "$build/merged" "$build/corpus/$target" "$build/committed/$target" > /dev/null 2>&1
    tests/fuzz/corpus.py pack "$build/merged" "tests/fuzz/corpus/$target.hex"
  fi
done
if [ $failed -ne 0 ]; then
  echo "fuzz: FAILED, see build/fuzz/*.log and build/fuzz/findings" >&2
  exit 1
fi
echo "fuzz: ${#targets[@]} targets, $total executions, no findings"
