#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The CUDA trainer learns, and its replayed graph gives the bits of eager launches. Registered by examples.cmake.
set -euo pipefail
graph=$("$1")
eager=$("$1" --eager)
echo "$graph"
[ "$graph" = "$eager" ] || { echo "eager launches gave:"; echo "$eager"; exit 1; }
