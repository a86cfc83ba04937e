# SPDX-License-Identifier: Apache-2.0
"""What import does, and does not: no torch, no numpy, no compiler; every struct member lies where C has it."""
import os
import shutil
import subprocess
import sys

import pytest

import swd
from swd._structs import STRUCTS

ROOT = os.path.join(os.path.dirname(__file__), "..", "..", "..")


def run(code, env=None, cwd="/"):
    """Runs code in a Python of its own, away from the source tree."""
    return subprocess.run([sys.executable, "-W", "error", "-c", code], env={**os.environ, **(env or {})}, cwd=cwd,
                          capture_output=True, text=True, timeout=120, check=False)


def test_import_brings_in_no_framework_and_no_compiler():
    where = os.path.dirname(os.path.dirname(swd.__file__))
    code = ("import sys, swd; plan = swd.Plan([3]); "
            "sys.exit(str({'torch', 'numpy', 'jax', 'subprocess'} & set(sys.modules)))")
    result = run(code, {"PATH": "/nonexistent", "PYTHONPATH": where})
    assert result.stderr.strip() == "set()"


def test_torch_part_loads_on_demand():
    where = os.path.dirname(os.path.dirname(swd.__file__))
    result = run("import swd; print(swd.torch.AdamS.__name__)", {"PYTHONPATH": where})
    assert result.stdout.strip() == "AdamS", result.stderr
    assert "swd.nonsense" not in dir(swd)
    with pytest.raises(AttributeError, match="nonsense"):
        swd.nonsense


def test_every_member_lies_where_c_has_it(tmp_path):
    """Asks the C compiler for offset and size of each member."""
    names = {"swd_group": swd.Group}
    names.update(STRUCTS)
    lines = [f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name}*)0)->{field}));'
             for name, struct in names.items() for field, _ in struct._fields_]
    source = tmp_path / "layout.c"
    source.write_text("#include <stdio.h>\n#include <swd/swd.h>\nint main(void) {" + "\n".join(lines) + "return 0; }\n")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "no C compiler"
    subprocess.run([compiler, "-I", os.path.join(ROOT, "include"), str(source), "-o", str(tmp_path / "layout")], check=True)
    printed = subprocess.run([str(tmp_path / "layout")], check=True, capture_output=True, text=True).stdout
    found = {line.split()[0]: tuple(map(int, line.split()[1:])) for line in printed.splitlines()}
    ours = {f"{name}.{field}": (getattr(struct, field).offset, getattr(struct, field).size)
            for name, struct in names.items() for field, _ in struct._fields_}
    assert found == ours and len(found) > 60


@pytest.fixture
def copy_of_package(tmp_path):
    folder = tmp_path / "swd"
    shutil.copytree(os.path.dirname(swd.__file__), folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("old, new, message", [
    ('("flags", c_uint32)]', '("flags", c_uint64)]', "struct swd_segment has 32 bytes in libswd.so and 40"),
    ('"update_norm", "vbar_reference")', '"update_norm")', "struct swd_stats"),
    ('("grad_dtype", c_int32), ("copy_dtype", c_int32)', '("copy_dtype", c_int32), ("grad_dtype", c_int32)',
     "members of swd_plan_args"),
    ('("group_count", c_uint32), ("group_stride", c_uint32),\n                ("loss_scale"',
     '("group_stride", c_uint32), ("group_count", c_uint32),\n                ("loss_scale"', "members of swd_step_args"),
])
def test_a_struct_that_differs_stops_the_import(copy_of_package, old, new, message):
    path = copy_of_package / "_structs.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    result = run("import swd", {"PYTHONPATH": str(copy_of_package.parent)})
    assert "ImportError" in result.stderr and message in result.stderr


def test_a_library_that_is_missing_or_newer_stops_the_import(copy_of_package):
    path = copy_of_package / "_ffi.py"
    path.write_text(path.read_text().replace("DECLARED_VERSION = (0, 2)", "DECLARED_VERSION = (0, 3)"))
    library = copy_of_package / "lib" / "libswd.so.0.2"
    library = library.rename(library.with_name("libswd.so.0.3"))
    result = run("import swd", {"PYTHONPATH": str(copy_of_package.parent)})
    assert "libswd.so is version 0.2, but this package declares the structs of 0.3" in result.stderr
    library.unlink()
    result = run("import swd", {"PYTHONPATH": str(copy_of_package.parent)})
    assert "cannot load" in result.stderr and "Install the package with pip" in result.stderr


def test_versions_and_backends():
    assert swd.__version__.count(".") == 2 and os.path.exists(swd.library_path)
    assert swd.backend_available("cpu") and swd.cpu_isa() in ("base", "v3", "v4") and swd.cpu_threads() >= 1
    swd.check_backend("cpu")
    if not swd.backend_available("cuda"):
        with pytest.raises(swd.Error, match="SWD_ERR_NO"):
            swd.check_backend("cuda")
    with pytest.raises(ValueError, match="backend: 'tpu'"):
        swd.backend_available("tpu")
