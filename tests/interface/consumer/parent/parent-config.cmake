# SPDX-License-Identifier: Apache-2.0
# find_package(parent) defines parent::trainer, which asks for libswd.
include(CMakeFindDependencyMacro)
find_dependency(swd)
include("${CMAKE_CURRENT_LIST_DIR}/parent-targets.cmake")
