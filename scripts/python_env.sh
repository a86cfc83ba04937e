#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment build/python/venv that the Python package, its examples and JAX are tested in; where it is made,
# it looks whether all is there. Uses a PyTorch that python3 already has; else installs one from PyPI (about 5 GB, two minutes,
# once). Usage: python_env.sh; SWD_PYTHON names another python3.
# Exit code 77: the packages are not there and cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/build/python/venv
base=${SWD_PYTHON:-python3}

scripts/install_deps.sh
"$base" -c 'import venv, ensurepip' 2> /dev/null || scripts/install_deps.sh python

install() {  # what is imported is compiled then: all of it would take a minute
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-compile "$@"
}
if ! "$venv/bin/python" -c 'import torch, numpy, pytest' 2> /dev/null; then
  rm -rf "$venv"
  options=()
  if "$base" -c 'import torch' 2> /dev/null; then
    echo "using the PyTorch of $base"
    options=(--system-site-packages)
  else
    echo "$base has no PyTorch: installing it into $venv"
  fi
  "$base" -m venv "${options[@]}" "$venv"
  install torch numpy pytest || { echo "Python tests not run: PyTorch is not there and cannot be installed" >&2; exit 77; }
fi
# mypy finds other things in each version, and hypothesis makes other histories, so they are one version; expecttest is what
# torch.testing wants.
"$venv/bin/python" -c 'import matplotlib, expecttest, hypothesis, mypy.version
exit((mypy.version.__version__, hypothesis.__version__) != ("2.4.1", "6.170.17"))' 2> /dev/null ||
  install matplotlib expecttest==0.3.0 hypothesis==6.170.17 mypy==2.4.1 ||
  { echo "Python tests not run: matplotlib, expecttest, hypothesis or mypy is not there and cannot be installed" >&2; exit 77; }
# For test_jax.sh, and before the wheel, whose part for JAX needs jaxlib's headers.
"$venv/bin/python" -c 'import jax, optax, orbax.checkpoint' 2> /dev/null || install jax optax orbax-checkpoint ||
  echo "JAX, Optax and Orbax cannot be installed: the wheel is built and tested without its part for JAX" >&2
