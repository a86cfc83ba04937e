#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of examples/python, experiments/text and experiments/paper in the virtual environment of python_wheel.sh,
# which comes first: it installs PyTorch and the package. Adds matplotlib and tqdm. Usage: test_python_examples.sh [PYTEST ARGUMENT ...];
# SWD_TEST_TIER=short runs the examples, long the experiments (docs/testing.md).
# Exit code 77: the packages are not there and cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/python
python=${SWD_EXAMPLES_PYTHON:-$work/venv/bin/python}  # any Python that has what is needed

mkdir -p "$work"
"$python" -c 'import swd, torch, pytest' || { echo "scripts/python_wheel.sh has not made an environment" >&2; exit 77; }
if ! "$python" -c 'import matplotlib, tqdm' 2> /dev/null; then
  echo "installing: matplotlib tqdm"
  "$python" -m pip install -q --disable-pip-version-check matplotlib tqdm || exit 77
fi

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # the networks are small
case ${SWD_TEST_TIER:-all} in
  short) folders=(examples/python) ;;
  long) folders=(experiments/text experiments/paper) ;;
  *) folders=(examples/python experiments/text experiments/paper) ;;
esac
for folder in "${folders[@]}"; do "$python" -m pytest -q -p no:cacheprovider "$folder" "$@"; done  # modules of one name
