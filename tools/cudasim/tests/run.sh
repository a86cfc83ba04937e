#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles and runs the simulator's own tests. Usage: run.sh [GROUP ...], all groups by default:
#
#   results   programs that check their own results, in several orders and with the checks on
#   detect    each check finds what it is for, and nothing else
#   acquire   the strict race check: readers acquire what other blocks wrote
#   overlap   programmatic dependent launch
#   formats   ways to embed PTX, fault injection, counters
#
# Environment: OUT, the folder of libcudart.so.13; NVCC; QUICK=1: PTX for compute_90 only. Programs are kept in OUT/tests.
set -u
here=$(cd "$(dirname "$0")" && pwd)
OUT=$(cd "${OUT:?names the folder of libcudart.so.13}" && pwd)
NVCC=${NVCC:-nvcc}
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(results detect acquire overlap formats)
work=$OUT/tests
mkdir -p "$work"
while read -r name; do unset "$name"; done < <(compgen -e CUDASIM_)
export LD_LIBRARY_PATH=$OUT:${LD_LIBRARY_PATH:-}
pass=0
fail=0

build() {  # program, architecture, nvcc options... -- sources...
  local program=$1 arch=$2 options=() sources=() defines=() source
  shift 2
  while [ "$1" != "--" ]; do options+=("$1"); shift; done
  shift
  for source in "$@"; do sources+=("$here/$source"); done
  [ "${arch%a}" -ge 90 ] && defines=(-DSM90)
  [ "${arch%a}" -lt 80 ] && defines=(-DSM75)
  # Again only where a source is newer.
  [ -x "$work/$program" ] && [ -z "$(find "$here" -newer "$work/$program" \( -name '*.cu' -o -name '*.h' \) -print -quit)" ] && return
  "$NVCC" -std=c++17 -cudart shared -Wno-deprecated-gpu-targets -Xcompiler -frounding-math \
    -gencode "arch=compute_$arch,code=compute_$arch" "${defines[@]}" "${options[@]}" "${sources[@]}" -o "$work/$program" \
    > "$work/$program.log" 2>&1 || { echo "FAIL (compile) $program"; tail -5 "$work/$program.log"; rm -f "$work/$program"; }
}

