# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the quickstart with the package."""
import os

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, cmake_layout


class TestLibswd(ConanFile):
    settings = "os", "arch", "compiler", "build_type"
    generators = "CMakeToolchain", "CMakeDeps"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def build(self):
        cmake = CMake(self)
        root = os.path.join(self.recipe_folder, "..", "..", "..")
        cmake.configure(variables={"QUICKSTART": os.path.join(root, "examples", "quickstart.c")},
                        build_script_folder=os.path.join(root, "tests", "interface", "consumer"))
        cmake.build()

    def test(self):
        if can_run(self):
            self.run(os.path.join(self.cpp.build.bindir, "consumer"), env="conanrun")
