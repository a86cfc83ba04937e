# SPDX-License-Identifier: Apache-2.0
"""The build backend of pyproject.toml: scikit-build-core, which is asked only where there is a compiler. Without one its
error is forty lines of CMake; here the last line says what to do."""
import os
import shutil

from scikit_build_core.build import *  # noqa: F403
from scikit_build_core import build as _build


def _need_compilers(config_settings):
    given = " ".join([*(config_settings or {}), os.environ.get("CMAKE_ARGS", ""), os.environ.get("SKBUILD_CMAKE_ARGS", "")])
    if "CMAKE_CXX_COMPILER" in given or "CMAKE_TOOLCHAIN_FILE" in given:
        return
    for variable, names in (("CC", ("cc", "gcc", "clang")), ("CXX", ("c++", "g++", "clang++"))):
        wanted = os.environ.get(variable)
        names = (wanted.split()[0],) if wanted else names
        if not any(map(shutil.which, names)):
            raise SystemExit(f"libswd is built from source here, and there is no {' or '.join(names)}. Install a C++ compiler "
                             "(Debian: apt-get install g++), or take a wheel: scripts/wheel.sh makes one where a compiler is, "
                             "build/wheel/dist/libswd-*.whl, which pip installs without any")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _need_compilers(config_settings)
    return _build.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _need_compilers(config_settings)
    return _build.build_editable(wheel_directory, config_settings, metadata_directory)
