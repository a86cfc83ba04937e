#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The functions of the CUDA runtime that the library calls are exactly those that the tests make fail or watch
# (tests/hostile/simulator_faults_test.cpp, tests/counted/simulator_counts_test.cpp). usage: runtime_calls.sh LIBRARY
set -euo pipefail
known="cudaDeviceGetAttribute cudaFuncGetAttributes cudaGetDevice cudaGetDeviceCount cudaGetErrorName cudaGetErrorString cudaGetLastError
cudaLaunchKernelExC cudaMemcpyAsync cudaMemsetAsync cudaPointerGetAttributes cudaStreamGetDevice cudaStreamSynchronize"
# Names with two underscores are the compiler's: they register kernels when the library is loaded.
used=$(nm -D --undefined-only "$1" | sed -n 's/^ *U \(cuda[A-Za-z]*\).*/\1/p' | sort -u)
if [ "$used" != "$(tr ' ' '\n' <<< "$known" | sort -u)" ]; then
  echo "runtime functions in use, against those that the tests know:" >&2
  diff <(echo "$used") <(tr ' ' '\n' <<< "$known" | sort -u) >&2
  exit 1
fi
