#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the CPU suite for a checking tool and runs it under that tool: no findings, no suppressions.
# Usage: sanitize.sh [asan|tsan|valgrind ...]; all three by default.
#
#   asan      AddressSanitizer with leak checks, and UndefinedBehaviorSanitizer
#   tsan      ThreadSanitizer
#   valgrind  memcheck with leak checks. It shows programs a CPU without AVX-512, so the library uses AVX2 and SSE2.
# Long tests are shortened there by SWD_TEST_SCALE, SWD_ACCURACY_POINTS and SWD_SOAK_STEPS; every test of the CPU suite
# runs, but those that build the library anew, without the tool (consume, fast_math_parent), look at its objects, or run
# under MPI, which leaks by itself (the same ranks over fork run); nor the demo, whose time is Eigen's: without zlib it
# is not built. A small quarantine, because cpu_loading_test looks at the memory that is mapped.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=("$@")
[ ${#tools[@]} -gt 0 ] || tools=(asan tsan valgrind)
jobs=${SWD_TEST_JOBS:-$(nproc)}
scripts/install_deps.sh sanitize

export SWD_TEST_SCALE=1024 SWD_ACCURACY_POINTS=20000 SWD_SOAK_STEPS=300
report() { grep -E 'ERROR: |WARNING: |SUMMARY: |runtime error|FAILED|\*\*\*|Invalid|uninitialised|definitely lost' "$1" | head -n 40; }

run() {
  local tool=$1 flags="-O1 -g1 -fno-omit-frame-pointer $2" build=$PWD/build/$1
  shift 2
  cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" -DSWD_CUDA=OFF \
    -DSWD_WERROR=OFF -DSWD_BUILD_BENCH=OFF -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator" > /dev/null
  cmake --build "$build" -j "$jobs" > "$build/build.log" 2>&1 || { tail -n 40 "$build/build.log"; exit 1; }
  local start=$SECONDS
  if ! env "$@" ctest --test-dir "$build" -L cpu --no-tests=error -j "$jobs" -V \
    -E '^(consume|fast_math_parent|isa_symbols.*|vectors|example.sharded_mpi)$' > "$build/test.log" 2>&1; then
    report "$build/test.log"
    grep -A 30 'The following tests FAILED' "$build/test.log" || true
    echo "sanitize $tool: FAILED, see $build/test.log" >&2
    exit 1
  fi
  echo "sanitize $tool: $(grep '% tests passed' "$build/test.log"), no findings, $((SECONDS - start)) s"
}

for tool in "${tools[@]}"; do
  emulator=
  case $tool in
    asan)
      run asan "-fsanitize=address,undefined -fno-sanitize-recover=all" \
        ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:check_initialization_order=1:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1
      ;;
    tsan)
      run tsan "-fsanitize=thread" TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
      ;;
    valgrind)
      # ctest puts it before each program; programs that start themselves again run free the second time. The
      # allocation tests replace operator new themselves; valgrind still sees the malloc below it.
      emulator="valgrind;-q;--soname-synonyms=somalloc=nouserintercepts;--error-exitcode=99;--leak-check=full;--errors-for-leak-kinds=definite,indirect"
      run valgrind ""
      ;;
    *)
      echo "sanitize.sh: no tool named $tool" >&2
      exit 2
      ;;
  esac
done
