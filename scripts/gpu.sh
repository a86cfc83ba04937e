#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that wants a real device, in parts: a run that was cut off goes on where it was.
#
#   gpu.sh --build             where nvcc is: builds into build/gpu, some 20 MB to be carried to the device
#   gpu.sh [PART...]           where the device is, without nvcc: the parts that have neither passed nor failed, or the
#                              named ones again
#   gpu.sh --list              the parts, in their order
#   gpu.sh --publish TARBALL   at home: the figures of a run that came back, into bench/results/<gpu>/; status 1 if some
#                              are withheld, as the bits that they stand on are not shown
#
# SWD_GPU_SECONDS (default 520): no part starts later, and each is cut off there. SWD_GPU_PART_SECONDS (180): a part that
# takes longer has failed. SWD_GPU_LONG_SECONDS (120): how long paper:long trains. SWD_GPU_DIR (build/gpu): the programs; run/ in it holds a record, a log and the figures of each
# part. run.tar.gz there is the same for the way home, written after every part; it resumes: where there is no run, it is
# unpacked. Where $OUT is set it goes there, too, and the reports of ncu beside it, some 10 MB each. A run of other
# programs is put aside.
# Status 0: every part that was asked for has passed; 1: one has failed; 3: none has failed, but some were left or could
# not run here, and are tried again by the next call; 2: nothing was done.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
started=$SECONDS
budget=${SWD_GPU_SECONDS:-520} part_limit=${SWD_GPU_PART_SECONDS:-180}
results=${SWD_GPU_RESULTS:-bench/results}
export programs=${SWD_GPU_DIR:-build/gpu}
run=$programs/run

refuse() {
  echo "gpu.sh: $*" >&2
  exit 2
}

name_of() { echo "${1//:/-}"; }
is() { grep -qs "\"status\": \"$2\"" "$run/$(name_of "$1").part"; }  # part, status

# A run's tarball, whole or not at all.
unpack() {
  rm -rf "$run.unpacked"
  mkdir -p "$run.unpacked"
  tar xzf "$1" -C "$run.unpacked" && [ -d "$run.unpacked/run" ] || refuse "$1 is no whole tarball of a run; without it a call begins anew"
}

# Markers of other programs say nothing about these.
resume() {
  local identity
  identity=$(cat "$programs"/*_test "$programs"/lib*.so* "$programs/bench_step" "$programs/swd_sharded_nccl" 2> /dev/null | sha256sum | cut -c1-12)
  if [ ! -d "$run" ] && [ -f "$run.tar.gz" ]; then
    unpack "$run.tar.gz"
    mv "$run.unpacked/run" "$run"
    rmdir "$run.unpacked"
  fi
  if [ -d "$run" ] && [ "$(cat "$run/programs" 2> /dev/null)" != "$identity" ]; then
    local aside
    aside=$run-$(date +%Y%m%d-%H%M%S)-$$
    echo "$run is of other programs: put aside as $aside"
    mv "$run" "$aside"
  fi
  mkdir -p "$run"
  echo "$identity" > "$run/programs"
}

# What a run that is killed leaves behind is always whole.
keep() {
  cat "$run"/*.part > "$run/parts.new" 2> /dev/null
  mv "$run/parts.new" "$run/parts.jsonl"
  tar czf "$run.tar.gz.new" --exclude='*.partial' --exclude='*.ncu-rep' -C "$programs" run &&
    mv "$run.tar.gz.new" "$run.tar.gz"
  [ -n "${OUT:-}" ] || return 0
  local file
  for file in "$run.tar.gz" "$run"/ncu*/*.ncu-rep; do
    if [ -f "$file" ] && ! cmp -s "$file" "$OUT/$(basename "$file")"; then
      cp "$file" "$OUT/new" && mv "$OUT/new" "$OUT/$(basename "$file")"
    fi
  done
}

# A part without times, or with those of fp32 states alone, whose bits are cuda_equality_test's to show. Any other is held
# to time narrow states, too, whose bits two more tests show: one that is forgotten here is withheld, not published.
fp32_alone() {
  case "$1" in
    info | test:* | sanitizer:* | large:* | overlap | wide | python) ;;
    roof | bench | peers | peers:[0-9]* | train:fp32 | ncu | ncu:full | overlap_norm | nccl | paper:* | experiments) ;;
    *) false ;;
  esac
}

