# SPDX-License-Identifier: Apache-2.0
# CPack runs this on finished packages. It gives the one with the library Debian's trigger in the place of the maintainer
# scripts that CPack writes, which call ldconfig themselves.
foreach(deb IN LISTS CPACK_PACKAGE_FILES)
  if(deb MATCHES "/libswd[0-9][^/]*\\.deb$")
    set(folder ${CPACK_TEMPORARY_DIRECTORY}/with-trigger)
    file(REMOVE_RECURSE ${folder})
    execute_process(COMMAND dpkg-deb --raw-extract ${deb} ${folder} COMMAND_ERROR_IS_FATAL ANY)
    file(REMOVE ${folder}/DEBIAN/postinst ${folder}/DEBIAN/postrm)
    file(WRITE ${folder}/DEBIAN/triggers "activate-noawait ldconfig\n")
    execute_process(COMMAND dpkg-deb --root-owner-group --build ${folder} ${deb} COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
  endif()
endforeach()
