# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Rows of scripts/platforms.sh: other processors, cross-compiled, with long tests shortened. Left out are the tests that
# build the library anew or look at its objects: they are of the building machine.

refuses_x87() {
  if i686-linux-gnu-g++ -std=c++17 -Iinclude -Isrc -fsyntax-only src/kernels/cpu/loops_base.cpp 2> "$build/x87.log"; then
    echo "x87 arithmetic compiled" >&2
    exit 1
  fi
  grep -q 'libswd needs arithmetic in the operands' "$build/x87.log" || { cat "$build/x87.log"; exit 1; }
}

processor() {  # flags, emulator, tests of the short form...
  local flags=$1 emulator=$2 target
  shift 2
  scripts/install_deps.sh "$row"
  target=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$row" -DCMAKE_C_COMPILER="$row-linux-gnu-gcc"
    -DCMAKE_CXX_COMPILER="$row-linux-gnu-g++" -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags")
  googletest "${target[@]}"
  unset CUDACXX
  # AUTO: that an nvcc for the building machine lies on PATH must not matter.
  options+=("${target[@]}" -DSWD_CUDA=AUTO -DSWD_WERROR=ON -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator")
  targets=() tests=
  if [ "$short" = 1 ]; then
    targets=(abi_layout "$@")
    tests="$(expression "$@")|^abi\.layout\$"
  fi
  GTEST_FILTER=-$skipped SWD_TEST_SCALE=100 SWD_ACCURACY_POINTS=20000 SWD_SOAK_STEPS=300 suite
}

row_i686() {
  local skipped=
  processor "-msse2 -mfpmath=sse" "/usr/i686-linux-gnu/lib/ld-linux.so.2;--library-path;/usr/i686-linux-gnu/lib" \
    hash_test law_test bad_input_test
  refuses_x87
  what="32-bit x86 with SSE2, gcc $(i686-linux-gnu-g++ -dumpfullversion), run natively; x87 arithmetic does not compile"
}

row_aarch64() {
  [ "$short" = 0 ] || local -x SWD_ORACLE_RUNS=10  # its long double is slow there
  # qemu-user 7.2 aborts by itself where a child that was forked beside threads starts some of its own.
  local skipped=CpuThreads.APlanOfAForkedChildHasThreads
  processor "" "qemu-aarch64;-L;/usr/aarch64-linux-gnu" hash_test golden_test law_test bad_input_test state_blob_test \
    cpu_threads_test cpu_isa_test ulp_test oracle_test
  tests/counted/vectors.py --objdump aarch64-linux-gnu-objdump "$build/build/CMakeFiles/swd.dir/src/kernels/cpu/loops_base.cpp.o"
  what="64-bit Arm, gcc $(aarch64-linux-gnu-g++ -dumpfullversion), run by qemu-user, all loops NEON code; threads in a forked child, at which qemu aborts, are left out"
}
