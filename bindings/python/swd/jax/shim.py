# SPDX-License-Identifier: Apache-2.0
"""Loads libswd_jax, the custom calls in the package's lib folder, and registers them with JAX. Used by the package at
import."""
from __future__ import annotations

import ctypes
import os

import jax

from .. import library_path

PATH = os.path.join(os.path.dirname(library_path), "libswd_jax.so")
_BUILD = ("Build libswd where jax is installed: pip install --force-reinstall --no-deps . in its sources, since the wheel of "
          "scripts/wheel.sh has no such part; where the build cannot see jax, with --config-settings "
          "cmake.define.SWD_JAX_INCLUDE_DIR=DIR, DIR being what jax.ffi.include_dir() says")


def _load() -> ctypes.CDLL:
    if not os.path.exists(PATH):
        raise ImportError(f"this build of libswd has no part for JAX: {PATH} is not there. {_BUILD}", name="swd.jax")
    if not hasattr(jax, "shard_map"):
        raise ImportError(f"swd.jax needs JAX 0.7 or later, this is {jax.__version__}", name="swd.jax")
    return ctypes.CDLL(PATH)


def register() -> None:
    """Each call under one name on both platforms. CUDA's fail when they are called, if libswd was built without CUDA."""
    library = _load()
    for name in ("step", "reduce", "update", "rebuild"):
        for platform, suffix in (("cpu", "cpu"), ("CUDA", "cuda")):
            handler = jax.ffi.pycapsule(getattr(library, f"swd_jax_{name}_{suffix}"))
            try:
                jax.ffi.register_ffi_target(f"swd_jax_{name}", handler, platform=platform)
            except Exception as error:  # JAX says what it thinks of the version
                raise ImportError(f"this JAX, {jax.__version__}, refuses {PATH}: {error}. {_BUILD}",
                                  name="swd.jax") from error
