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
    """Its files, the library and what that finds beside it, in a folder of our own."""
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(PACKAGE, folder / "swd", ignore=shutil.ignore_patterns("*.so*", "__pycache__"))
    library = pathlib.Path(library).resolve()
    (folder / "swd/libswd.so").symlink_to(library)
    for beside in library.parent.glob("libcudart.so*"):
        (folder / "swd" / beside.name).symlink_to(beside)
    sys.path.insert(0, str(folder))
    return importlib.import_module("swd")
