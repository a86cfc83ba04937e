#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the blocks of docs/frameworks.md: swd.torch.AdamS under torchrun, Trainer, accelerate, Lightning, peft, timm and
# DeepSpeed, on one and two processes under gloo, compared with a plain loop (bindings/python/tests/frameworks/matrix.py).
# Makes a virtual environment of its own, build/frameworks/venv, of the packages on PyPI (about 6 GB with PyTorch, seven
# minutes, once); then it takes four minutes of processor time. Prints the table of docs/testing.md.
# Usage: test_frameworks.sh [PART ...]; parts that may be missing: trainer, accelerate, lightning, peft, timm, deepspeed.
# Any other that cannot be installed fails. SWD_PYTHON names another python3.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/frameworks
venv=$work/venv
base=${SWD_PYTHON:-python3}
packages=(transformers==5.24.0 accelerate==1.15.0 lightning==2.6.6 timm==1.0.31 peft==0.21.2 deepspeed==0.19.8)

scripts/install_deps.sh
"$base" -c 'import venv, ensurepip' 2> /dev/null || scripts/install_deps.sh python
mkdir -p "$work"
if ! "$venv/bin/python" -c 'import torch, numpy' 2> /dev/null; then
  rm -rf "$venv"
  options=()
  if "$base" -c 'import torch' 2> /dev/null; then options=(--system-site-packages); fi
  "$base" -m venv "${options[@]}" "$venv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check torch numpy
fi
for package in "${packages[@]}"; do  # one by one, so that one that fails takes no other with it
  "$venv/bin/python" -c 'import importlib.metadata as m, sys; name, version = sys.argv[1].split("=="); sys.exit(m.version(name) != version)' \
    "$package" 2> /dev/null && continue
  DS_BUILD_OPS=0 "$venv/bin/python" -m pip install -q --disable-pip-version-check "$package" > "$work/pip.log" 2>&1 ||
    { tail -n 5 "$work/pip.log" >&2; echo "$package cannot be installed" >&2; }
done

rm -rf "$work/wheel"
"$venv/bin/python" -m pip wheel -q --disable-pip-version-check --no-deps . -w "$work/wheel" --config-settings build-dir="$work/cmake" \
  --config-settings cmake.define.SWD_CUDA=OFF --config-settings cmake.define.SWD_BUILD_JAX=OFF
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-index --force-reinstall "$work"/wheel/libswd-*.whl

exec "$venv/bin/python" bindings/python/tests/frameworks/matrix.py "$@"
