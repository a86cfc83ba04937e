# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe, built from the sources around it: conan create packaging/conan --build=missing."""
import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load

ROOT = os.path.join("..", "..")


class Libswd(ConanFile):
    name = "libswd"
    description = "One optimizer step of Adam with Scheduled Weight Decay, on CPU and CUDA, with the same bits"
    license = "Apache-2.0"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False], "cuda": [True, False]}
    default_options = {"shared": False, "fPIC": True, "cuda": False}
    implements = ["auto_shared_fpic"]

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, ROOT, "include", "swd", "swd.h"))
        self.version = ".".join(re.search(rf"SWD_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/*"):
            copy(self, pattern, os.path.join(self.recipe_folder, ROOT), self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update({"SWD_CUDA": "ON" if self.options.cuda else "OFF", "SWD_BUILD_TESTS": "OFF",
                                          "SWD_BUILD_BENCH": "OFF", "SWD_BUILD_EXAMPLES": "OFF"})
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):  # the library's own CMake files, which know what a static one needs
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "swd")]
        self.cpp_info.libs = ["swd"]
        if not self.options.shared:
            self.cpp_info.system_libs = ["pthread", "m", "stdc++"]
