# SPDX-License-Identifier: Apache-2.0
# The parts of gpu.sh that run under a tool of NVIDIA's: ncu, compute-sanitizer. Sourced by part.sh, whose helpers and
# variables these are.
# shellcheck shell=bash disable=SC2154

# profile REPORT KERNELS SKIP COUNT SET PROGRAM [OPTION...]. Sets of sections, not metrics: a name that this ncu or this
# device does not know would cost all the others.
profile() {
  local report=$figures/$1 kernels=$2 skip=$3 count=$4 set=$5
  shift 5
  needs ncu
  needs_program "$(basename "$1")"
  if ! ncu --set "$set" --clock-control none --kernel-name "regex:$kernels" --launch-skip "$skip" --launch-count "$count" \
    --force-overwrite --export "$report" "$@" > "$report.log" 2>&1; then
    cat "$report.log"
    if grep -q ERR_NVGPUCTRPERM "$report.log"; then cannot "the driver shows its counters to administrators only"; fi
    return 1
  fi
  ncu --import "$report.ncu-rep" --csv --page raw > "$report.csv" || return
  cat "$report.csv"
}

# The first step of 2^28 elements; its first reduction is one that the test makes for itself.
counters() {  # set, name of the report
  profile "$2" "reduce_kernel|update_kernel" 1 2 "$1" "$programs/cuda_large" 268435456 1 || return
  grep -q reduce_kernel "$figures/$2.csv" && grep -q update_kernel "$figures/$2.csv"
}

# compact8's second step of 2^26 elements, the first whose codes are not all zero and which has block8's short form. Before
# it the program launches two of the name, one of fp32 states. A gate that waits for a host stuck in ncu gives up by itself.
narrow_counters() {
  profile ncu-narrow update_kernel 2 1 detailed "$programs/bench_step" --backend=cuda --trial \
    --benchmark_filter='^update/.*/67108864/grad:bf16/copy:none/states:compact8/' || return
  grep -q 'update_kernel.*NarrowItem' "$figures/ncu-narrow.csv"
}

# A tool that gives up on the program may end well, too: its summary has to be there.
sanitizer() {  # TOOL or TOOL:narrow
  local tool=${1%:narrow} options=() output=$figures/output
  local program=cuda_equality_test tests='-*deep_tree:*many_segments'
  if [ "$1" != "$tool" ]; then program=cuda_narrow_test tests='*FlatOfAllSizes:*ListsOfMoreThanAChunk:*MisalignedArrays'; fi
  needs compute-sanitizer
  needs_program $program
  if [ "$tool" = memcheck ]; then options=(--leak-check full); fi
  compute-sanitizer --tool "$tool" "${options[@]}" --error-exitcode 1 "$programs/$program" --gtest_filter="$tests" 2>&1 | tee "$output"
  [ "${PIPESTATUS[0]}" -eq 0 ] && all_ran "$output" &&
    grep -qE '^========= (ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards)' "$output" && rm "$output"
}