run() {  # description, expected exit code, pattern or '', command...
  local description=$1 want=$2 pattern=$3 out status
  shift 3
  out=$(timeout 300 "$@" 2>&1)
  status=$?
  if [ $status -eq "$want" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" <<< "$out"; }; then
    pass=$((pass + 1))
  else
    fail=$((fail + 1))
    echo "FAIL $description (exit $status)"
    tail -8 <<< "$out"
  fi
}

quiet() {  # description, pattern, command...: as run, and not a word of the simulator
  local description=$1 pattern=$2
  shift 2
  run "$description" 0 "$pattern" "$@"
  # shellcheck disable=SC2016
  run "$description, quiet" 1 "" sh -c '"$@" 2>&1 | grep cudasim:' sh "$@"
}

results() {
  local arch test seed archs=(75 80 90 100)
  [ "${QUICK:-0}" = 1 ] && archs=(90)
  for arch in "${archs[@]}"; do
    for test in basic sync numeric streams bulk; do
      [ $test = bulk ] && [ "$arch" -lt 80 ] && continue
      build $test"$arch" "$arch" -- $test.cu
      run "$test compute_$arch" 0 "$test ok" env CUDASIM_ARCH=100 "$work/$test$arch"
    done
  done
  for test in cubtest thrusttest algorithms; do
    build ${test}90 90 -- $test.cu
    run $test 0 "ok$" "$work/${test}90"
  done
  for test in basic sync; do  # as for a debugger: nothing optimized
    build ${test}G 90 -G -- $test.cu
    run ${test}G 0 "$test ok" "$work/${test}G"
  done
  run "no device" 1 "cudaErrorNoDevice" env CUDASIM_DEVICES=0 "$work/basic90"
  [ "${QUICK:-0}" = 1 ] || run "PTX too new" 1 "needs compute_100" env CUDASIM_ARCH=90 "$work/basic100"

  # Orders do not change results, and the checks find nothing.
  for test in basic90 sync90 streams90 bulk90 cubtest90 thrusttest90 algorithms90; do
    run "$test reverse" 0 ok env CUDASIM_BLOCK_ORDER=reverse "$work/$test"
    for seed in 1 2 3; do
      run "$test random $seed" 0 ok env CUDASIM_BLOCK_ORDER=random CUDASIM_ORDER=random CUDASIM_SEED=$seed "$work/$test"
    done
    run "$test racecheck" 0 ok env CUDASIM_RACECHECK=1 "$work/$test"
    run "$test initcheck" 0 ok env CUDASIM_INITCHECK=1 "$work/$test"
    run "$test resident=1" 0 ok env CUDASIM_RESIDENT=1 "$work/$test"
  done
}

formats() {
  local mode test
  build rdc 90 -rdc=true -- rdc_a.cu rdc_b.cu
  build unsupported 90a -- unsupported.cu
  build bench 90 -- bench.cu
  build faults 90 -- faults.cu
  build libreload.so 90 -DLIBRARY -shared -Xcompiler -fPIC -- reload.cu
  build reload 90 -- reload.cu
  run reload 0 "reload ok" "$work/reload" "$work/libreload.so"
  for test in rdc unsupported bench faults; do run $test 0 "" "$work/$test"; done
  for mode in none size speed balance; do
    build basic_$mode 90 --compress-mode=$mode -- basic.cu
    run "fatbin compress-mode=$mode" 0 "basic ok" "$work/basic_$mode"
  done
  [ -x "$work/sassonly" ] ||
    "$NVCC" -std=c++17 -cudart shared -gencode arch=compute_90,code=sm_90 "$here/sassonly.cu" -o "$work/sassonly"
  run sassonly 0 "embed PTX" "$work/sassonly"
  run stats 0 "" env CUDASIM_STATS="$work/stats.json" "$work/bench"
  run "stats content" 0 "" grep -q '"global_load": {"requests": 524288, "bytes": 67108864, "sectors": 2097152' "$work/stats.json"
}

detect() {
  local d=$work/detect order
  build detect 90 -lineinfo -- detect.cu
  run oob 0 "0 bytes past the end of device memory.*400 bytes" "$d" oob
  run "oob line" 0 "detect.cu:[0-9]+, PTX line [0-9]+: st.global" "$d" oob
  run oobneg 0 "4 bytes before the start" "$d" oobneg
  run use-after-free 0 "already freed" "$d" uaf
  run prefetch-before 0 "prefetch of 1 byte.*outside of every live allocation" "$d" prefetchbefore
  run prefetch-before-where 0 "^cudasim:   4 bytes before the start" "$d" prefetchbefore
  run prefetch-null 0 "null pointer" "$d" prefetchnull
  run prefetch-past 0 "prefetch of 64 byte" "$d" prefetchpast
  run prefetch-freed 0 "already freed" "$d" prefetchfreed
  quiet prefetch "prefetchok ok" "$d" prefetchok
  run prefetch-off 1 "expected cudaErrorIllegalAddress, got cudaSuccess" env CUDASIM_PREFETCHCHECK=0 "$d" prefetchbefore
  run misaligned 0 "misaligned global write" "$d" misaligned
  run shared-oob 0 "out-of-bounds shared read" "$d" shared
  run null 0 "null pointer dereference" "$d" null
  run hostptr 0 "not a device address" "$d" hostptr
  run local 0 "out-of-bounds local write" "$d" local
  run deadlock 0 "waits at barrier 1 \(32 arrived, 64 expected\)" "$d" deadlock
  run livelock 0 "livelock" "$d" livelock
  run assert 0 "Assertion .v == 3. failed" "$d" assert
  run printf 0 "hello 1 text 1.50 123456789012 x%" "$d" printf
  run trap 0 "trap instruction" "$d" trap
  run poison 0 "poison ok" "$d" poison
  for order in fifo reverse random; do run "ends $order" 0 "ends ok" env CUDASIM_ENDS=3 CUDASIM_BLOCK_ORDER=$order "$d" ends; done
  run badfree 0 "double free" "$d" badfree
  run config 0 "config ok" "$d" config
  run leak 0 "2 allocation\(s\), 800 bytes not freed" env CUDASIM_LEAKCHECK=1 "$d" leak
  run hostderef 139 "host code accessed device memory" "$d" hostderef
  run uninit 0 "uninitialized global read" env CUDASIM_INITCHECK=1 "$d" uninit
  run init 0 "init ok" env CUDASIM_INITCHECK=1 "$d" init
  run sharedrace 0 "data race: shared memory" env CUDASIM_RACECHECK=1 "$d" sharedrace
  run warprace 0 "no warp synchronization" env CUDASIM_RACECHECK=1 "$d" warprace
  run norace 0 "norace ok" env CUDASIM_RACECHECK=1 "$d" norace
  run noracesingle 0 "noracesingle ok" env CUDASIM_RACECHECK=1 "$d" noracesingle
  run historace 0 "data race: shared memory" env CUDASIM_RACECHECK=1 "$d" historace
  run historaceok 0 "historaceok ok" env CUDASIM_RACECHECK=1 "$d" historaceok
  run sharedlock 0 "sharedlock ok" env CUDASIM_RACECHECK=1 "$d" sharedlock
  run globalrace 0 "data race: global" env CUDASIM_RACECHECK=1 "$d" globalrace
  run missing-fence 0 "not ordered by a fence" env CUDASIM_RACECHECK=1 "$d" nofence
  run fence 0 "fence ok" env CUDASIM_RACECHECK=1 "$d" fence
}

acquire() {
  local a=$work/acquire case
  build acquire 90 -lineinfo -- acquire.cu
  for case in fence acquire warp barrier flag lanes; do quiet "acquire $case" "^ok" env CUDASIM_RACECHECK=strict "$a" $case; done
  for case in nofence warpnosync warpnofence barriernofence flagrelaxed; do
    run "acquire $case" 0 "which this thread has not acquired" env CUDASIM_RACECHECK=strict "$a" $case
    run "acquire $case, error" 0 "^cudaErrorLaunchFailure" env CUDASIM_RACECHECK=strict "$a" $case
    quiet "acquire $case, not strict" "^ok" env CUDASIM_RACECHECK=1 "$a" $case
  done
  run "acquire lanesshuffle" 0 "no warp synchronization between" env CUDASIM_RACECHECK=strict "$a" lanesshuffle
  quiet "acquire lanesshuffle, not strict" "^ok" env CUDASIM_RACECHECK=1 "$a" lanesshuffle
}

overlap() {
  local p=$work/pdl case
  build pdl 90 -lineinfo -- pdl.cu
  for case in many chain rounds relay ports; do run "pdl $case" 0 "$case ok" "$p" $case; done
  run "pdl chain random" 0 "chain ok" env CUDASIM_BLOCK_ORDER=random CUDASIM_ORDER=random "$p" chain
  run "pdl chain resident=1" 0 "chain ok" env CUDASIM_RESIDENT=1 "$p" chain
  run "pdl stats" 0 "stats ok" env CUDASIM_STATS="$work/pdl.json" "$p" stats
  run "pdl stats content" 0 '"read": 65536, "written": 0.*"read": 1024, "written": 1024' \
    sh -c "grep unique_bytes '$work/pdl.json' | tr '\n' ' '"
  run "pdl nowait" 0 "warning: kernel noWait.*finished while kernel fill" env CUDASIM_RACECHECK=1 "$p" nowait
  run "pdl never waits" 0 "kernel noWait.*was launched with programmatic.*PTX for sm_90" env CUDASIM_RACECHECK=1 "$p" nowait
  run "pdl implicit trigger" 0 "kernel noWait.*was launched with programmatic.*PTX for sm_90" env CUDASIM_RACECHECK=1 "$p" implicit
  build pdl75 75 -lineinfo -- pdl.cu
  run "pdl version without a wait" 0 "kernel gather.*was launched with programmatic" env CUDASIM_RACECHECK=1 CUDASIM_ARCH=90 "$work/pdl75" wait
  run "pdl version without a wait, PTX" 0 "PTX for sm_75" env CUDASIM_RACECHECK=1 CUDASIM_ARCH=90 "$work/pdl75" wait
  run "pdl order" 0 "^dependent first: order ok" "$p" order
  run "pdl order late" 0 "^primary first: order ok" env CUDASIM_OVERLAP=late "$p" order
  for case in many chain rounds ports; do run "pdl $case late" 0 "$case ok" env CUDASIM_OVERLAP=late "$p" $case; done
  quiet "pdl wait late" "^wait ok" env CUDASIM_RACECHECK=1 CUDASIM_OVERLAP=late "$p" wait
  run "nc load" 0 "warning: non-coherent load" env CUDASIM_RACECHECK=1 "$p" nc
  for case in wait coherent; do quiet "pdl $case" "^$case ok" env CUDASIM_RACECHECK=1 "$p" $case; done
}

for group in "${groups[@]}"; do
  "$group"
done
echo "passed $pass, failed $fail"
[ $fail -eq 0 ]
