# SPDX-License-Identifier: Apache-2.0
"""python -m swd: what can run here, and what a C or C++ project needs to use the library inside this package."""
from __future__ import annotations

import argparse
import ctypes
import os

import swd

_PACKAGE = os.path.dirname(os.path.abspath(swd.__file__))
_FOLDERS = {"--cmake-dir": ("lib", "cmake", "swd"), "--pkgconfig-dir": ("lib", "pkgconfig"), "--include-dir": ("include",)}


def _devices() -> list[str]:
    """Names of the CUDA devices, from the driver; empty where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count, name, names = ctypes.c_int(), ctypes.create_string_buffer(256), []
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    for device in range(count.value):  # a CUdevice is an ordinal
        if driver.cuDeviceGetName(name, len(name), device) == 0:
            names.append(name.value.decode(errors="replace"))
    return names


def _info() -> str:
    lines = [("version", f"{swd.__version__}, numerics {swd.numerics_version()}"), ("library", swd.library_path),
             ("cpu", f"{swd.cpu_threads()} threads, instruction set {swd.cpu_isa()}")]
    try:
        swd.check_backend("cuda")
        cuda = "available"
    except swd.Error as error:
        cuda = f"not available: {error}"
    lines += [("cuda", cuda)] + [("device", name) for name in _devices()]
    return "\n".join(f"{name:<8} {text}" for name, text in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m swd", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--version", action="store_const", dest="text", const=swd.__version__)
    group.add_argument("--info", action="store_true", help="backends, devices, instruction set, threads")
    for option, below in _FOLDERS.items():
        group.add_argument(option, action="store_const", dest="text", const=os.path.join(_PACKAGE, *below))
    options = parser.parse_args()
    print(_info() if options.info else options.text)


if __name__ == "__main__":
    main()
