#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole matrix of sharded training on processes of this machine, under gloo, in the virtual environment of
# test_python.sh, which comes first. Prints the table of docs/testing.md. Usage: test_sharded.sh
# Some five minutes on 2 idle cores; test_python.sh runs a part of it.
set -euo pipefail
cd "$(dirname "$0")/../build/python"
exec "${SWD_SHARDED_PYTHON:-venv/bin/python}" ../../bindings/python/tests/sharded_matrix.py
