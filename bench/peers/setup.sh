#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes build/bench-venv with the peers: PyTorch (several GB; needed), DeepSpeed, JAX with Optax, bitsandbytes, torchao,
# FlashOptim (each left out where it does not install; run.py reports it as missing). Called by
# scripts/bench.sh. Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=build/bench-venv
python=$venv/bin/python

[ -x "$python" ] || python3 -m venv "$venv"
has() { "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }
install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
has numpy || install numpy
has torch || install torch
# DeepSpeed builds its CPUAdam at the first use, with ninja and the machine's compiler.
has deepspeed || DS_BUILD_OPS=0 install deepspeed ninja || echo "peers: DeepSpeed does not install here" >&2
{ has jax && has optax; } || install jax optax || echo "peers: JAX and Optax do not install here" >&2
for peer in bitsandbytes torchao flashoptim; do
  has $peer || install $peer || echo "peers: $peer does not install here" >&2
done
