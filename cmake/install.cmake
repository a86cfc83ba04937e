# SPDX-License-Identifier: Apache-2.0
# Installs the library (component runtime), its headers, the CMake package and the pkg-config file (development). Included
# by CMakeLists.txt. In a Python wheel (SKBUILD) it is the same tree, inside the package.
include(CMakePackageConfigHelpers)

set(swd_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/swd)
set(swd_namelink NAMELINK_COMPONENT development)
set(swd_link_name "-lswd")
if(SKBUILD)  # a wheel holds no links: one file, under the name that programs look for when they run
  set(swd_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  set_target_properties(swd PROPERTIES VERSION ${swd_soversion})
  set(swd_namelink NAMELINK_SKIP)
  set(swd_link_name "-l:libswd.so.${swd_soversion}")
endif()
install(TARGETS swd EXPORT swd-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime ${swd_namelink})
install(FILES ${PROJECT_SOURCE_DIR}/include/swd/swd.h ${PROJECT_SOURCE_DIR}/include/swd/swd.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/swd COMPONENT development)
install(EXPORT swd-targets NAMESPACE swd:: DESTINATION ${swd_cmake_dir} COMPONENT development)

# What a program that links the static library needs besides it. The shared library has all of this inside or names it
# itself.
set(swd_private_libs "-pthread")
if(swd_cxx_runtime)
  set(swd_private_libs "-l${swd_cxx_runtime} -lm -pthread")
endif()
set(swd_static_cuda OFF)
if(SWD_WITH_CUDA)
  set(cudart cudart)
  if(SWD_CUDART STREQUAL "static")
    set(cudart cudart_static)
  endif()
  set(swd_private_libs "-L${CUDAToolkit_LIBRARY_DIR} -l${cudart} ${swd_private_libs} -ldl -lrt")
  set(swd_static_cuda ON)
endif()
set(swd_is_static OFF)
if(swd_type STREQUAL "STATIC_LIBRARY")
  set(swd_is_static ON)
endif()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/swd-config.cmake.in ${PROJECT_BINARY_DIR}/swd-config.cmake
                              INSTALL_DESTINATION ${swd_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/swd-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/swd-config.cmake ${PROJECT_BINARY_DIR}/swd-config-version.cmake
        DESTINATION ${swd_cmake_dir} COMPONENT development)

# Paths relative to the file itself, so that an installed tree can be moved.
file(RELATIVE_PATH swd_pc_to_prefix "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
if(swd_is_static)  # there is no shared library beside it, so every user needs the private libraries
  set(swd_pc_libs "-L\${libdir} ${swd_link_name} ${swd_private_libs}")
  set(swd_pc_libs_private "")
else()
  set(swd_pc_libs "-L\${libdir} ${swd_link_name}")
  set(swd_pc_libs_private "${swd_private_libs}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/swd.pc.in ${PROJECT_BINARY_DIR}/swd.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/swd.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

if(SWD_PACKAGING)
  include(cmake/package.cmake)
endif()
