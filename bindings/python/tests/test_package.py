# SPDX-License-Identifier: Apache-2.0
"""The wheel: what is in it, that it works in a clean environment outside the source tree, and that both pyproject.toml
describe the same package. The wheel is the one scripts/test_python.sh built, in $SWD_WHEEL; else it is built here."""
import glob
import os
import subprocess
import sys
import zipfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(PYTHON))

USE = """
import sys, ctypes, swd
assert swd.__file__.startswith(sys.prefix), swd.__file__
assert "torch" not in sys.modules
floats = lambda value: (ctypes.c_float * 100)(*[value] * 100)
plan = swd.Plan([100])
param, grad, exp_avg, exp_avg_sq = floats(1.0), floats(0.5), floats(0.0), floats(0.0)
state, workspace = swd.host_bytes(plan.state_bytes), swd.host_bytes(plan.workspace_bytes)
plan.init_workspace(workspace)
buffers = plan.buffers(param=param, grad=grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, state=state, workspace=workspace)
plan.step(buffers, plan.args(swd.Group(lr=0.1)))
assert abs(param[99] - 0.9) < 1e-6, param[99]
print("works", plan.stats(workspace).grad_norm)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if os.environ.get("SWD_WHEEL"):
        return os.environ["SWD_WHEEL"]
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", ROOT, "-w", str(folder),
                    "-C", "cmake.define.SWD_CUDA=OFF"], check=True)
    return glob.glob(str(folder / "*.whl"))[0]


def test_contents_of_the_wheel(wheel):
    name = os.path.basename(wheel)
    assert "-py3-none-linux" in name or "-py3-none-manylinux" in name
    files = zipfile.ZipFile(wheel).namelist()
    assert files.count("swd/libswd.so") == 1 and "swd/torch/adams.py" in files
    modules = {os.path.relpath(path, PYTHON) for path in glob.glob(PYTHON + "/swd/**/*.py", recursive=True)}
    assert modules == {name for name in files if name.endswith(".py")}
    assert [name for name in files if not name.startswith(("swd/", "swd-"))] == []


def test_wheel_works_in_a_clean_environment_outside_the_source_tree(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "clean")], check=True)
    python = str(tmp_path / "clean" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel], check=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    result = subprocess.run([python, "-c", USE], cwd=str(tmp_path), env={**clean, "PATH": "/nonexistent"},
                            capture_output=True, text=True, check=False)
    assert result.stdout.startswith("works 5.0"), result.stderr
    missing = subprocess.run([python, "-c", "import swd.torch"], cwd=str(tmp_path), env=clean, capture_output=True,
                             text=True, check=False)
    assert "No module named 'torch'" in missing.stderr  # said plainly, by Python


def test_both_projects_describe_the_same_package():
    def lines(folder):
        with open(os.path.join(folder, "pyproject.toml"), encoding="ascii") as file:
            return [line for line in file if not line.startswith("#")]

    paths = ("cmake.source-dir", "wheel.packages", "input", "sdist.exclude")
    root, here = ([line for line in lines(folder) if not line.startswith(paths)] for folder in (ROOT, PYTHON))
    assert root == here and any(line.startswith("version =") or "dynamic" in line for line in root)
