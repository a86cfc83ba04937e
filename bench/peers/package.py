# SPDX-License-Identifier: Apache-2.0
"""The Python package of libswd around a library that was built here. Used by run.py, errors.py and ../v_tracking.py."""
import atexit
import importlib
import pathlib
import shutil
import sys
import tempfile

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "bindings/python/swd"


def load(library):
    """Its files, the library by the names that it has beside it, and what else that finds there, in a folder of our own."""
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(PACKAGE, folder / "swd", ignore=shutil.ignore_patterns("lib", "__pycache__"))
    (folder / "swd/lib").mkdir(exist_ok=True)
    beside = pathlib.Path(library).resolve(strict=True).parent
    for file in (*beside.glob("libswd.so*"), *beside.glob("libcudart.so*")):
        (folder / "swd/lib" / file.name).symlink_to(file)
    sys.path.insert(0, str(folder))
    return importlib.import_module("swd")
