# SPDX-License-Identifier: Apache-2.0
# CPack: libswd0.2 and libswd-dev as .deb, and one tarball of the same files. Included by cmake/install.cmake where
# SWD_PACKAGING is set, as scripts/packages.sh does, which makes, checks and uses them. DEBEMAIL and DEBFULLNAME say who
# packages, SOURCE_DATE_EPOCH when.
set(swd_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(swd_runtime libswd${swd_soversion})
set(swd_version ${PROJECT_VERSION}-1)
foreach(variable DEBEMAIL DEBFULLNAME SOURCE_DATE_EPOCH)
  if("$ENV{${variable}}" STREQUAL "")
    message(FATAL_ERROR "SWD_PACKAGING: ${variable} is not set in the environment")
  endif()
endforeach()
set(CPACK_PACKAGE_NAME libswd)
set(CPACK_PACKAGE_CONTACT "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "optimizer step of Adam with Scheduled Weight Decay")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_DEB_COMPONENT_INSTALL ON)

set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${swd_runtime})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libswd-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${swd_runtime} (= ${swd_version})")
string(CONCAT swd_description "One call does a complete optimizer step: unscale, finite check, global\n"
                              "norm, clip, Adam, and weight decay whose strength follows the gradient\n"
                              "norm. CPU and CUDA backends with the same bits behind a plain C ABI.\n\n")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "${swd_description}This package has the shared library.")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "${swd_description}This package has headers, CMake and pkg-config files.")
set(CPACK_POST_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/debian/trigger.cmake)
include(CPack)

# What Debian wants in every package.
string(TIMESTAMP swd_date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${PROJECT_BINARY_DIR}/changelog.Debian
     "libswd (${swd_version}) unstable; urgency=medium\n\n  * Release ${PROJECT_VERSION}: see CHANGELOG.md of the sources.\n\n"
     " -- ${CPACK_PACKAGE_CONTACT}  ${swd_date}\n")
execute_process(COMMAND gzip -9nf ${PROJECT_BINARY_DIR}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
foreach(package runtime:${swd_runtime} development:libswd-dev)
  string(REGEX REPLACE ":.*" "" component ${package})
  string(REGEX REPLACE ".*:" "" package ${package})
  install(FILES ${PROJECT_BINARY_DIR}/changelog.Debian.gz ${PROJECT_SOURCE_DIR}/packaging/debian/copyright
          DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package} COMPONENT ${component})
endforeach()
