# SPDX-License-Identifier: Apache-2.0
"""The wheel: what is in it, that it works in a clean environment outside the source tree, what python -m swd says, and
what a build without a compiler says. The wheel is the one scripts/test_python.sh built, in $SWD_WHEEL; else it is built
here."""
import glob
import importlib.util
import os
import subprocess
import sys
import zipfile

import pytest

import swd

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
    assert name.startswith("libswd-")
    assert {"swd/lib/libswd.so.0.2", "swd/include/swd/swd.h", "swd/include/swd/swd.hpp", "swd/lib/pkgconfig/swd.pc",
            "swd/lib/cmake/swd/swd-config.cmake", "swd/torch/adams.py", "swd/py.typed"} <= set(files)
    assert sum("libswd.so" in file for file in files) == 1  # a link would be a copy
    modules = {os.path.relpath(path, PYTHON) for path in glob.glob(PYTHON + "/swd/**/*.py", recursive=True)}
    assert modules == {name for name in files if name.endswith(".py")}
    assert [name for name in files if not name.startswith(("swd/", "libswd-"))] == []


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


def test_python_m_swd(tmp_path):
    def says(*options):
        return subprocess.run([sys.executable, "-m", "swd", *options], cwd=str(tmp_path), capture_output=True, text=True,
                              check=True).stdout.strip()

    assert says("--version") == swd.__version__
    assert os.path.exists(os.path.join(says("--include-dir"), "swd", "swd.h"))
    assert os.path.exists(os.path.join(says("--cmake-dir"), "swd-config.cmake"))
    assert os.path.exists(os.path.join(says("--pkgconfig-dir"), "swd.pc"))
    info = says("--info")
    assert swd.library_path in info and swd.cpu_isa() in info and "\ncuda " in info
    assert subprocess.run([sys.executable, "-m", "swd"], capture_output=True, check=False).returncode == 2


def test_a_build_without_a_compiler_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_build_core", type(sys)("scikit_build_core"))
    monkeypatch.setitem(sys.modules, "scikit_build_core.build", type(sys)("scikit_build_core.build"))
    sys.modules["scikit_build_core"].build = sys.modules["scikit_build_core.build"]
    sys.modules["scikit_build_core.build"].build_wheel = lambda *arguments: "built"
    spec = importlib.util.spec_from_file_location("backend", os.path.join(ROOT, "packaging", "python", "backend.py"))
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    for name in ("CC", "CXX", "CMAKE_ARGS", "SKBUILD_CMAKE_ARGS"):
        monkeypatch.delenv(name, raising=False)
    assert backend.build_wheel("out") == "built"
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SystemExit, match="no cc or gcc or clang. Install a C.. compiler .*or take a wheel"):
        backend.build_wheel("out")
    assert backend.build_wheel("out", {"cmake.define.CMAKE_CXX_COMPILER": "/opt/c++"}) == "built"
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(SystemExit, match="there is no no-such-compiler"):
        backend.build_wheel("out")