# Figures of parts that passed: none at all where cuda_equality_test has not, and none of narrow states unless
# cuda_narrow_test and cuda_block8_usual_test have, too. The last line of a log may be a time.
publish() {
  local to part name file narrow=yes withheld=()
  to=$results/$(cat "$run/info/device" 2> /dev/null) || { echo "not published: the device's name is not known"; return 1; }
  is test:cuda_equality_test passed || { echo "not published: equal bits are not shown"; return 1; }
  is test:cuda_narrow_test passed && is test:cuda_block8_usual_test passed || narrow=no
  mkdir -p "$to"
  : > "$to/gpu-parts.jsonl"
  for part in "$run"/*.part; do
    name=$(sed 's/.*"part": "\([^"]*\)".*/\1/' "$part")
    if [ $narrow = no ] && ! fp32_alone "$name"; then
      sed 's/"said": ".*"/"said": "withheld: equal bits of narrow states are not shown"/' "$part" >> "$to/gpu-parts.jsonl"
      withheld+=("$name")
      continue
    fi
    cat "$part" >> "$to/gpu-parts.jsonl"
    if ! is "$name" passed; then continue; fi
    for file in "${part%.part}"/*.{json,txt,csv}; do
      if [ -f "$file" ]; then cp "$file" "$to/gpu-$(basename "$file")"; fi
    done
  done
  echo "figures: $to"
  [ ${#withheld[@]} -eq 0 ] || { echo "withheld, as equal bits of narrow states are not shown: ${withheld[*]}"; return 1; }
}

record() {  # part, status, seconds: the last line of its log is the reason
  local name said
  name=$(name_of "$1")
  said=$(tail -n 1 "$run/$name.log" 2> /dev/null | tr -d '"\\' | tr -c '[:print:]' ' ' | cut -c1-150)
  printf '{"part": "%s", "status": "%s", "seconds": %d, "said": "%s"}\n' "$1" "$2" "$3" "$said" > "$run/$name.part.new"
  mv "$run/$name.part.new" "$run/$name.part"
  printf '%-30s %-11s %4d s  %s\n' "$1" "$2" "$3" "${said:0:70}"
}

# An attempt that is cut off changes nothing: neither an earlier record nor its figures.
run_part() {
  local part=$1 name left limit begun=$SECONDS code
  name=$(name_of "$part")
  left=$((budget - SECONDS + started))
  if [ $left -le 5 ]; then return; fi
  limit=$((left < part_limit ? left : part_limit))
  export figures=$run/$name.partial
  rm -rf "$figures"
  mkdir -p "$figures"
  timeout -k 5 $limit scripts/gpu/part.sh "$part" > "$run/$name.log" 2>&1
  code=$?
  if [ $code = 124 ] || [ $code = 137 ] && [ $((SECONDS - begun)) -ge $limit ]; then
    if [ $limit = $left ]; then
      printf '%-30s %-11s %4d s\n' "$part" "cut off" $((SECONDS - begun))
      rm -rf "$figures"
      return
    fi
    echo "took more than $limit s" >> "$run/$name.log"
  fi
  rm -rf "${run:?}/$name"
  case $code in
    0)
      mv "$figures" "$run/$name"
      record "$part" passed $((SECONDS - begun))
      ;;
    77) record "$part" unavailable $((SECONDS - begun)) ;;
    *) record "$part" failed $((SECONDS - begun)) ;;
  esac
  rm -rf "$figures"
  keep
}

case "${1:-}" in
  --build) exec scripts/gpu/build.sh ;;
  --list) exec scripts/gpu/part.sh list ;;
  --publish)
    run=$(mktemp -d)/run
    unpack "${2:?gpu.sh: --publish needs a tarball}"
    run=$run.unpacked/run
    publish
    exit
    ;;
  -*) refuse "no such option: $1" ;;
esac
[ -x "$programs/cuda_equality_test" ] || refuse "$programs has no programs: gpu.sh --build makes them, where nvcc is"
mapfile -t all < <(scripts/gpu/part.sh list)
asked=("${all[@]}")
if [ $# -gt 0 ]; then asked=("$@"); fi
for part in "${asked[@]}"; do
  [[ " ${all[*]} " = *" $part "* ]] || refuse "no such part: $part"
done

resume
for part in "${asked[@]}"; do
  if [ $# -gt 0 ] || { ! is "$part" passed && ! is "$part" failed; }; then run_part "$part"; fi
done
keep
publish

passed=0 failed=() unavailable=() left=()
for part in "${asked[@]}"; do
  if is "$part" passed; then
    passed=$((passed + 1))
  elif is "$part" failed; then
    failed+=("$part")
  elif is "$part" unavailable; then
    unavailable+=("$part")
  else
    left+=("$part")
  fi
done
echo "of ${#asked[@]} parts: $passed passed, ${#failed[@]} failed${failed:+ (${failed[*]})}," \
  "${#unavailable[@]} cannot run here${unavailable:+ (${unavailable[*]})}, ${#left[@]} left${left:+ (${left[*]})}"
if [ ${#failed[@]} -gt 0 ]; then exit 1; fi
[ $passed -eq ${#asked[@]} ] || exit 3
