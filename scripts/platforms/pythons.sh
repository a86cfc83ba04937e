# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Rows of scripts/platforms.sh: the Python package, one wheel for all, by other versions of Python and PyTorch than the usual
# tests have, the oldest that it promises among them.

# What every version must do. Left out: what looks at PyTorch's internals, at types and at the wheel, processes of their own.
python_tests=(amp arrays calls checkpoint direction edits errors flat flat_moved golden gradients hooks import layouts leak log migration
  moving narrow noop options_later orders parity plan relative shared state states states_checkpoints states_put steady tensor_numbers watch)

# The program of a version: of the machine, or of its pyenv.
python_of() {
  local found
  for found in "$(command -v "python$1")" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    "$found" -c 'import venv, ensurepip' 2> /dev/null && echo "$found" && return
  done
  echo "platforms.sh: this machine has no Python $1" >&2
  return 1
}

wheel=''
make_wheel() {  # once, by python3
  [ -z "$wheel" ] || return 0
  tool pip
  rm -rf build/platforms/wheel
  quietly "$build/wheel.log" "$tools/bin/python" -m pip wheel --no-deps . -w build/platforms/wheel --config-settings=cmake.define.SWD_CUDA=OFF
  wheel=$(compgen -G "$PWD/build/platforms/wheel/libswd-*.whl")
}

python_row() {  # Python, PyTorch: a version or nothing for the newest that this Python can have; arguments for pytest
  local python package=$PWD/bindings/python files
  files=("${python_tests[@]/#/$package/tests/test_}")
  python=$(python_of "$1")
  make_wheel
  rm -rf "${build:?}/venv"
  "$python" -m venv "$build/venv"
  quietly "$build/install.log" "$build/venv/bin/python" -m pip install --no-compile "torch${2:+==$2}" numpy pytest "$wheel"
  (cd "$build" && "$build/venv/bin/python" -m pytest -q -c "$package/pytest.ini" --rootdir "$package" -p no:cacheprovider \
    -m 'not cuda' "${@:3}" "${files[@]/%/.py}") | tee "$build/pytest.log"
  what="Python $("$build/venv/bin/python" -c 'import platform, torch; print(platform.python_version() + ", PyTorch " + torch.__version__)')"
  tested="$(sed -n 's/^\([0-9]*\) passed.*/\1/p' "$build/pytest.log") tests of the Python package"
  rm -rf "$build/venv"  # 5 GB
}

# Tests of what came later are left out: DLPack 1.0, torch.distributed.tensor, today's functions of
# torch.distributed.checkpoint, names of parameters, gradients of another type, 8-bit floats on the CPU. Older PyTorchs have no
# torch.amp.GradScaler. Pickled tensors and a scheduler of that PyTorch warn of its own future.
row_python_oldest() {
  local later='dlpack_new or descriptions_agree or memory_stays_alive or contiguous2 or dtensor or sum_of_a_part or
    outside_of_the_mesh or named_parameters or 16_bit_gradients or float8 or distributed_checkpoint_functions'
  python_row 3.9 2.3.0 -W ignore::FutureWarning -W 'ignore:The epoch parameter:UserWarning' -k "not (${later//$'\n'/ })"
}
row_python_newest() {
  local newest=3.15
  while ! python_of $newest > /dev/null 2>&1; do newest=3.$((${newest#3.} - 1)); done
  python_row $newest
}
