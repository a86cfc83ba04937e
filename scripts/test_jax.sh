#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of swd.jax and of examples/jax in the virtual environment of python_wheel.sh, which comes first: it installs JAX,
# Optax, Orbax and the package. In a process of their own, without torch: JAX warns where others fork. 2 minutes at most, half
# of one on two idle cores. Usage: test_jax.sh [PYTEST ARGUMENT ...]; SWD_JAX_PYTHON names another Python that has all of that.
# Exit code 77: the packages are not there.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/python
python=${SWD_JAX_PYTHON:-$work/venv/bin/python}

mkdir -p "$work"
cd "$work"  # away from the sources: what is tested is what was installed
"$python" -c 'import optax, orbax.checkpoint, pytest, swd.jax' || { echo "scripts/python_wheel.sh has not made an environment" >&2; exit 77; }
tests=$root/bindings/python/tests
JAX_PLATFORMS=cpu "$python" -m pytest -q -c "$root/bindings/python/pytest.ini" --rootdir "$root" --noconftest -p no:cacheprovider \
  "$tests/test_jax.py" "$tests/test_jax_optax.py" "$tests/test_jax_sharded.py" "$root/examples/jax" "$@"
